"""The kernel's calls that Python has no function for. No policy: each function is its call, nothing more.

Every function raises OSError whose text names the call and its object. Numbers and structures are those of x86-64 and
AArch64 (the calls from 424 on have one number everywhere). Sources: the man pages of section 2, `linux/mount.h`,
`linux/sched.h`, `linux/openat2.h`, `linux/pidfd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

# clone(2), unshare(2), setns(2)
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_INTO_CGROUP = 0x200000000

# mount(2), umount2(2)
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2

# open_tree(2), move_mount(2), fsopen(2), mount_setattr(2)
AT_FDCWD = -100
AT_EMPTY_PATH, AT_RECURSIVE = 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC = 1, 1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_SET_FD, FSCONFIG_CMD_CREATE = 0, 1, 5, 6
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME = 0x10, 0x20
MOUNT_ATTR_IDMAP = 0x00100000

# openat2(2)
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10

# prctl(2), seccomp(2), keyctl(2)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME = 1, 4, 8, 15
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
SECCOMP_SET_MODE_FILTER = 1
KEYCTL_JOIN_SESSION_KEYRING = 1

PIDFD_SIGNAL_PROCESS_GROUP = 4
_CLOSE_RANGE_CLOEXEC = 4
_PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11  # _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
_PIDFD_INFO_EXIT = 8
_CAPABILITY_VERSION_3 = 0x20080522

_COMMON = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
}  # fmt: skip
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capget": 125, "capset": 126, "seccomp": 317, "keyctl": 250, **_COMMON},
    "aarch64": {"pivot_root": 41, "capget": 90, "capset": 91, "seccomp": 277, "keyctl": 219, **_COMMON},
}
ARCHITECTURE = os.uname().machine
_NR = _NUMBERS.get(ARCHITECTURE, _COMMON)

# PyDLL keeps the interpreter's lock: a child of clone3 wakes up holding it, as after fork.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long,)


def _failure(call: str, about: str) -> OSError:
    number = ctypes.get_errno()
    what = f"{call} {about}".rstrip()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _call(name: str, about: str, *arguments: object) -> int:
    number = _NR.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: not known on {ARCHITECTURE}")
    result: int = _syscall(number, *arguments)
    if result < 0:
        raise _failure(name, about)
    return result


def _libc_call(name: str, about: str, *arguments: object) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        raise _failure(name, about)
    return result


# --- processes and namespaces


class _CloneArguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    ]  # fmt: skip


def clone3(flags: int, *, exit_signal: int = 17, cgroup: int | None = None) -> tuple[int, int]:
    """Fork with new namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    Only for a process with one thread, as with fork. `cgroup` is a descriptor of a v2 group's folder (Linux 5.7).
    """
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArguments(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=exit_signal)
    if cgroup is not None:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup
    pid = _call("clone3", f"with flags {flags:#x}", ctypes.byref(arguments), ctypes.sizeof(arguments))
    return (pid, pidfd.value) if pid else (0, -1)


def unshare(flags: int) -> None:
    _libc_call("unshare", f"{flags:#x}", flags)


def setns(descriptor: int, flags: int) -> None:
    """Join the namespace of a descriptor, or with a pidfd (Linux 5.8) all namespaces of `flags` at once."""
    _libc_call("setns", f"{flags:#x}", descriptor, flags)


def pidfd_open(pid: int) -> int:
    """Raises ProcessLookupError where there is no such process."""
    return os.pidfd_open(pid)


def pidfd_send_signal(pidfd: int, signal: int, *, group: bool = False) -> None:
    """`group`: to its whole process group (Linux 6.9). ProcessLookupError where it has been reaped."""
    flags = PIDFD_SIGNAL_PROCESS_GROUP if group else 0
    _call("pidfd_send_signal", f"{signal}", pidfd, signal, None, flags)


def pidfd_exit_status(pidfd: int) -> int | None:
    """The wait status of a process that ended and was reaped, by whomever (Linux 6.15); None where nobody knows."""
    info = bytearray(struct.pack("=Q56x", _PIDFD_INFO_EXIT))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, status = struct.unpack("=Q52xi", info)
    return status if mask & _PIDFD_INFO_EXIT else None


def prctl(option: int, second: int = 0, third: int = 0, fourth: int = 0, fifth: int = 0) -> int:
    long = ctypes.c_ulong
    return _libc_call("prctl", f"{option}", option, long(second), long(third), long(fourth), long(fifth))


def set_process_name(name: str) -> None:
    """The name in /proc/self/comm, at most 15 bytes."""
    _libc_call("prctl", "PR_SET_NAME", PR_SET_NAME, name.encode()[:15])


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's capability sets; bit n of each number is capability n."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    sets = (effective, permitted, inheritable)
    data = struct.pack("=6I", *(s & low for s in sets), *(s >> high for s in sets))
    _call("capset", f"{effective:#x}", header, data)


class _SockFprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def seccomp(program: bytes) -> None:
    """Install a filter: an array of `struct sock_filter` (8 bytes each). Needs no_new_privs or CAP_SYS_ADMIN."""
    argument = _SockFprog(len(program) // 8, program)
    _call("seccomp", f"of {len(program) // 8} instructions", SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(argument))


def join_new_session_keyring() -> None:
    _call("keyctl", "JOIN_SESSION_KEYRING", KEYCTL_JOIN_SESSION_KEYRING, None)


def sethostname(name: bytes) -> None:
    _libc_call("sethostname", repr(name), name, len(name))


def setdomainname(name: bytes) -> None:
    _libc_call("setdomainname", repr(name), name, len(name))


def close_range(first: int, last: int, *, cloexec: bool = False) -> None:
    """Close (or mark close-on-exec, Linux 5.11) every descriptor from `first` to `last`, both included."""
    limit = ctypes.c_uint
    _call("close_range", f"{first}-{last}", limit(first), limit(last), _CLOSE_RANGE_CLOEXEC if cloexec else 0)


# --- mounts


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2); `data` holds at most 4,095 bytes."""
    text = data.encode() if data is not None else None
    _libc_call(
        "mount", f"{kind or 'flags'} on {target}", source.encode(), target.encode(), kind.encode() if kind else None,
        ctypes.c_ulong(flags), text,
    )  # fmt: skip


