"""The one reader of a container's output pipes: moves what arrives into segment files (see `log_files`).

splice(2) moves bytes from the pipe into the file inside the kernel, at an explicit offset, so a death of ours at any
moment leaves each byte either in the pipe or in the file: none lost, none doubled. The entry of the index follows; if
we die in between, `recover` writes it at the next start. A FIFO without a reader lets its writer wait at 64 KiB.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import time
from collections.abc import Callable

from stackup.classes import dataclass
from stackup.engine.log_files import ENDED, ENTRY, STREAMS, Entry, Stream, index_path, recover, segment_path, segments
from stackup.errors import KernelError

_PIECE = 1 << 20  # at most this much of one stream at a turn, so that a chatterbox does not starve the others
_RETRY = 1.0  # seconds until a full disk is tried again; the writers wait meanwhile
_LONGEST_OVERHANG = 1 << 16  # a segment may grow this far past its size to end at a line's end


@dataclass(frozen=True, slots=True)
class Limits:
    """`segment`: bytes of a segment with its index after which the next one begins; `keep`: segments a stream keeps."""

    segment: int = 10_000_000
    keep: int = 3


def make_pipes(container: str) -> None:
    """`out.fifo` and `err.fifo` in a container's folder. Mode 0666: the container's own user must be able to open
    /dev/stdout again; the root above is 0700."""
    for stream in STREAMS:
        path = os.path.join(container, f"{stream}.fifo")
        try:
            os.mkfifo(path, 0o666)
            os.chmod(path, 0o666)  # whatever our umask is
        except FileExistsError:
            pass


class StreamLog:
    """Where one stream is written: the newest segment and its index, opened with the first byte."""

    def __init__(self, folder: str, stream: Stream, limits: Limits = Limits()) -> None:
        self._folder = folder
        self._stream = stream
        self._limits = limits
        self._number = 0
        self._segment = self._index = -1
        self._offset = self._index_size = 0
        if found := segments(folder, stream):  # at once: bytes of a crash get their entry even if no more follow
            self._open(found[-1])

    def take(self, pipe: int) -> int:
        """Move what the pipe holds. 0: no writer is left. BlockingIOError: empty now. OSError: the disk refuses."""
        if self._segment < 0:
            if not _holds_bytes(pipe):
                return 0
            self._open(self._number)
        moved = os.splice(
            pipe, self._segment, _PIECE, offset_dst=self._offset, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
        )
        if moved:
            self._note(Entry(self._offset, time.time_ns(), moved))
            self._offset += moved
            self._rotate()
        return moved

    def mark_end(self) -> None:
        """The writer is gone. Nothing is written for a stream that never said anything, or twice."""
        if self._segment < 0 or self._index_size == 0:
            return
        last = Entry(*ENTRY.unpack(os.pread(self._index, ENTRY.size, self._index_size - ENTRY.size)))
        if not last.flags & ENDED:
            self._note(Entry(self._offset, time.time_ns(), 0, ENDED))

    def close(self) -> None:
        for descriptor in (self._segment, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._segment = self._index = -1

    def _note(self, entry: Entry) -> None:
        os.pwrite(self._index, entry.pack(), self._index_size)
        self._index_size += ENTRY.size

    def _open(self, number: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._number = number
        self._segment = os.open(segment_path(self._folder, self._stream, number), flags, 0o600)
        self._index = os.open(index_path(self._folder, self._stream, number), flags, 0o600)
        self._offset = recover(self._segment, self._index)
        self._index_size = os.fstat(self._index).st_size

    def _rotate(self) -> None:
        """Begin the next segment where this one is full, at a line's end if one comes soon; drop the oldest."""
        over = self._offset + self._index_size - self._limits.segment
        if over < 0 or (over < _LONGEST_OVERHANG and os.pread(self._segment, 1, self._offset - 1) != b"\n"):
            return
        self.close()
        self._open(self._number + 1)
        for number in segments(self._folder, self._stream)[: -self._limits.keep]:
            for path in (
                index_path(self._folder, self._stream, number),
                segment_path(self._folder, self._stream, number),
            ):
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    pass


def _holds_bytes(pipe: int) -> bool:
    """False: no writer is left. BlockingIOError: empty now. So that nothing is made for who says nothing."""
    asked = select.poll()
    asked.register(pipe, select.POLLIN)
    events = dict(asked.poll(0)).get(pipe, 0)
    if not events:
        raise BlockingIOError
    return bool(events & select.POLLIN)


