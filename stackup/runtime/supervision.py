"""The spawner's care for the supervisor: start it, start it again when it dies, and give up the root in good order."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from collections import deque

from stackup.errors import Conflict
from stackup.runtime.channel import Channel, pair

STARTS, PERIOD = 5, 60.0  # at most so many starts in so many seconds


class Supervision:
    """`module` is run with `--channel FD --root PATH`. What it prints goes to supervisor.log in the root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.module = "stackup.engine.supervisor"
        self.pid = 0
        self.started = 0
        self._starts: deque[float] = deque(maxlen=STARTS)

    def wait(self) -> float | None:
        """Seconds until one may be started; None while the last one still has to end."""
        if self.pid:
            return None
        if len(self._starts) < STARTS:
            return 0
        return max(0.0, self._starts[0] + PERIOD - time.monotonic())

    def start(self) -> Channel:
        """Start one; our end of its channel."""
        self._starts.append(time.monotonic())
        self.started += 1
        ours, theirs = pair()
        fresh = os.O_TRUNC if self.started == 1 else 0
        path = os.path.join(self.root, "supervisor.log")
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | fresh, 0o600)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        number, spare = 3, max(theirs.fileno(), log, null, 3) + 1
        argv = [sys.executable, "-m", self.module, "--channel", str(number), "--root", self.root]
        actions = [
            # dup2 of a descriptor onto itself would leave it close-on-exec, so first out of the way
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), spare),
            (os.POSIX_SPAWN_DUP2, log, spare + 1),
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, spare + 1, 1),
            (os.POSIX_SPAWN_DUP2, spare + 1, 2),
            (os.POSIX_SPAWN_DUP2, spare, number),
            (os.POSIX_SPAWN_CLOSE, spare),
            (os.POSIX_SPAWN_CLOSE, spare + 1),
        ]
        self.pid = os.posix_spawn(
            sys.executable, argv, dict(os.environ), file_actions=actions, setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP],
        )  # fmt: skip
        theirs.close()
        os.close(log)
        os.close(null)
        return ours

    def lost(self) -> None:
        """Its channel ended: without it, it is no use, so it goes too (if it is our child and still there)."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def ended(self) -> None:
        """It was reaped."""
        self.pid = 0

    def give_up_control(self, listener: int | None) -> None:
        """Under the start lock take run/control.sock away. Conflict while somebody starts or waits to be heard.

        The lock is held until we end: who starts then finds the root free.
        """
        lock = os.open(self._path("start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Conflict("a start is under way") from None
        if listener is not None and _somebody_waits(listener):
            os.close(lock)
            raise Conflict("a connection waits to be heard")
        self._remove("control.sock")

    def end(self) -> None:
        """End the supervisor, in whose place the next start puts another, and free the root."""
        self.lost()
        self._remove("control.sock")
        self._remove("identity.json")  # the supervisor had no time for that

    def _remove(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            pass

    def _path(self, name: str) -> str:
        return os.path.join(self.root, "run", name)


def _somebody_waits(listener: int) -> bool:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
