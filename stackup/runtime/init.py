"""The child: what happens between clone3 and the program, as lists of named steps.

A step that fails sends its failure up as a value and the child ends; nothing is left, as the namespaces go with it.
Until its last step the child dies with its creator.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from stackup.errors import KernelError, NotFound, StackupError
from stackup.linux import syscalls
from stackup.runtime import mounts, namespaces, process, rootfs, terminal, users
from stackup.runtime.cgroups.driver import OpenJoin
from stackup.runtime.channel import Channel
from stackup.runtime.process import Job, Stdio

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


@dataclass(slots=True)
class Setup:
    """What the child needs; made by the creator before it clones."""

    job: Job
    stdio: Stdio
    channel: Channel
    cgroup: OpenJoin
    own: frozenset[str] = frozenset()  # namespaces made for this container
    operations: tuple[mounts.Operation, ...] = ()
    hostname: str | None = None
    domainname: str | None = None
    joined: Mapping[str, int] = field(default_factory=dict)  # namespaces of others, the user namespace first
    target: int = -1  # a pidfd, for a process that joins
    target_flags: int = 0
    # filled on the way
    stage: mounts.Stage = field(default_factory=lambda: mounts.Stage([]))
    root: int = -1
    pty: tuple[int, int] | None = None
    who: users.Identity = field(default_factory=lambda: users.Identity(0, 0))


Step = tuple[str, Callable[[Setup], None]]


def _close_others(setup: Setup) -> None:
    keep = {setup.channel.fileno(), setup.target, *setup.stdio.descriptors(), *setup.cgroup.tasks}
    process.close_all_but(keep)


def _tie(setup: Setup) -> None:
    process.tie_to_creator(setup.channel)


def _join_cgroup(setup: Setup) -> None:
    setup.cgroup.enter()
    process.write_oom_score(setup.job)


def _receive_trees(setup: Setup) -> None:
    """The creator has written the id maps; with its word come the prepared mounts."""
    received = setup.channel.receive()
    if received is None:
        os._exit(125)
    setup.stage.trees = list(received[1].values())


def _become_root(setup: Setup) -> None:
    if "user" in setup.own or "user" in setup.joined or setup.target_flags & syscalls.CLONE_NEWUSER:
        process.become_root()
        process.tie_to_creator(setup.channel)


def _make_cgroup_namespace(setup: Setup) -> None:
    if "cgroup" in setup.own:
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)


def _make_mounts(setup: Setup) -> None:
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    for operation in setup.operations:
        try:
            operation.execute(setup.stage)
        except OSError as error:
            raise _explained(operation.describe(), error) from error


def _explained(doing: str, error: OSError) -> KernelError:
    """`mount overlay on /: No space left on device`; what the error itself names, where that says more."""
    text = error.strerror or str(error)
    call, _, reason = text.rpartition(": ")
    detail = f"{doing}: {reason}"
    if call and not call.startswith(("move_mount", "mount ", "fsconfig create", "fsmount", "fsopen")):
        detail = f"{doing}: {call}: {reason}"
    return KernelError(detail, error.errno)


def _name_host(setup: Setup) -> None:
    if "uts" in setup.own:
        if setup.hostname:
            syscalls.sethostname(setup.hostname.encode())
        if setup.domainname:
            syscalls.setdomainname(setup.domainname.encode())


def _raise_loopback(setup: Setup) -> None:
    if "network" in setup.own:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _enter_root(setup: Setup) -> None:
    rootfs.enter(setup.stage)
    process.close_all_but({setup.channel.fileno(), *setup.stdio.descriptors()})  # no way back to the host's folders
    setup.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _join_namespaces(setup: Setup) -> None:
    if setup.target_flags:
        syscalls.setns(setup.target, setup.target_flags)
    os.chdir("/")
    setup.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _join_others(setup: Setup) -> None:
    for name, descriptor in setup.joined.items():
        syscalls.setns(descriptor, namespaces.FLAGS[name])


def _give_birth(setup: Setup) -> None:
    """The container's first process is not our child but our creator's."""
    flags = namespaces.flags_of(setup.own - {"cgroup"}) | syscalls.CLONE_PARENT
    pid, pidfd = syscalls.clone3(flags, exit_signal=0, cgroup=setup.cgroup.directory)
    if pid == 0:
        run(setup, CREATE)
    setup.channel.send({"born": True}, {"child": pidfd})
    os._exit(0)


def _forget_keys(setup: Setup) -> None:
    try:
        syscalls.join_new_session_keyring()
    except OSError:
        pass  # no keyrings in this kernel, or the quota of keys is used up: then there is nothing of ours to be had


def _set_limits(setup: Setup) -> None:
    process.reset_signals()
    process.set_limits(setup.job)


def _start_session(setup: Setup) -> None:
    setup.pty = process.start_session(setup.job)
    process.set_stdio(setup.stdio, setup.pty[1] if setup.pty else None)


def _bind_console(setup: Setup) -> None:
    if setup.pty:
        terminal.bind_console(setup.root, setup.pty[1])


def _look_up_user(setup: Setup) -> None:
    setup.who = process.identity(setup.job, setup.root)
    if setup.pty:
        os.fchown(setup.pty[1], setup.who.uid, -1)


def _enter_working_folder(setup: Setup) -> None:
    process.enter_working_folder(setup.job, setup.root)


def _change_user(setup: Setup) -> None:
    process.change_user(setup.job, setup.who)
    process.tie_to_creator(setup.channel)


def _report_ready(setup: Setup) -> None:
    setup.channel.send({"ready": True}, {"terminal": setup.pty[0]} if setup.pty else None)
    process.close_all_but({setup.channel.fileno()})


def _wait_for_start(setup: Setup) -> None:
    if setup.channel.receive() is None:
        os._exit(125)


def _execute(setup: Setup) -> None:
    process.execute(setup.job, setup.who)


_ENDING: tuple[Step, ...] = (
    ("look up the user", _look_up_user),
    ("enter the working directory", _enter_working_folder),
    ("change user", _change_user),
    ("report", _report_ready),
)

CREATE: tuple[Step, ...] = (
    ("close descriptors", _close_others),
    ("tie to the creator", _tie),
    ("join the control group", _join_cgroup),
    ("receive the mounts", _receive_trees),
    ("become root of the user namespace", _become_root),
    ("make the control group namespace", _make_cgroup_namespace),
    ("mount", _make_mounts),
    ("set the host name", _name_host),
    ("raise the loopback link", _raise_loopback),
    ("enter the root file system", _enter_root),
    ("leave the session keyring", _forget_keys),
    ("set limits", _set_limits),
    ("start a session", _start_session),
    ("bind the console", _bind_console),
    *_ENDING,
    ("wait for the start", _wait_for_start),
    ("execute", _execute),
)

JOIN: tuple[Step, ...] = (
    ("tie to the creator", _tie),
    ("join the namespaces of another container", _join_others),
    ("make the container's namespaces", _give_birth),
)

EXEC: tuple[Step, ...] = (
    ("close descriptors", _close_others),
    ("tie to the creator", _tie),
    ("join the control group", _join_cgroup),
    ("join the namespaces", _join_namespaces),
    ("become root of the user namespace", _become_root),
    ("leave the session keyring", _forget_keys),
    ("set limits", _set_limits),
    ("start a session", _start_session),
    *_ENDING,
    ("execute", _execute),
)


def run(setup: Setup, steps: Sequence[Step]) -> NoReturn:
    """The child's whole life until its exec."""
    code = 125
    try:
        gc.disable()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        code = _run(setup, steps)
    finally:
        os._exit(code)


def _run(setup: Setup, steps: Sequence[Step]) -> int:
    name = ""
    try:
        for name, step in steps:  # noqa: B007  the name is for the failure
            step(setup)
    except StackupError as error:
        failure: StackupError = error
    except OSError as error:
        failure = KernelError.of(name, error)
    except Exception as error:
        failure = StackupError(f"{name}: {type(error).__name__}: {error}")
    code = exit_code(failure) if name == "execute" else 125
    setup.channel.send({"failed": failure.to_plain(), "exit": code})
    return code


def exit_code(error: StackupError) -> int:
    """What a shell says of a program that cannot be run: 127 where it is not found, else 126."""
    return 127 if isinstance(error, NotFound) else 126


def namespace_flags(pid: int) -> int:
    """Those namespaces of a process that are not ours, as flags for setns(2) with its pidfd; pid is joined apart."""
    names = (n for n in namespaces.FLAGS if n != "pid" and namespaces.differs(pid, n))
    return namespaces.flags_of(frozenset(names))
