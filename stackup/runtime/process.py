"""The last part of the way to a program: limits, session, user, capabilities, filter, exec. The same for a container's
first process and for one that joins it.

`Job.of` reads the OCI process in the creator, where a mistake is cheap; the functions below run in the child.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Mapping
from typing import NoReturn

from stackup.classes import dataclass
from stackup.errors import KernelError, NotFound, StackupError
from stackup.linux import beneath, syscalls
from stackup.oci import Document
from stackup.runtime import capabilities, seccomp, terminal, users
from stackup.runtime.channel import Channel

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOFILE = 1024  # ours is raised; select(2) in an unsuspecting program breaks above


@dataclass(frozen=True, slots=True)
class Stdio:
    """Descriptors for a process; None is /dev/null."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None

    def descriptors(self) -> tuple[int, ...]:
        return tuple(d for d in (self.stdin, self.stdout, self.stderr) if d is not None)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Bit masks of the five sets."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int

    @classmethod
    def of(cls, sets: Document | None) -> Capabilities:
        sets = capabilities.oci(capabilities.DEFAULT) if sets is None else sets
        names = ("bounding", "effective", "permitted", "inheritable", "ambient")
        return cls(*(capabilities.mask(sets.get(name) or ()) for name in names))


@dataclass(frozen=True, slots=True)
class Job:
    """What to run and as whom. `user` (a name or numbers, to be looked up inside) comes before `uid` and `gid`."""

    args: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    user: str | None
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    capabilities: Capabilities
    limits: tuple[tuple[int, int, int], ...]  # number, soft, hard
    oom_score_adj: int | None
    no_new_privileges: bool
    filter: bytes | None
    terminal: bool
    size: tuple[int, int] | None  # rows, columns

    @classmethod
    def of(cls, process: Document, user: str | None = None, filter_name: str = "default") -> Job:
        """From an OCI process. StackupError for what is not understood."""
        if not process.get("args"):
            raise StackupError("a process needs args")
        owner, box = process.get("user") or {}, process.get("consoleSize")
        return cls(
            args=tuple(process["args"]),
            environment=dict(entry.partition("=")[::2] for entry in process.get("env") or ()),
            cwd=process.get("cwd") or "/",
            user=user,
            uid=int(owner.get("uid", 0)),
            gid=int(owner.get("gid", 0)),
            groups=tuple(owner.get("additionalGids") or ()),
            umask=int(owner.get("umask", 0o022)),
            capabilities=Capabilities.of(process.get("capabilities")),
            limits=_limits(process.get("rlimits") or ()),
            oom_score_adj=process.get("oomScoreAdj"),
            no_new_privileges=bool(process.get("noNewPrivileges", True)),
            filter=_filter(filter_name, process.get("capabilities")),
            terminal=bool(process.get("terminal")),
            size=(int(box["height"]), int(box["width"])) if box else None,
        )


def _filter(name: str, sets: Document | None) -> bytes | None:
    return seccomp.named(name, capabilities.DEFAULT if sets is None else sets.get("bounding") or ())


def _limits(listed: list[Document] | tuple[()]) -> tuple[tuple[int, int, int], ...]:
    found = {}
    for entry in listed:
        number = getattr(resource, entry["type"], None)
        if not isinstance(number, int):
            raise StackupError(f"limit {entry['type']} is not known")
        found[number] = (number, _signed(entry["soft"]), _signed(entry["hard"]))
    if resource.RLIMIT_NOFILE not in found:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        found[resource.RLIMIT_NOFILE] = (resource.RLIMIT_NOFILE, min(_NOFILE, hard), hard)
    return tuple(found.values())


def _signed(value: int) -> int:
    return -1 if value < 0 or value >= 1 << 63 else value


# --- in the child


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor above 2 that is not in `keep`, and mark those close-on-exec."""
    first = 3
    for descriptor in sorted(d for d in keep if d > 2):
        if descriptor > first:
            syscalls.close_range(first, descriptor - 1)
        os.set_inheritable(descriptor, False)
        first = descriptor + 1
    syscalls.close_range(first, 0x7FFFFFFF)


def tie_to_creator(channel: Channel) -> None:
    """Die with the creator. A change of user loosens the tie, so this is called again after each."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if channel.hung_up():
        os._exit(125)


