"""The CLI's side of `exec`: the user's terminal or pipes and a command in a container.

Without a terminal the user's own descriptors are the command's stdio, and no byte passes through us. With one, the
master of the command's pty comes over the control socket; bytes are copied between it and the user's terminal, which
is in raw mode meanwhile, and window sizes follow (SIGWINCH).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal as signals
import struct
import termios
import threading
import tty as ttys
from typing import Any

from stackup import errors
from stackup.engine.client import Client
from stackup.engine.views import ExitStatus
from stackup.errors import BadInput
from stackup.oci import Document


def execute(connection: Client, fds: tuple[int, int, int], *, tty: bool, **wanted: Any) -> ExitStatus:
    """Ask for the command and wait for its end. A command that could not be run raises with `exit_status`."""
    if not tty:
        return _status(connection.request("exec", fds=fds, tty=False, **wanted))
    if not os.isatty(fds[0]):
        raise BadInput("standard input is not a terminal", hint="leave out -t")
    wanted["env"] = {"TERM": os.environ.get("TERM", "xterm"), **(wanted.get("env") or {})}
    copies: list[_Copy] = []

    def other(event: Document, received: list[int]) -> None:
        if event.get("kind") == "terminal" and received:
            copies.append(_Copy(received[0], fds[0], fds[1]))
            copies[0].start()

    try:
        reply = connection.request("exec", other=other, tty=True, **wanted)
    finally:
        for copy in copies:
            copy.end()
    return _status(reply)


def _status(reply: Document) -> ExitStatus:
    if refused := reply.get("refused"):
        error = errors.from_plain(refused)
        error.exit_status = int(reply.get("status", 125))  # type: ignore[attr-defined]
        raise error
    return ExitStatus(code=reply["code"], signal=reply["signal"])


class _Copy:
    """Copies between a pty master and the user's terminal until the master ends."""

    def __init__(self, master: int, source: int, sink: int) -> None:
        self._master, self._source, self._sink = master, source, sink
        self._stop_reading, self._stop = os.pipe2(os.O_CLOEXEC)
        self._before = termios.tcgetattr(source)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._old_handler: Any = None

    def start(self) -> None:
        ttys.setraw(self._source, termios.TCSANOW)
        self._old_handler = signals.signal(signals.SIGWINCH, lambda *_: self._resize())
        self._resize()
        self._thread.start()

    def end(self) -> None:
        """The command ended: take what it still said, give the terminal back."""
        os.write(self._stop, b"x")
        self._thread.join(2)
        termios.tcsetattr(self._source, termios.TCSADRAIN, self._before)
        signals.signal(signals.SIGWINCH, self._old_handler or signals.SIG_DFL)
        for descriptor in (self._master, self._stop, self._stop_reading):
            os.close(descriptor)

    def _resize(self) -> None:
        try:
            size = fcntl.ioctl(self._source, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        except OSError:
            pass

    def _run(self) -> None:
        watched = [self._master, self._source, self._stop_reading]
        while True:
            ready, _, _ = select.select(watched, [], [])
            if self._master in ready and not self._move(self._master, self._sink):
                return
            if self._source in ready and not self._move(self._source, self._master):
                watched.remove(self._source)
            if self._stop_reading in ready:
                while select.select([self._master], [], [], 0)[0] and self._move(self._master, self._sink):
                    pass
                return

    @staticmethod
    def _move(source: int, sink: int) -> bool:
        try:
            data = os.read(source, 1 << 16)
            while data:
                data = data[os.write(sink, data) :]
                if not data:
                    return True
        except OSError:
            pass  # EIO: the last one on the pty's other side has gone
        return False
