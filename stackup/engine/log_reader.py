"""One stream of a container's log as lines: from a chosen place on, and again for what is new. See `log_files`.

Works while the pump writes, with no supervisor, and in a folder that cannot be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from stackup.classes import dataclass
from stackup.engine.log_files import (
    ENDED,
    ENTRY,
    Entry,
    Stream,
    index_path,
    parse_entries,
    segment_path,
    segments,
    uncovered,
)

LONGEST_LINE = 1 << 20  # bytes; a longer one comes in pieces
_BLOCK = 1 << 16
_ENTRIES = 1024 * ENTRY.size


@dataclass(frozen=True, slots=True)
class LogLine:
    """`text` without its line end; `time` in seconds since the epoch, when its end was seen.

    `whole` False: no line end follows (the last line of a writer that ended without one, or a piece of a huge line).
    `source`: the label it was asked for with, such as `web-1`.
    """

    time: float
    stream: Stream
    text: bytes
    source: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A byte of a stream: the segment's number and the offset in it."""

    segment: int
    offset: int


class StreamReader:
    """`poll` gives the lines since the last call. Close it."""

    def __init__(self, folder: str, stream: Stream, source: str = "") -> None:
        self._folder = folder
        self._stream = stream
        self._source = source
        self._number = -1
        self._segment = self._index = -1
        self._next = 0  # place of the next entry in the index, bytes
        self._read = 0  # how much of the segment was read, bytes
        self._rest: list[bytes] = []  # a line that has not ended yet
        self._rest_size = 0
        self._rest_time = 0
        self._limit: tuple[int, int] | None = None  # segment and size of its index where to stop

    def close(self) -> None:
        for descriptor in (self._segment, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._segment = self._index = -1

    def start_since(self, moment: float) -> None:
        """Begin with the line that ended first at or after `moment` (seconds since the epoch), or a little before."""
        wanted = int(moment * 1e9)
        for number in reversed(segments(self._folder, self._stream)):
            if not self._open(number):
                continue
            place = self._bisect(lambda entry: entry.time >= wanted)
            if before := self._entry_at(place - 1) if place else None:
                return self._start(self._back(Position(number, before.offset + before.length), 1))
        return self._start(None)

    def start_tail(self, lines: int) -> None:
        """Begin so that the last `lines` lines come (or some more, where a writer ended without a line end)."""
        numbers = segments(self._folder, self._stream)
        if not numbers:
            return None
        try:
            path = segment_path(self._folder, self._stream, numbers[-1])
            end = Position(numbers[-1], os.stat(path).st_size)
        except FileNotFoundError:
            return None
        closed = self._last_byte(numbers) == b"\n"
        return self._start(self._back(end, lines + closed))

    def freeze(self) -> None:
        """Stop at what is there now, however fast the writer is."""
        for number in reversed(segments(self._folder, self._stream)):
            try:
                size = os.stat(index_path(self._folder, self._stream, number)).st_size
                self._limit = (number, size - size % ENTRY.size)
                return
            except FileNotFoundError:
                continue
        self._limit = (-1, 0)

    def poll(self, *, final: bool = False) -> Iterator[LogLine]:
        """New whole lines. `final`: also bytes that have no entry yet, and a last line without an end."""
        while self._segment >= 0 or self._open_next():
            yield from self._new_entries()
            if not self._later():
                break
            yield from self._new_entries()  # the pump begins the next segment after its last entry of this one
            self.close()
        if final:
            yield from self._remains()

    # Places

    def _start(self, position: Position | None) -> None:
        """Read on from there; None, or a segment that went away: from the oldest."""
        if position is None or not self._open(position.segment):
            self.close()
            self._number = -1
            return
        self._next = self._bisect(lambda e: e.offset + e.length > position.offset) * ENTRY.size
        self._read = position.offset

    def _bisect(self, reached: Callable[[Entry], bool]) -> int:
        """Number of the first entry of the open index that `reached` holds for (it holds for all after it)."""
        low, high = 0, os.fstat(self._index).st_size // ENTRY.size
        while low < high:
            middle = (low + high) // 2
            entry = self._entry_at(middle)
            if entry is not None and not reached(entry):
                low = middle + 1
            else:
                high = middle
        return low

    def _entry_at(self, number: int) -> Entry | None:
        found = parse_entries(os.pread(self._index, ENTRY.size, number * ENTRY.size))
        return found[0] if found else None

    def _last_byte(self, numbers: list[int]) -> bytes:
        for number in reversed(numbers):
            try:
                with open(segment_path(self._folder, self._stream, number), "rb") as file:
                    if size := file.seek(0, os.SEEK_END):
                        file.seek(size - 1)
                        return file.read(1)
            except FileNotFoundError:
                break
        return b""

    def _back(self, start: Position, line_ends: int) -> Position:
        """The place after the `line_ends`-th line end before `start`, or where the stream begins."""
        place = start
        for number in reversed([n for n in segments(self._folder, self._stream) if n <= start.segment]):
            try:
                with open(segment_path(self._folder, self._stream, number), "rb") as file:
                    high = start.offset if number == start.segment else file.seek(0, os.SEEK_END)
                    found, line_ends = _find_back(file.fileno(), high, line_ends)
            except FileNotFoundError:
                break
            place = Position(number, found)
            if line_ends == 0:
                break
        return place

    # Reading

    def _open_next(self) -> bool:
        return any(self._open(n) for n in segments(self._folder, self._stream) if n > self._number)

    def _open(self, number: int) -> bool:
        """False where it went away (rotated) or its index is not there yet."""
        self.close()
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            self._segment = os.open(segment_path(self._folder, self._stream, number), flags)
            self._index = os.open(index_path(self._folder, self._stream, number), flags)
        except FileNotFoundError:
            self.close()
            return False
        self._number, self._next, self._read = number, 0, 0
        return True

    def _later(self) -> bool:
        """Is there a newer segment that we are to read?"""
        last = max(segments(self._folder, self._stream), default=-1)
        if self._limit is not None:
            last = min(last, self._limit[0])
        return last > self._number

    def _new_entries(self) -> Iterator[LogLine]:
        while data := os.pread(self._index, self._allowed(), self._next):
            entries = parse_entries(data)
            if not entries:
                return
            self._next += len(entries) * ENTRY.size
            for entry in entries:
                yield from self._piece(entry)

    def _allowed(self) -> int:
        if self._limit is None or self._number < self._limit[0]:
            return _ENTRIES
        return max(0, min(_ENTRIES, self._limit[1] - self._next)) if self._number == self._limit[0] else 0

    def _piece(self, entry: Entry) -> Iterator[LogLine]:
        end = entry.offset + entry.length
        while self._read < end:
            data = os.pread(self._segment, min(_BLOCK, end - self._read), self._read)
            if not data:
                break
            self._read += len(data)
            yield from self._split(data, entry.time)
        self._read = max(self._read, end)
        if entry.flags & ENDED:
            yield from self._flush()

    def _split(self, data: bytes, when: int) -> Iterator[LogLine]:
        *lines, rest = data.split(b"\n")
        if lines and self._rest:
            self._rest.append(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest, self._rest_size = [], 0
        for line in lines:
            yield LogLine(when / 1e9, self._stream, line, self._source)
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
            self._rest_time = when
            if self._rest_size >= LONGEST_LINE:
                yield from self._flush()

    def _flush(self) -> Iterator[LogLine]:
        if self._rest:
            text = b"".join(self._rest)
            self._rest, self._rest_size = [], 0
            yield LogLine(self._rest_time / 1e9, self._stream, text, self._source, whole=False)

    def _remains(self) -> Iterator[LogLine]:
        """Bytes that a pump moved and did not note yet, or never will: it was killed in between."""
        if self._segment >= 0 and (self._limit is None or self._limit[1] == self._next):
            info = os.fstat(self._segment)
            missing = uncovered([Entry(0, 0, self._read)], info.st_size, info.st_mtime_ns)
            if missing is not None:
                yield from self._piece(missing)
        yield from self._flush()


def _find_back(descriptor: int, high: int, line_ends: int) -> tuple[int, int]:
    """The place after the `line_ends`-th line end below `high`, and 0; else 0, and how many are still to be found."""
    while high > 0 and line_ends > 0:
        low = max(0, high - _BLOCK)
        block = os.pread(descriptor, high - low, low)
        at = len(block)
        while line_ends > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
            line_ends -= 1
            if line_ends == 0:
                return low + at + 1, 0
        high = low
    return high, line_ends
