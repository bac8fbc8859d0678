"""The spawner: parent of every container and keeper of descriptors. A process of its own, small and with one thread.

    --root PATH --control FD      starts the supervisor, again whenever it dies
        --foreground              SIGTERM and SIGINT end it and the supervisor; the containers run on
    --root PATH --channel FD      for a supervisor that lost its spawner
    --private --channel FD        for the steps of a build; ends with its channel

`spawning` starts it, from a copy of the interpreter that `sealed` makes.

Its protocol is in `channel`. It opens no database, imports nothing after its start, and never waits but in `poll`.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from stackup.errors import Conflict, KernelError, NotFound, StackupError
from stackup.linux import syscalls
from stackup.runtime import children, container, fifos, sealed, supervision
from stackup.runtime.cgroups.driver import CgroupJoin
from stackup.runtime.channel import Channel, Message, close_all
from stackup.runtime.children import Entry, Fds
from stackup.runtime.process import Stdio

_HELD_NAMESPACES = {"user": "user", "network": "net", "ipc": "ipc"}
_LATE_STATUS_SECONDS = 2.0  # how long an adopted process may stay a zombie before its status counts as unknown


class Spawner:
    """One loop over: the supervisor's channel, the channels of children on their way, SIGCHLD, adopted pidfds."""

    def __init__(self, root: str | None, channel: Channel | None, *, private: bool) -> None:
        self.root = root
        self.private = private
        self.foreground = False
        self.table = children.Table()
        self.stored: dict[str, tuple[object, Fds]] = {}
        self.supervision = supervision.Supervision(root) if root and not private else None
        self._channel = channel
        self._greeted = private
        self._poll = select.poll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._late: dict[int, float] = {}  # pidfd of an adopted process that ended -> until when we ask for its status
        self._ending = False
        self._wake = self._catch_signals()
        self._ops: dict[str, Callable[[Message, Fds], Message | None]] = {
            "hello": self._hello, "create": self._create, "run": self._create, "start": self._start,
            "exec": self._exec, "kill": self._kill, "forget": self._forget, "store": self._store, "drop": self._drop,
            "adopt": self._adopt, "shutdown": self._shutdown,
        }  # fmt: skip
        if channel:
            self._watch(channel.fileno(), self._hear)

    def _catch_signals(self) -> int:
        """A descriptor that becomes readable with each SIGCHLD."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._watch(reading, self._reap)
        return reading

    def end_on_signals(self) -> None:
        """For the foreground: a service manager ends us so."""

        self.foreground = True

        def end(*_: object) -> None:
            self._ending = True
            if self.supervision:
                self.supervision.end()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)

    # --- the loop

    def _watch(self, descriptor: int, act: Callable[[], None], events: int = select.POLLIN) -> None:
        self._poll.register(descriptor, events)
        self._ready[descriptor] = act

    def _unwatch(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None):
            self._poll.unregister(descriptor)

    def run(self) -> None:
        """Until `shutdown`, or in private mode the end of the channel."""
        while not self._ending and self._keep_supervisor():
            self._say_events()
            for descriptor, events in self._poll.poll(self._timeout()):
                if events & select.POLLOUT and self._channel and descriptor == self._channel.fileno():
                    self._flush()
                if events & ~select.POLLOUT and (act := self._ready.get(descriptor)):
                    act()
            self._ask_late()

    def _timeout(self) -> int | None:
        """Milliseconds until something is to be done without being told."""
        waits = [0.02] if self._late else []
        if self.supervision and self._channel is None and (wait := self.supervision.wait()) is not None:
            waits.append(wait)
        return int(min(waits) * 1000) + 1 if waits else None

    def _keep_supervisor(self) -> bool:
        """Start one where there is none. False: it does not stay up, and nothing that it started lives."""
        if not self.supervision or self._channel is not None or (wait := self.supervision.wait()) is None:
            return True
        if wait and all(entry.exit is not None for entry in self.table):
            self.supervision.end()  # and whoever waits on the socket learns it from our end
            return False
        if not wait:
            self._channel = self.supervision.start()
            self._greeted = False
            self._watch(self._channel.fileno(), self._hear)
        return True

    # --- the channel

    def _hear(self) -> None:
        """One request at a turn, so that children that are ready do not wait until all that was asked for is made."""
        assert self._channel is not None
        try:
            received = self._channel.try_receive()
        except BlockingIOError:
            return
        except (OSError, StackupError):
            received = None
        if received is None:
            self._lose_channel()
        else:
            self._answer(*received)

    def _lose_channel(self) -> None:
        assert self._channel is not None
        self._unwatch(self._channel.fileno())
        self._channel.close()
        self._channel = None
        self._greeted = False
        if self.supervision:
            self.supervision.lost()
        if self.private or "control" not in self.stored:
            self._ending = True  # without the control socket nobody could talk to another supervisor

    def _answer(self, message: Message, fds: Fds) -> None:
        """Answer a request; one whose answer comes later (None) is answered by `_advance`."""
        number = message.get("id")
        try:
            act = self._ops.get(str(message.get("op")))
            if act is None:
                raise StackupError(f"operation {message.get('op')} is not known to this spawner")
            reply = act(message, fds)
        except StackupError as error:
            self._refuse(number, error, 125)
        except (KeyError, TypeError, ValueError, OSError) as error:
            what = f"{message.get('op')}: {type(error).__name__}: {error}"
            self._refuse(number, StackupError(what), 125)
        else:
            if reply is not None:
                self._post({"re": number, "ok": True, **reply})
        finally:
            close_all(fds)  # what an operation keeps, it has taken out

    def _refuse(self, number: object, error: StackupError, code: int) -> None:
        self._post({"re": number, "ok": False, "error": error.to_plain(), "exit": code})

    def _post(self, message: Message, fds: Fds | None = None) -> None:
        if self._channel is None:
            return
        try:
            self._channel.post(message, fds)
        except OSError:
            return  # it is gone: reading says so as well
        if self._channel.behind:
            self._poll.modify(self._channel.fileno(), select.POLLIN | select.POLLOUT)

    def _flush(self) -> None:
        assert self._channel is not None
        try:
            if self._channel.flush():
                self._poll.modify(self._channel.fileno(), select.POLLIN)
        except OSError:
            self._lose_channel()

    def _say_events(self) -> None:
        """Ends that nobody was told of yet."""
        while self._greeted and self.table.ended:
            self._post(self.table.ended.pop(0).exit_event())

    # --- operations

    def _hello(self, message: Message, fds: Fds) -> None:
        starts = self.supervision.started if self.supervision else 0
        hello = {"pid": os.getpid(), "private": self.private, "supervisor_starts": starts}
        hello["sealed"] = sealed.is_sealed()
        hello["foreground"] = self.foreground
        self._post({"re": message.get("id"), "ok": True, **hello})
        for entry in self.table:
            if entry.state != "made":  # one on its way is told by the reply to who asked
                self._post(entry.event(), entry.fds)
        for key, (value, kept) in self.stored.items():
            self._post({"event": "stored", "key": key, "value": value}, kept)
        self.table.ended.clear()
        for entry in self.table:
            if entry.exit is not None:
                self._post(entry.exit_event())
        self._post({"event": "hello_end"})
        self._greeted = True

    def _create(self, message: Message, fds: Fds) -> None:
        name = str(message["container"])
        self.table.must_be_new("container", name)
        spec, folder = children.read_bundle(message)
        with fifos.opened(message, fds) as pipes:
            made = container.begin(
                spec, container_id=name, rootfs=message.get("rootfs", ()), stdio=pipes.stdio,
                cgroup=_cgroup(message), join=self.table.joined(message.get("join") or {}), folder=folder,
            )  # fmt: skip
            held = _hold_namespaces(made)
            readers = pipes.take_readers()
        entry = Entry("container", name, made.pid, made.start_time, {"pidfd": made.pidfd, **held, **readers})
        self._follow(entry, made, message)

    def _exec(self, message: Message, fds: Fds) -> None:
        self.table.must_be_new("exec", str(message["exec"]))
        target = self.table.running("container", str(message["container"]))
        made = container.begin_exec(
            target.fds["pidfd"], message["process"], cgroup=_cgroup(message), user=message.get("user"),
            stdio=Stdio(fds.get("stdin"), fds.get("stdout"), fds.get("stderr")),
            seccomp=message.get("seccomp", "default"),
        )  # fmt: skip
        entry = Entry("exec", str(message["exec"]), made.pid, made.start_time, {"pidfd": made.pidfd}, target.id)
        self._follow(entry, made, message)

    def _start(self, message: Message, fds: Fds) -> None:
        entry = self.table.find("container", str(message["container"]))
        if entry.state != "created" or entry.child is None or entry.request is not None:
            raise Conflict(f"container {entry.id} is {entry.state}, it cannot be started")
        entry.child.tell_start()
        self._follow(entry, entry.child, message)

    def _follow(self, entry: Entry, child: container.Child, message: Message) -> None:
        """Answer this request when the child has said what it is waiting for."""
        self.table.add(entry)
        entry.child, entry.request, entry.op = child, message.get("id"), str(message["op"])
        entry.asker = self._channel
        self._watch(child.fileno(), lambda: self._advance(entry, wait=False))

    def _advance(self, entry: Entry, *, wait: bool) -> None:
        """The child spoke, or (`wait`) has ended, so that its last words are there to be read."""
        child = entry.child
        assert child is not None
        descriptor = child.fileno()
        while entry.request is not None:
            try:
                child.advance(wait=wait)
            except BlockingIOError:
                return
            except container.Failed as failure:
                self._unwatch(descriptor)
                if entry.asker is self._channel:
                    self._refuse(entry.request, failure.error, failure.exit_code)
                self.table.remove(entry)
                return
            if child.terminal is not None:
                entry.fds["terminal"], child.terminal = child.terminal, None
            if child.running:
                self._unwatch(descriptor)
                entry.state, entry.child = "running", None
                self._reply_made(entry)
            elif entry.op == "create":
                entry.state = "created"
                self._unwatch(descriptor)
                self._reply_made(entry)
            elif entry.op == "run":
                child.tell_start()

    def _reply_made(self, entry: Entry) -> None:
        reply: Message = {"re": entry.request, "ok": True}
        if entry.asker is not self._channel:
            if self._greeted:  # who asked has died meanwhile; its successor did not hear of this one in `hello`
                self._post(entry.event(), entry.fds)
        elif entry.op == "start":
            self._post(reply)
        else:
            self._post({**reply, "pid": entry.pid, "start_time": entry.start_time}, entry.fds)
        entry.request = None

    def _kill(self, message: Message, fds: Fds) -> Message:
        entry = self.table.named(message)
        if entry.exit is not None:
            raise NotFound(f"{entry.kind} {entry.id} has ended")
        try:
            self._signal(entry, int(message["signal"]), bool(message.get("group")))
        except ProcessLookupError:
            raise NotFound(f"{entry.kind} {entry.id} has ended") from None
        except OSError as error:
            raise KernelError.of(f"signal {entry.kind} {entry.id}", error) from error
        return {}

    def _signal(self, entry: Entry, number: int, group: bool) -> None:
        try:
            syscalls.pidfd_send_signal(entry.fds["pidfd"], number, group=group)
        except OSError as error:
            if not group or error.errno != 22 or entry.pid not in self.table.own:
                raise
            os.killpg(entry.pid, number)  # before Linux 6.9; the pid is ours until we reap it

    def _forget(self, message: Message, fds: Fds) -> Message:
        entry = self.table.named(message)
        if entry.exit is None:
            raise Conflict(f"{entry.kind} {entry.id} is {entry.state}", hint="kill it first")
        self.table.remove(entry)
        return {}

    def _store(self, message: Message, fds: Fds) -> Message:
        key = str(message["key"])
        close_all(self.stored.pop(key, (None, {}))[1])
        self.stored[key] = (message.get("value"), dict(fds))
        fds.clear()
        return {}

    def _drop(self, message: Message, fds: Fds) -> Message:
        close_all(self.stored.pop(str(message["key"]), (None, {}))[1])
        return {}

    def _adopt(self, message: Message, fds: Fds) -> Message:
        kind = "exec" if "exec" in message else "container"
        name, pid, begun = str(message[kind]), int(message["pid"]), int(message["start_time"])
        self.table.must_be_new(kind, name)
        if "pidfd" not in fds:
            raise StackupError(f"adopt {name}: no pidfd")
        entry = Entry(kind, name, pid, begun, dict(fds), str(message["container"]), state="running", adopted=True)
        fds.clear()
        self.table.add(entry)
        self._watch(entry.fds["pidfd"], lambda: self._adopted_ended(entry))
        return {}

    def _shutdown(self, message: Message, fds: Fds) -> Message:
        if any(entry.exit is None for entry in self.table):
            raise Conflict("containers are running")
        if self.supervision:
            control = self.stored.get("control", (None, {}))[1].get("socket")
            self.supervision.give_up_control(control)
        self._ending = True
        return {}

    # --- ends

    def _reap(self) -> None:
        while True:
            try:
                if not os.read(self._wake, 4096):
                    break
            except BlockingIOError:
                break
        while (pid_and_status := _next_ended()) is not None:
            pid, ended = pid_and_status
            if self.supervision and pid == self.supervision.pid:
                self.supervision.ended()
            elif entry := self.table.own.get(pid):
                if entry.request is not None:
                    self._advance(entry, wait=True)
                if entry.pid in self.table.own:
                    self._record(entry, ended)

    def _record(self, entry: Entry, ended: container.Exit) -> None:
        if entry.child:
            entry.child.close()
            entry.child = None
        self.table.end(entry, ended)

    def _adopted_ended(self, entry: Entry) -> None:
        """Its status can be read once its parent has reaped it, which is soon."""
        if not _wait(entry.fds["pidfd"], select.POLLIN, 0):
            return  # meant for a former descriptor of this number
        self._unwatch(entry.fds["pidfd"])
        self._late[entry.fds["pidfd"]] = time.monotonic() + _LATE_STATUS_SECONDS
        self._ask_late()

    def _ask_late(self) -> None:
        for pidfd, until in list(self._late.items()):
            status = syscalls.pidfd_exit_status(pidfd)
            if status is None and time.monotonic() < until:
                continue
            del self._late[pidfd]
            entry = next(e for e in self.table if e.fds.get("pidfd") == pidfd)
            ended = container.Exit(None, None) if status is None else container.Exit.of_wait_status(status)
            self.table.end(entry, ended)

    def finish(self) -> None:
        """Say the last words; in private mode end what runs."""
        if self._channel:
            try:
                while not self._channel.flush():
                    _wait(self._channel.fileno(), select.POLLOUT, 1000)
            except OSError:
                pass
        for entry in list(self.table) if self.private else ():
            if entry.exit is None and not entry.adopted:
                try:
                    syscalls.pidfd_send_signal(entry.fds["pidfd"], signal.SIGKILL)
                except OSError:
                    continue
                os.waitid(os.P_PIDFD, entry.fds["pidfd"], os.WEXITED)


def _hold_namespaces(made: container.Container) -> Fds:
    held: Fds = {}
    try:
        for own in sorted(made.namespaces & _HELD_NAMESPACES.keys()):
            held[_HELD_NAMESPACES[own]] = made.open_namespace(own)
    except StackupError:
        close_all(held)
        made.delete()
        raise
    return held


def _wait(descriptor: int, events: int, milliseconds: int) -> bool:
    """poll, as select(2) knows no descriptor above 1023."""
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(milliseconds))


def _cgroup(message: Message) -> CgroupJoin | None:
    value = message.get("cgroup")
    return CgroupJoin.from_json(value) if value else None


def _next_ended() -> tuple[int, container.Exit] | None:
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    return (info.si_pid, container.exit_of(info)) if info and info.si_pid else None


def _prepare() -> None:
    """A process nobody can look into, whose orphans come home, with room for descriptors."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    syscalls.set_process_name("stackup-spawner")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.chdir("/")
    os.umask(0o022)


def main(argv: list[str]) -> NoReturn:
    flags = {word for word in argv if word in ("--private", "--foreground")}
    words = [word for word in argv if word not in flags]
    options = dict(zip(words[::2], words[1::2], strict=True))
    _prepare()
    channel = Channel.from_descriptor(int(options["--channel"])) if "--channel" in options else None
    spawner = Spawner(options.get("--root"), channel, private="--private" in flags)
    if "--foreground" in flags:
        spawner.end_on_signals()
    if "--control" in options:
        control = int(options["--control"])
        os.set_inheritable(control, False)
        spawner.stored["control"] = (None, {"socket": control})
    if spawner.supervision and (module := options.get("--supervisor")):
        spawner.supervision.module = module
    gc.collect()
    gc.freeze()  # a fork then writes to fewer pages
    spawner.run()
    spawner.finish()
    os._exit(0)  # at once: nothing of ours needs an orderly end of the interpreter


if __name__ == "__main__":
    main(sys.argv[1:])
