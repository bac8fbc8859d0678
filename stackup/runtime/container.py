"""Make, start, wait for and delete a container; run a program in one. The runtime's public face; needs no spawner.

A container is a child of the calling process, which must have a single thread (spawning.private() is for others).
Bundles are OCI runtime specs; what does not belong there travels beside it: root file system mounts, stdio, group.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
from collections.abc import Iterator, Mapping, Sequence

from stackup import errors
from stackup.classes import dataclass
from stackup.errors import KernelError, StackupError
from stackup.linux import syscalls
from stackup.oci import Document, Mount
from stackup.runtime import channel, devices, init, mounts, namespaces, rootfs
from stackup.runtime.cgroups.driver import CgroupJoin, OpenJoin
from stackup.runtime.channel import Channel
from stackup.runtime.process import Job, Stdio


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: its code, or the signal that killed it; neither where nobody can know."""

    code: int | None
    signal: int | None

    @property
    def status(self) -> int:
        """As a shell says it."""
        if self.code is not None:
            return self.code
        return 128 + self.signal if self.signal is not None else 125

    @classmethod
    def of_wait_status(cls, status: int) -> Exit:
        if os.WIFSIGNALED(status):
            return cls(None, os.WTERMSIG(status))
        return cls(os.WEXITSTATUS(status), None)


class Failed(Exception):
    """The child sent up a failure: `error`, and the code that the child ended with."""

    def __init__(self, error: StackupError, exit_code: int) -> None:
        super().__init__(error.message)
        self.error = error
        self.exit_code = exit_code


class Child:
    """A process that we made: pid, pidfd, when it began, and until its exec the channel to it.

    `terminal` is the master of its pty, where it has one.
    """

    def __init__(self, pid: int, pidfd: int, link: Channel) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.start_time = namespaces.start_time(pid)
        self.terminal: int | None = None
        self.ready = False
        self.running = False
        self._channel: Channel | None = link

    def fileno(self) -> int:
        """Of the channel to the child: readable when `advance` has something to do."""
        return self._channel.fileno() if self._channel else -1

    def advance(self, *, wait: bool) -> None:
        """Take the child's next word: it became `ready`, or (when told to start) `running`.

        BlockingIOError where it has said nothing; Failed where it could not (it has ended then and is reaped).
        """
        assert self._channel is not None
        received = self._channel.receive() if wait else self._channel.try_receive()
        if received is None:
            self._hung_up()
        elif "failed" in received[0]:
            self.close()
            self.reap()
            raise Failed(errors.from_plain(received[0]["failed"]), int(received[0]["exit"]))
        else:
            self.ready = True
            self.terminal = received[1].get("terminal")

    def _hung_up(self) -> None:
        """The channel closes with a successful exec, or when the child is killed."""
        if self.ready:
            self._drop_channel()
            self.running = True
            return
        self.close()
        ended = self.reap()
        how = f"signal {ended.signal}" if ended and ended.signal else "no word"
        raise Failed(StackupError(f"the process ended with {how} while it was set up"), 125)

    def tell_start(self) -> None:
        """Let a ready container go on; what comes of it, `advance` tells."""
        assert self._channel is not None
        try:
            self._channel.send({"start": True})
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead: advance sees that

    def kill(self, signal: int = signals.SIGKILL, *, group: bool = False) -> None:
        """ProcessLookupError where it has ended."""
        syscalls.pidfd_send_signal(self.pidfd, signal, group=group)

    def wait(self) -> Exit:
        """Wait for its end and reap it."""
        return exit_of(os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED))

    def reap(self) -> Exit | None:
        """End it, if it has not ended, and reap it; None where somebody else has."""
        try:
            with contextlib.suppress(ProcessLookupError):
                self.kill()
            return self.wait()
        except (ChildProcessError, OSError):
            return None

    def _drop_channel(self) -> None:
        if self._channel:
            self._channel.close()
            self._channel = None

    def close(self) -> None:
        """Close our descriptors but the pidfd."""
        self._drop_channel()
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None


class Container(Child):
    """A container of ours: `id`, and those namespaces that are its own (`net`, `user`, `ipc`, ...)."""

    id: str = ""
    namespaces: frozenset[str] = frozenset()

    def open_namespace(self, name: str) -> int:
        """A descriptor of its namespace `name`, as /proc/PID/ns calls it or as the OCI spec does."""
        return namespaces.open_of(self.pid, namespaces.full_name(name))

    def start(self) -> None:
        """Returns once the program runs. NotFound or KernelError where it cannot be; the container is gone then."""
        self.tell_start()
        try:
            self.advance(wait=True)
        except Failed as failure:
            raise failure.error from None

    def delete(self) -> None:
        """Kill it if it lives, reap it, close what we hold. Its folders stay."""
        self.close()
        self.reap()
        os.close(self.pidfd)