def become_root() -> None:
    """User 0 of the user namespace that we are in."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def write_oom_score(job: Job) -> None:
    if job.oom_score_adj:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, str(job.oom_score_adj).encode())
        os.close(descriptor)


def reset_signals() -> None:
    """What Python and the spawner ignore would stay ignored over exec; what they handle is reset by it."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def set_limits(job: Job) -> None:
    for number, soft, hard in job.limits:
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            name = next(n for n in dir(resource) if n.startswith("RLIMIT_") and getattr(resource, n) == number)
            raise StackupError(f"set {name} to {soft}:{hard}: {error}") from error


def start_session(job: Job) -> tuple[int, int] | None:
    """A session of its own; with a terminal, (master, slave) of its pty, which is the session's."""
    os.setsid()
    if not job.terminal:
        return None
    master, slave = terminal.open_pair()
    if job.size:
        terminal.resize(master, *job.size)
    terminal.make_controlling(slave)
    return master, slave


def set_stdio(stdio: Stdio, slave: int | None) -> None:
    """Descriptors 0, 1 and 2; whatever numbers they had."""
    chosen = (slave, slave, slave) if slave is not None else (stdio.stdin, stdio.stdout, stdio.stderr)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) if None in chosen else -1
    moved = [fcntl.fcntl(null if d is None else d, fcntl.F_DUPFD_CLOEXEC, 10) for d in chosen]
    for number, descriptor in enumerate(moved):
        os.dup2(descriptor, number, inheritable=True)
        os.close(descriptor)


def identity(job: Job, root: int) -> users.Identity:
    if job.user:
        return users.lookup(job.user, root, job.groups)
    home = users.lookup(str(job.uid), root).home if "HOME" not in job.environment else "/"
    return users.Identity(job.uid, job.gid, job.groups, home)


def change_user(job: Job, who: users.Identity) -> None:
    """Bounding set, ids, capabilities. The order is the kernel's: each step needs what the next one takes away."""
    masks = job.capabilities
    if job.filter is not None and not job.no_new_privileges:
        syscalls.seccomp(job.filter)  # without no_new_privs only CAP_SYS_ADMIN may, which is about to go
    for number in range(64):
        if masks.bounding >> number & 1:
            continue
        try:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the last capability of this kernel
            raise
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    os.setgroups(who.groups)
    os.setresgid(who.gid, who.gid, who.gid)
    os.setresuid(who.uid, who.uid, who.uid)
    syscalls.capset(masks.effective, masks.permitted, masks.inheritable)
    for number in range(masks.ambient.bit_length()):
        if masks.ambient >> number & 1:
            syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, number)


def enter_working_folder(job: Job, root: int) -> None:
    """As root of the container, made where missing, as Docker does. Magic links are not followed: a folder such as
    /proc/self/fd/3 would be one that we hold (CVE-2024-21626)."""
    try:
        folder = beneath.open_folder(root, job.cwd, make=0o755)
        os.fchdir(folder)
        os.close(folder)
    except OSError as error:
        raise KernelError.of(f"enter the working directory {job.cwd}", error) from error


def execute(job: Job, who: users.Identity) -> NoReturn:
    """Lock down and become the program; only errors come back. NotFound and KernelError name the program."""
    environment = dict(job.environment)
    environment.setdefault("HOME", who.home)
    os.umask(job.umask)
    if job.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        if job.filter is not None:
            syscalls.seccomp(job.filter)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 0)
    _exec(job.args, environment)


def _exec(args: tuple[str, ...], environment: Mapping[str, str]) -> NoReturn:
    name = args[0]
    candidates = [name]
    if "/" not in name:
        candidates = [os.path.join(d or ".", name) for d in environment.get("PATH", _DEFAULT_PATH).split(":")]
    refused: OSError | None = None
    for path in candidates:
        try:
            os.execve(path, args, environment)
        except (FileNotFoundError, NotADirectoryError) as error:
            if os.path.isfile(path):
                raise NotFound(f"run {path}: its interpreter or loader is not in the image") from error
        except OSError as error:
            refused = refused or error
            if error.errno != errno.EACCES:
                raise KernelError.of(f"run {path}", error) from error
    if refused is not None:
        raise KernelError.of(f"run {name}", refused) from refused
    where = "is not there" if "/" in name else "is not in PATH"
    raise NotFound(f"run {name}: the program {where} in the container")