def umount2(target: str, flags: int) -> None:
    _libc_call("umount2", target, target.encode(), flags)


def pivot_root(new_root: str, put_old: str) -> None:
    _call("pivot_root", new_root, new_root.encode(), put_old.encode())


def open_tree(folder: int, path: str, flags: int) -> int:
    """A descriptor of a mount; with OPEN_TREE_CLONE of a detached copy of it. Always close-on-exec."""
    if not path:
        flags |= AT_EMPTY_PATH
    return _call("open_tree", path, folder, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str) -> None:
    """Attach (or move) a mount; an empty path stands for the descriptor itself."""
    flags = 0 if from_path else MOVE_MOUNT_F_EMPTY_PATH
    flags |= 0 if to_path else MOVE_MOUNT_T_EMPTY_PATH
    _call("move_mount", to_path, from_fd, os.fsencode(from_path), to_fd, os.fsencode(to_path), flags)


def mount_setattr(descriptor: int, *, set: int = 0, clear: int = 0, userns: int = 0, recursive: bool = False) -> None:
    """Change a mount's attributes; with MOUNT_ATTR_IDMAP in `set`, map its ids through the namespace `userns`."""
    attributes = struct.pack("=4Q", set, clear, 0, userns)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _call("mount_setattr", f"{set:#x}", descriptor, b"", flags, attributes, len(attributes))


def fsopen(kind: str) -> int:
    return _call("fsopen", kind, kind.encode(), FSOPEN_CLOEXEC)


def fsconfig_string(context: int, key: str, value: str) -> None:
    """Set `key=value`; fsconfig allows 255 bytes for a value."""
    _call("fsconfig", f"{key}={value}", context, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)


def fsconfig_flag(context: int, key: str) -> None:
    _call("fsconfig", key, context, FSCONFIG_SET_FLAG, key.encode(), None, 0)


def fsconfig_fd(context: int, key: str, descriptor: int) -> None:
    _call("fsconfig", key, context, FSCONFIG_SET_FD, key.encode(), None, descriptor)


def fsconfig_create(context: int) -> None:
    _call("fsconfig", "create", context, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(context: int, attributes: int = 0) -> int:
    """A descriptor of the new, detached mount."""
    return _call("fsmount", "", context, FSMOUNT_CLOEXEC, attributes)


# --- files


def openat2(folder: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """open(2) with rules for the walk; always close-on-exec. EAGAIN (a rename raced) is tried again."""
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(128):
        try:
            return _call("openat2", path, folder, os.fsencode(path), how, len(how))
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, f"openat2 {path}: {os.strerror(errno.EAGAIN)}")