class _Terminal:
    """The output of a container with a terminal: from its pty into `out.fifo`, whence the pump takes it.

    splice(2) needs a pipe on one side, and this pipe outlives us as long as somebody else holds it open.
    """

    def __init__(self, master: int, fifo: str) -> None:
        self._into = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.master = os.dup(master)
        os.set_blocking(self.master, False)  # the same open file for all who hold it
        self.ended = False

    def relay(self) -> None:
        """Move what the pty holds and the pipe has room for; `ended` where nobody has the terminal open any more."""
        try:
            moved = os.splice(self.master, self._into, 1 << 16, flags=os.SPLICE_F_NONBLOCK)
            self.ended = moved == 0
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # what read(2) of a master says when the last slave is closed
                raise
            self.ended = True

    def close(self) -> None:
        os.close(self.master)
        os.close(self._into)


class Pump:
    """Both streams of a container. Use it from the loop's thread.

    `attach` after the container's process has its pipes open (again after each start), `finish` when it ended, `close`
    at last. `problem` is called once for each time that the disk refuses; pumping goes on by itself when it no longer
    does.
    """

    def __init__(
        self, container: str, *, terminal: int | None = None, limits: Limits = Limits(),
        problem: Callable[[KernelError], None] | None = None,
    ) -> None:  # fmt: skip
        """`container`: its folder, with the FIFOs in it. `terminal`: the master of its pty, which stays the
        caller's and no longer blocks. Raises KernelError."""
        self._problem = problem
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipes: dict[Stream, int] = {}
        self._logs: dict[Stream, StreamLog] = {}
        self._terminal: _Terminal | None = None
        self._waiting: dict[Stream, asyncio.TimerHandle] = {}
        self._refused: set[Stream] = set()
        try:
            for stream in STREAMS:
                # Never for writing: the end of the last writer must be seen.
                path = os.path.join(container, f"{stream}.fifo")
                self._pipes[stream] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._logs[stream] = StreamLog(os.path.join(container, "log"), stream, limits)
            if terminal is not None:
                self._terminal = _Terminal(terminal, os.path.join(container, "out.fifo"))
        except OSError as error:
            self.close()
            raise KernelError.of(f"open the output of {container}", error) from error

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pump whenever something arrives, from now on. Again is no change."""
        self._loop = loop
        for stream in self._pipes:
            self._watch(stream)

    def finish(self) -> None:
        """The container ended: take the rest and mark the end. What it wrote is all in the pipe by now."""
        for stream in self._pipes:
            self._detach(stream)
            while self._take(stream):
                pass
            if stream not in self._refused:
                self._logs[stream].mark_end()

    def close(self) -> None:
        for stream in self._pipes:
            self._detach(stream)
        for descriptor in self._pipes.values():
            os.close(descriptor)
        for log in self._logs.values():
            log.close()
        if self._terminal is not None:
            self._terminal.close()
        self._terminal = None
        self._pipes.clear()
        self._logs.clear()

    def _turn(self, stream: Stream) -> None:
        if self._take(stream) == 0:
            self._detach(stream)  # what has no writer is readable for ever
            self._logs[stream].mark_end()

    def _take(self, stream: Stream) -> int | None:
        """Bytes moved; 0: no writer is left; None: nothing there now, or the disk refused."""
        terminal = self._terminal if stream == "out" else None
        try:
            if terminal is not None:
                terminal.relay()
            moved = self._logs[stream].take(self._pipes[stream])
        except BlockingIOError:
            return 0 if terminal is not None and terminal.ended else None
        except OSError as error:
            self._pause(stream, error)
            return None
        self._refused.discard(stream)
        return moved

    def _pause(self, stream: Stream, error: OSError) -> None:
        self._detach(stream)
        if stream not in self._refused and self._problem is not None:
            hint = "free some space; the container's output waits" if error.errno == errno.ENOSPC else None
            self._problem(KernelError.of(f"write the log of std{stream}", error, hint))
        self._refused.add(stream)
        if self._loop is not None:
            self._waiting[stream] = self._loop.call_later(_RETRY, self._resume, stream)

    def _resume(self, stream: Stream) -> None:
        self._waiting.pop(stream, None)
        if stream in self._pipes:
            self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        if self._loop is not None:
            for descriptor in self._watched(stream):
                self._loop.add_reader(descriptor, self._turn, stream)

    def _detach(self, stream: Stream) -> None:
        if timer := self._waiting.pop(stream, None):
            timer.cancel()
        if self._loop is not None and not self._loop.is_closed():
            for descriptor in self._watched(stream):
                self._loop.remove_reader(descriptor)

    def _watched(self, stream: Stream) -> list[int]:
        watched = [self._pipes[stream]]
        if stream == "out" and self._terminal is not None:
            watched.append(self._terminal.master)
        return watched
