"""One function for each kernel feature: it uses the feature and tells what it found, or raises.

Each is called in a forked child of its own (see features.py): it may unshare, and need not tidy up beyond files.
Returns the detail; raises Missing or OSError with the reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import time

from stackup.classes import dataclass
from stackup.linux import syscalls


class Missing(Exception):
    """The feature is not there; the text says why."""


@dataclass(frozen=True, slots=True)
class Scene:
    """`folder`: temporary, on the root's file system. `store`: where the layers lie. `cgroup_fs`: as in Host."""

    folder: str
    store: str
    cgroup_fs: str


# Privileges and user namespaces


def privileges(scene: Scene) -> str:
    with open("/proc/self/status", encoding="ascii") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    needed = {"SYS_ADMIN": 21, "NET_ADMIN": 12, "SETUID": 7, "SETGID": 6, "CHOWN": 0, "SETFCAP": 31}
    lacking = [name for name, number in needed.items() if not effective >> number & 1]
    if os.geteuid() != 0 or lacking:
        raise Missing(f"user {os.geteuid()}, without {', '.join(lacking) or 'being root'}")
    return "root"


def setting(path: str) -> str | None:
    try:
        with open("/proc/sys/" + path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def user_namespace_setting() -> str | None:
    """The command that lifts a ban on user namespaces; None where no known setting forbids them."""
    if setting("user/max_user_namespaces") == "0":
        return "sysctl -w user.max_user_namespaces=15000"
    if os.geteuid() != 0:
        if setting("kernel/unprivileged_userns_clone") == "0":
            return "sysctl -w kernel.unprivileged_userns_clone=1"
        if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
            return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return None


def enter_user_namespace(more: int = 0) -> None:
    """Be root of a new user namespace whose only id is ours."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | more)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def user_namespace(scene: Scene) -> str:
    try:
        enter_user_namespace(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID)
        # Where AppArmor restricts them, one can be made but gives no capability.
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    except OSError as error:
        hint = user_namespace_setting()
        raise Missing(f"{error.strerror}; {hint}" if hint else str(error.strerror)) from error
    return f"at most {setting('user/max_user_namespaces') or 'unknown'} of them"


# Processes


def clone3(scene: Scene) -> str:
    pid, pidfd = syscalls.clone3(0)
    if pid == 0:
        os._exit(7)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 7:
        raise Missing("the child did not end as told")
    os.close(pidfd)
    return "with a pidfd"


def openat2(scene: Scene) -> str:
    folder = os.open(scene.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.close(syscalls.openat2(folder, "../../..", os.O_PATH, syscalls.RESOLVE_IN_ROOT))
    try:
        syscalls.openat2(folder, "..", os.O_PATH, syscalls.RESOLVE_BENEATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return "RESOLVE_IN_ROOT, RESOLVE_BENEATH"
        raise
    raise Missing("RESOLVE_BENEATH lets a path out")


def _ended_child() -> int:
    """The pidfd of a child that ended with 7 and was waited for."""
    child = os.fork()
    if child == 0:
        time.sleep(0.001)
        os._exit(7)
    descriptor = os.pidfd_open(child)
    os.waitpid(child, 0)
    return descriptor


def pidfd(scene: Scene) -> str:
    try:
        syscalls.pidfd_send_signal(_ended_child(), 0)
    except ProcessLookupError:
        return "signals reach the process that is meant, or nobody"
    raise Missing("a signal to a dead process was taken")


def pidfd_info(scene: Scene) -> str:
    status = syscalls.pidfd_exit_status(_ended_child())
    if status is None or os.waitstatus_to_exitcode(status) != 7:
        raise Missing("PIDFD_GET_INFO does not tell it")
    return "PIDFD_GET_INFO"


def seccomp(scene: Scene) -> str:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    # ld number; jeq kill, next, pass; errno EXDEV; allow: a mark that no kernel would give by itself
    kill = {"x86_64": 62, "aarch64": 129}.get(syscalls.ARCHITECTURE, 62)
    steps = ((0x20, 0, 0, 0), (0x15, 0, 1, kill), (0x06, 0, 0, 0x50000 | errno.EXDEV), (0x06, 0, 0, 0x7FFF0000))
    syscalls.seccomp(b"".join(struct.pack("=HBBI", *step) for step in steps))
    try:
        os.kill(os.getpid(), 0)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return "filters"
    raise Missing("a filter has no effect")


def memfd(scene: Scene) -> str:
    descriptor = os.memfd_create("doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, b"x")
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    try:
        os.write(descriptor, b"y")
    except PermissionError:
        return "sealed"
    raise Missing("a seal has no effect")


def landlock(scene: Scene) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, ctypes.c_size_t(0), 1)  # landlock_create_ruleset(..., VERSION)
    if version < 0:
        raise Missing(os.strerror(ctypes.get_errno()))
    return f"version {version}"


# Control groups


def _hierarchies(cgroup_fs: str) -> tuple[dict[str, str], str | None]:
    """(v1 controller -> place, place of v2) below a folder. The runtime's drivers have their own, stricter reading."""
    v1: dict[str, str] = {}
    v2 = None
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, place, kind, options, *_ = line.split(" ")
            if not (place + "/").startswith(cgroup_fs.rstrip("/") + "/"):
                continue
            if kind == "cgroup2":
                v2 = place
            elif kind == "cgroup":
                v1.update(dict.fromkeys(options.split(","), place))
    return v1, v2


def control_groups(scene: Scene) -> str:
    v1, v2 = _hierarchies(scene.cgroup_fs)
    wanted = ("memory", "cpu", "pids")
    if all(name in v1 for name in wanted):
        closed = [v1[name] for name in wanted if not os.access(v1[name], os.W_OK)]
        if closed:
            raise Missing(f"{', '.join(closed)} cannot be written")
        extra = ", ".join(name for name in ("cpuacct", "devices") if name in v1)
        return f"version 1: memory, cpu, pids, {extra}" + (" (a version 2 hierarchy beside)" if v2 else "")
    if v2 is None:
        raise Missing(f"none mounted at {scene.cgroup_fs}")
    with open(os.path.join(v2, "cgroup.controllers"), encoding="ascii") as file:
        controllers = file.read().split()
    lacking = [name for name in wanted if name not in controllers]
    if lacking:
        raise Missing(f"version 2 at {v2} lacks {', '.join(lacking)}")
    if not os.access(v2, os.W_OK):
        raise Missing(f"{v2} cannot be written")
    return f"version 2: {', '.join(controllers)} (proven on plain folders and an empty hierarchy only)"


def clone_into_cgroup(scene: Scene) -> str:
    _, v2 = _hierarchies(scene.cgroup_fs)
    if v2 is None:
        raise Missing("no version 2 hierarchy is mounted")
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = next((line[3:].strip() for line in file if line.startswith("0::")), "/")
    group = os.open(v2 + own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # where we are: nothing changes
    pid, _ = syscalls.clone3(0, cgroup=group)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "CLONE_INTO_CGROUP"


def libseccomp(scene: Scene) -> str:
    with contextlib.suppress(OSError):
        ctypes.CDLL("libseccomp.so.2")
        return "libseccomp.so.2"
    raise Missing("libseccomp.so.2 is not installed")