class Exec(Child):
    """A process that joined a container."""

    @property
    def master(self) -> int | None:
        return self.terminal


def exit_of(info: os.waitid_result | None) -> Exit:
    assert info is not None
    return Exit(info.si_status, None) if info.si_code == os.CLD_EXITED else Exit(None, info.si_status)


def create(
    bundle: Document, *, container_id: str, rootfs: Sequence[Mount] = (), stdio: Stdio = Stdio(),
    cgroup: CgroupJoin | None = None, join: Mapping[str, int] | None = None, folder: str = "/",
) -> Container:  # fmt: skip
    """A container whose first process is ready and waits for `start()`. Until then it dies with us.

    `folder` is what relative paths of the bundle mean. `join` maps names of namespaces to descriptors of them, or to a
    pidfd of a process in them, and holds `user` where that one is not the host's. Raises StackupError (a KernelError
    names what the kernel refused); nothing is left then.
    """
    made = begin(
        bundle, container_id=container_id, rootfs=[m.to_json() for m in rootfs], stdio=stdio, cgroup=cgroup,
        join=join or {}, folder=folder,
    )  # fmt: skip
    try:
        made.advance(wait=True)
    except Failed as failure:
        os.close(made.pidfd)
        raise failure.error from None
    return made


def begin(
    bundle: Document, *, container_id: str, rootfs: Sequence[Document], stdio: Stdio, cgroup: CgroupJoin | None,
    join: Mapping[str, int], folder: str,
) -> Container:  # fmt: skip
    """`create` without waiting for the child: it is ready when `advance` says so."""
    linux = bundle.get("linux", {})
    own = namespaces.own(linux) - {namespaces.full_name(n) for n in join}
    mapping = namespaces.Mapping.of(linux.get("uidMappings"), linux.get("gidMappings"))
    try:
        plan = mounts.plan(bundle, rootfs, folder, mapping)
    except OSError as error:
        raise KernelError.of(f"find {error.filename or 'a mount source'}", error) from error
    return _begin(bundle, container_id, own, mapping, plan, stdio, cgroup, join)


def _begin(
    bundle: Document, container_id: str, own: frozenset[str], mapping: namespaces.Mapping | None, plan: mounts.Plan,
    stdio: Stdio, cgroup: CgroupJoin | None, join: Mapping[str, int],
) -> Container:  # fmt: skip
    annotations = bundle.get("annotations") or {}
    job = Job.of(bundle["process"], annotations.get("stackup.user"), annotations.get("stackup.seccomp", "default"))
    ours, theirs = channel.pair()
    with _opened(cgroup) as group:
        setup = init.Setup(
            job=job, stdio=stdio, channel=theirs, cgroup=group, own=own, hostname=bundle.get("hostname"),
            domainname=bundle.get("domainname"),
            operations=(*plan.operations, *devices.operations(bundle), *rootfs.operations(bundle)),
        )  # fmt: skip
        try:
            pid, pidfd = _clone_joining(setup, ours, join) if join else _clone(setup)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
    made = Container(pid, pidfd, ours)
    made.id, made.namespaces = container_id, own
    try:
        if mapping is not None and "user" in own:
            namespaces.write_maps(made.pid, mapping)
        _hand_over(made, ours, mapping, plan.trees)
    except BaseException as error:
        made.delete()
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            raise StackupError("the process ended while it was set up") from error
        raise
    return made


def _clone(setup: init.Setup) -> tuple[int, int]:
    flags = namespaces.flags_of(setup.own - {"cgroup"})
    pid, pidfd = namespaces.clone(flags, cgroup=setup.cgroup.directory)
    if pid == 0:
        init.run(setup, init.CREATE)
    return pid, pidfd


def _clone_joining(setup: init.Setup, ours: Channel, join: Mapping[str, int]) -> tuple[int, int]:
    """Namespaces born in another container's user namespace are made by a process that has joined it: one in between,
    whose child is ours all the same (CLONE_PARENT). A namespace is joined by its descriptor or by a pidfd."""
    wanted = {namespaces.full_name(name): descriptor for name, descriptor in join.items()}
    if "user" in setup.own:
        raise StackupError("a shared namespace belongs to its user namespace", hint="join that one as well")
    setup.joined = {name: wanted[name] for name in namespaces.FLAGS if name in wanted and name != "pid"}
    with _pid_namespace(wanted["pid"]) if "pid" in wanted else contextlib.nullcontext():
        pid, pidfd = namespaces.clone(0)
        if pid == 0:
            init.run(setup, init.JOIN)
    os.close(pidfd)
    received = ours.receive()
    os.waitpid(pid, 0)
    if received is None:
        raise StackupError("the process that joins the namespaces ended")
    if "failed" in received[0]:
        raise errors.from_plain(received[0]["failed"])
    child = received[1]["child"]
    return namespaces.pid_of(child), child


