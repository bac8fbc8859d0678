"""Reading what the pump wrote: lines of one or many containers, merged by time (`log_reader` has the bytes).

The quick verbs import this: stdlib only, no asyncio. `Pump`, which writes, is in `log_pump`.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from stackup.engine.log_files import STREAMS
from stackup.engine.log_reader import LogLine, StreamReader

__all__ = ["LogLine", "read", "read_many"]

POLL = 0.05  # seconds between two looks while following
REFRESH = 0.5  # seconds between two questions who there is to follow


def read(
    folder: str, *, since: float | None = None, tail: int | None = None, follow: bool = False, source: str = "",
    finished: Callable[[], bool] | None = None,
) -> Iterator[LogLine]:  # fmt: skip
    """The lines of one container; see `read_many`. `folder`: `Host.container(id, "log")`."""
    return read_many(lambda: {folder: source}, since=since, tail=tail, follow=follow, finished=finished)


def read_many(
    sources: Callable[[], Mapping[str, str]], *, since: float | None = None, tail: int | None = None,
    follow: bool = False, finished: Callable[[], bool] | None = None,
) -> Iterator[LogLine]:  # fmt: skip
    """The lines of several containers, merged by time.

    `sources()` gives log folder -> label; while following it is asked again now and then, so that a container made
    later joins in. A folder may not be there yet. `since`: seconds since the epoch, compared with a line's time.
    `tail`: the last so many lines of each container, of what is there at first. `follow` goes on until the iterator is
    closed or `finished()` says so; then what is left is read.
    """
    following = _Following(since)
    try:
        following.join(sources(), tail)
        if not follow:
            yield from following.first(tail, final=True)
            return
        yield from following.first(tail, final=False)
        asked = time.monotonic()
        while True:
            time.sleep(POLL)
            if time.monotonic() - asked >= REFRESH:
                if finished is not None and finished():
                    break
                asked, now = time.monotonic(), sources()
                following.join(now, None)
                yield from following.leave(now)
            yield from following.more()
        yield from following.more(final=True)
    finally:
        following.close()


class _Following:
    def __init__(self, since: float | None) -> None:
        self._since = since
        self._readers: dict[str, list[StreamReader]] = {}

    def join(self, sources: Mapping[str, str], tail: int | None) -> None:
        for folder, label in sources.items():
            if folder in self._readers:
                continue
            readers = [StreamReader(folder, stream, label) for stream in STREAMS]
            self._readers[folder] = readers
            for reader in readers:
                if tail is not None:
                    reader.start_tail(tail)
                elif self._since is not None:
                    reader.start_since(self._since)

    def leave(self, sources: Mapping[str, str]) -> Iterator[LogLine]:
        """What is left of containers that are gone: our descriptors still hold their files."""
        for folder in [f for f in self._readers if f not in sources]:
            readers = self._readers.pop(folder)
            yield from self._wanted(_merged(readers, final=True))
            for reader in readers:
                reader.close()

    def first(self, tail: int | None, *, final: bool) -> Iterator[LogLine]:
        if final:
            for readers in self._readers.values():
                for reader in readers:
                    reader.freeze()
        if tail is None:
            return self.more(final=final)
        kept = [deque(self._wanted(_merged(readers, final)), maxlen=tail) for readers in self._readers.values()]
        return heapq.merge(*kept, key=_when)

    def more(self, *, final: bool = False) -> Iterator[LogLine]:
        every = [reader for readers in self._readers.values() for reader in readers]
        return self._wanted(_merged(every, final))

    def _wanted(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        since = self._since
        return lines if since is None else (line for line in lines if line.time >= since)

    def close(self) -> None:
        for readers in self._readers.values():
            for reader in readers:
                reader.close()


def _merged(readers: list[StreamReader], final: bool) -> Iterator[LogLine]:
    """By time; lines of one stream keep their order."""
    return heapq.merge(*(reader.poll(final=final) for reader in readers), key=_when)


def _when(line: LogLine) -> float:
    return line.time
