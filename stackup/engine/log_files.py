"""A container's output on disk: containers/<id>/log/.

Each stream (`out`, `err`) is a row of segments, numbered upwards and never renamed: `out.7` holds the raw bytes, and
`out.7.idx` beside it one 24-byte entry for each piece that arrived (offset, time, length, flags; little-endian). A line
may go on in the next segment. Bytes without an entry were moved right before a crash: `recover` gives them one.
"""

from __future__ import annotations

import os
import re
import struct
from typing import Literal

from stackup.classes import dataclass

Stream = Literal["out", "err"]
STREAMS: tuple[Stream, ...] = ("out", "err")

RECOVERED = 1  # the time is the file's last change, not when the piece was seen
ENDED = 2  # a mark without bytes: the writer is gone, so a line without an end will not get one

ENTRY = struct.Struct("<QQII")
_NAME = re.compile(r"(out|err)\.(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece of a segment: `length` bytes at `offset`, seen at `time` (nanoseconds since the epoch)."""

    offset: int
    time: int
    length: int
    flags: int = 0

    def pack(self) -> bytes:
        return ENTRY.pack(self.offset, self.time, self.length, self.flags)


def segment_path(folder: str, stream: Stream, number: int) -> str:
    return os.path.join(folder, f"{stream}.{number}")


def index_path(folder: str, stream: Stream, number: int) -> str:
    return os.path.join(folder, f"{stream}.{number}.idx")


def segments(folder: str, stream: Stream) -> list[int]:
    """Numbers of the segments that are there, oldest first; empty where there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(int(m[2]) for m in found if m and m[1] == stream)


def parse_entries(data: bytes) -> list[Entry]:
    """Whole entries; a torn one at the end (a crash while it was written) is not one."""
    whole = len(data) - len(data) % ENTRY.size
    return [Entry(*fields) for fields in ENTRY.iter_unpack(data[:whole])]


def uncovered(entries: list[Entry], size: int, modified_ns: int) -> Entry | None:
    """The entry for bytes of a segment that have none. `size`, `modified_ns`: of the segment's file."""
    covered = entries[-1].offset + entries[-1].length if entries else 0
    if size <= covered:
        return None
    return Entry(covered, modified_ns, size - covered, RECOVERED)


def recover(segment: int, index: int) -> int:
    """Make an index whole after a crash; the segment's size. Takes descriptors, both open for reading and writing."""
    info = os.fstat(segment)
    data = os.pread(index, os.fstat(index).st_size, 0)
    entries = parse_entries(data)
    os.ftruncate(index, len(entries) * ENTRY.size)
    missing = uncovered(entries, info.st_size, info.st_mtime_ns)
    if missing is not None:
        os.pwrite(index, missing.pack(), len(entries) * ENTRY.size)
    return info.st_size