@contextlib.contextmanager
def _opened(cgroup: CgroupJoin | None) -> Iterator[OpenJoin]:
    try:
        group = cgroup.open() if cgroup else OpenJoin()
    except OSError as error:
        raise KernelError.of("join the control group", error) from error
    try:
        yield group
    finally:
        group.close()


def _hand_over(
    made: Container, link: Channel, mapping: namespaces.Mapping | None, trees: Sequence[mounts.Tree]
) -> None:
    """Make the detached mounts and let the child go on with them. `mapping`: that of its user namespace."""
    users: dict[namespaces.Mapping, int] = {}
    opened: list[int] = []
    try:
        if mapping is not None and any(tree.mapping == mapping for tree in trees):
            users[mapping] = made.open_namespace("user")
        for tree in trees:
            if tree.mapping is not None and tree.mapping not in users:
                users[tree.mapping] = namespaces.make_user_namespace(tree.mapping)
            opened.append(_make_tree(tree, users))
        link.send({"go": True}, {str(n): d for n, d in enumerate(opened)})
    finally:
        channel.close_all([*opened, *users.values()])


def _make_tree(tree: mounts.Tree, users: Mapping[namespaces.Mapping, int]) -> int:
    flags = syscalls.OPEN_TREE_CLONE | (syscalls.AT_RECURSIVE if tree.recursive else 0)
    try:
        made = syscalls.open_tree(syscalls.AT_FDCWD, tree.path, flags)
    except OSError as error:
        raise KernelError.of(f"bind {tree.path}", error) from error
    attributes = tree.attributes | (syscalls.MOUNT_ATTR_IDMAP if tree.mapping is not None else 0)
    try:
        if attributes:
            userns = users[tree.mapping] if tree.mapping is not None else 0
            syscalls.mount_setattr(made, set=attributes, userns=userns, recursive=tree.recursive)
    except OSError as error:
        os.close(made)
        hint = "the file system there may not know id-mapped mounts" if tree.mapping is not None else None
        raise KernelError.of(f"map the ids of {tree.path}", error, hint) from error
    return made


def exec_in(
    container_pidfd: int, process: Document, *, stdio: Stdio = Stdio(), user: str | None = None,
    seccomp: str = "default", cgroup: CgroupJoin | None = None,
) -> Exec:  # fmt: skip
    """Run a program in a container; returns once it runs. With `process.terminal` its `master` is the pty's.

    NotFound (a shell says 127) and KernelError (126) where the program cannot be run.
    """
    made = begin_exec(container_pidfd, process, stdio=stdio, user=user, seccomp=seccomp, cgroup=cgroup)
    try:
        while not made.running:
            made.advance(wait=True)
    except Failed as failure:
        os.close(made.pidfd)
        raise failure.error from None
    return made


def begin_exec(
    container_pidfd: int, process: Document, *, stdio: Stdio, user: str | None, seccomp: str, cgroup: CgroupJoin | None
) -> Exec:
    """`exec_in` without waiting: it runs when `advance` has said `ready` and then `running`."""
    target = namespaces.pid_of(container_pidfd)
    if target < 0:
        raise errors.NotFound("the container has ended")
    job = Job.of(process, user, seccomp)
    ours, theirs = channel.pair()
    try:
        with _opened(cgroup) as group, _pid_namespace(container_pidfd):
            setup = init.Setup(
                job=job, stdio=stdio, channel=theirs, cgroup=group, target=container_pidfd,
                target_flags=init.namespace_flags(target),
            )  # fmt: skip
            pid, pidfd = namespaces.clone(0, cgroup=group.directory)
            if pid == 0:
                init.run(setup, init.EXEC)
    except OSError as error:
        ours.close()
        raise errors.NotFound("the container has ended") from error
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Exec(pid, pidfd, ours)


@contextlib.contextmanager
def _pid_namespace(target: int) -> Iterator[None]:
    """Children made inside are born in the pid namespace of `target`, its descriptor or a pidfd; we never move."""
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(target, syscalls.CLONE_NEWPID)
        try:
            yield
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWPID)
    finally:
        os.close(home)
