"""Namespaces of a container: which ones it gets, who its users are outside, and how to hold one open.

Names are those of the OCI runtime spec (config-linux.md, "Namespaces"); `PROC` maps them to /proc/PID/ns.
"""

from __future__ import annotations

import os

from stackup.classes import dataclass
from stackup.errors import KernelError, StackupError, Unsupported
from stackup.linux import syscalls
from stackup.oci import Document

FLAGS = {
    "user": syscalls.CLONE_NEWUSER,
    "mount": syscalls.CLONE_NEWNS,
    "pid": syscalls.CLONE_NEWPID,
    "network": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "cgroup": syscalls.CLONE_NEWCGROUP,
}
PROC = {"user": "user", "mount": "mnt", "pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}
_SHORT = {short: name for name, short in PROC.items()}

Lines = tuple[tuple[int, int, int], ...]  # (id inside, id outside, how many), as in user_namespaces(7)


@dataclass(frozen=True, slots=True)
class Mapping:
    """The two id maps of a user namespace, or of an id-mapped mount."""

    uids: Lines
    gids: Lines

    @classmethod
    def of(cls, uids: list[Document] | None, gids: list[Document] | None) -> Mapping | None:
        """From OCI `uidMappings` and `gidMappings`; None where both are absent."""
        if not uids and not gids:
            return None
        return cls(_lines(uids or []), _lines(gids or []))


def _lines(mappings: list[Document]) -> Lines:
    return tuple((int(m["containerID"]), int(m["hostID"]), int(m["size"])) for m in mappings)


def own(linux: Document) -> frozenset[str]:
    """Names of the namespaces that the container gets for itself. StackupError for one that is not known or given by
    path: those to join come beside the bundle, as descriptors."""
    names = set()
    for entry in linux.get("namespaces", ()):
        name = str(entry.get("type"))
        if name not in FLAGS:
            raise StackupError(f"namespace {name} is not known")
        if entry.get("path"):
            raise StackupError(f"namespace {name} by path is not supported", hint="pass its descriptor in `join`")
        names.add(name)
    if "mount" not in names:
        raise StackupError("a container without a mount namespace of its own is not supported")
    return frozenset(names)


def flags_of(names: frozenset[str]) -> int:
    total = 0
    for name in names:
        total |= FLAGS[name]
    return total


def full_name(name: str) -> str:
    """`net` and `mnt`, as /proc has them, are `network` and `mount` here."""
    return name if name in FLAGS else _SHORT[name]


def write_maps(pid: int, mapping: Mapping) -> None:
    """Give the fresh user namespace of a child its ids. KernelError says what the kernel refused."""
    for kind, lines in (("uid", mapping.uids), ("gid", mapping.gids)):
        text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in lines)
        try:
            descriptor = os.open(f"/proc/{pid}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            hint = "the ids are not ours to give; run as root" if os.geteuid() else None
            raise KernelError.of(f"write {kind}_map {text.strip()!r}", error, hint) from error


def open_of(pid: int, name: str) -> int:
    """A descriptor of a process's namespace."""
    path = f"/proc/{pid}/ns/{PROC[name]}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(f"open {path}", error) from error


def make_user_namespace(mapping: Mapping) -> int:
    """A descriptor of a new user namespace with these maps, for an id-mapped mount.

    Only a process can make one, so one is made for a moment.
    """
    reading, writing = os.pipe()
    try:
        pid, pidfd = clone(syscalls.CLONE_NEWUSER)
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(pidfd)
        try:
            write_maps(pid, mapping)
            return open_of(pid, "user")
        finally:
            os.close(writing)
            writing = -1
            os.waitpid(pid, 0)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def clone(flags: int, *, cgroup: int | None = None) -> tuple[int, int]:
    """clone3 with words for the failures that users meet. Refused in a process with more than one thread."""
    if os.stat("/proc/self/task").st_nlink != 3:
        raise StackupError(
            "a process with several threads cannot make a container", hint="use stackup.runtime.spawning.private()"
        )
    try:
        return syscalls.clone3(flags, cgroup=cgroup)
    except OSError as error:
        if error.errno == 38:  # ENOSYS
            raise Unsupported("this kernel has no clone3", hint="Linux 5.7 or newer is needed") from error
        hint = "user namespaces are forbidden here" if flags & syscalls.CLONE_NEWUSER else None
        raise KernelError.of("make the container's namespaces", error, hint) from error


def differs(pid: int, name: str) -> bool:
    """Whether a process has another namespace of this kind than we have."""
    file = PROC[name]
    return os.stat(f"/proc/{pid}/ns/{file}").st_ino != os.stat(f"/proc/self/ns/{file}").st_ino


def pid_of(pidfd: int) -> int:
    """The pid that a pidfd stands for, in our pid namespace; -1 where it has ended and was reaped."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            if line.startswith("Pid:"):
                return int(line.split()[1])
    return -1


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot: field 22 of /proc/PID/stat. ProcessLookupError if it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(3, f"process {pid} is gone") from None
    try:
        return int(os.read(descriptor, 4096).rpartition(b")")[2].split()[19])
    finally:
        os.close(descriptor)
