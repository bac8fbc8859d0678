from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackup.engine.log_files import ENDED, ENTRY, Entry, index_path, parse_entries, segment_path, segments
from stackup.engine.log_pump import Limits, Pump, StreamLog, make_pipes
from stackup.engine.logs import LogLine, read, read_many
from stackup.errors import KernelError

NS = 1_000_000_000


class Written:
    """A log folder written entry by entry, with times of our choosing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, stream: str, text: bytes, at: float, segment: int = 0, *, noted: bool = True, flags: int = 0) -> None:
        path = Path(segment_path(str(self.folder), stream, segment))  # type: ignore[arg-type]
        offset = path.stat().st_size if path.exists() else 0
        with path.open("ab") as file:
            file.write(text)
        if noted:
            with open(index_path(str(self.folder), stream, segment), "ab") as file:  # type: ignore[arg-type]
                file.write(Entry(offset, int(at * NS), len(text), flags).pack())

    def texts(self, **options: object) -> list[bytes]:
        return [line.text for line in read(str(self.folder), **options)]  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Written:
    return Written(tmp_path / "log")


def test_streams_are_merged_by_time(log: Written) -> None:
    log.add("out", b"one\n", 1)
    log.add("err", b"two\n", 2)
    log.add("out", b"three\n", 3)
    assert list(read(str(log.folder), source="web-1")) == [
        LogLine(1.0, "out", b"one", "web-1"),
        LogLine(2.0, "err", b"two", "web-1"),
        LogLine(3.0, "out", b"three", "web-1"),
    ]


def test_a_line_has_the_time_of_its_end(log: Written) -> None:
    log.add("out", b"loading", 1)
    log.add("err", b"warning\n", 2)
    log.add("out", b" done\n", 3)
    assert [(line.time, line.text) for line in read(str(log.folder))] == [(2.0, b"warning"), (3.0, b"loading done")]


def test_a_last_line_without_an_end_is_shown(log: Written) -> None:
    log.add("out", b"a\nprompt> ", 1)
    *_, last = read(str(log.folder))
    assert (last.text, last.whole) == (b"prompt> ", False)


def test_a_writer_that_ended_does_not_share_a_line_with_the_next(log: Written) -> None:
    log.add("out", b"half", 1)
    log.add("out", b"", 2, flags=ENDED)
    log.add("out", b"again\n", 3)
    assert log.texts() == [b"half", b"again"]


def test_lines_go_on_over_segments_and_empty_lines_count(log: Written) -> None:
    log.add("out", b"a\n\nb", 1, segment=3)
    log.add("out", b"b\nc\n", 2, segment=4)
    assert log.texts() == [b"a", b"", b"bb", b"c"]


def test_bytes_without_an_entry_are_shown(log: Written) -> None:
    log.add("out", b"noted\n", 1)
    log.add("out", b"moved right before the crash\n", 2, noted=False)
    assert log.texts() == [b"noted", b"moved right before the crash"]


def test_a_torn_entry_counts_as_none(log: Written) -> None:
    log.add("out", b"a\nb\n", 1)
    with open(index_path(str(log.folder), "out", 0), "ab") as file:
        file.write(b"\x01" * 11)
    log.add("out", b"c\n", 2, noted=False)
    assert log.texts() == [b"a", b"b", b"c"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 100])
def test_tail_gives_the_last_lines_of_both_streams(log: Written, count: int) -> None:
    for second in range(1, 7):
        log.add("out" if second % 2 else "err", b"line %d\n" % second, second, segment=second // 4)
    every = [b"line %d" % second for second in range(1, 7)]
    assert log.texts(tail=count) == (every[-count:] if count else [])


def test_tail_counts_a_last_line_without_an_end(log: Written) -> None:
    log.add("out", b"a\nb\nc", 1)
    assert log.texts(tail=2) == [b"b", b"c"]


def test_tail_is_for_each_container(log: Written, tmp_path: Path) -> None:
    other = Written(tmp_path / "other")
    for second in range(4):
        log.add("out", b"x%d\n" % second, second)
        other.add("out", b"y%d\n" % second, second + 0.5)
    sources = {str(log.folder): "x", str(other.folder): "y"}
    assert [line.text for line in read_many(lambda: sources, tail=2)] == [b"x2", b"y2", b"x3", b"y3"]


@pytest.mark.parametrize("since", [0, 1, 2, 2.5, 3, 4, 6, 7])
def test_since_gives_whole_lines_that_ended_then_or_later(log: Written, since: float) -> None:
    for second in range(1, 7):
        log.add("out", b"begun at %d;" % second, second, segment=second // 3)
        log.add("out", b" ended at %d\n" % (second + 0.5), second + 0.5, segment=second // 3)
    expected = [b"begun at %d; ended at %d" % (s, s) for s in range(1, 7) if s + 0.5 >= since]
    assert log.texts(since=since) == expected


def test_a_huge_line_comes_in_pieces_and_none_is_lost(log: Written) -> None:
    text = b"x" * 3_500_000
    log.add("out", text + b"\nend\n", 1)
    lines = list(read(str(log.folder)))
    assert b"".join(line.text for line in lines[:-1]) == text
    assert max(len(line.text) for line in lines) <= (1 << 20) + (1 << 16)
    assert [line.whole for line in lines[-2:]] == [True, True]


def test_a_container_that_said_nothing_has_no_lines(tmp_path: Path) -> None:
    assert list(read(str(tmp_path / "none"))) == []
    assert list(read(str(tmp_path / "none"), tail=3, since=1.0)) == []


def test_following_sees_new_lines_new_segments_and_new_containers(log: Written, tmp_path: Path) -> None:
    later = Written(tmp_path / "later")
    log.add("out", b"old\n", 1)
    log.add("out", b"last\n", 2)
    sources = {str(log.folder): "a"}
    stop = threading.Event()
    following = read_many(lambda: sources, follow=True, tail=1, finished=stop.is_set)
    assert next(following).text == b"last"
    log.add("out", b"new ", 3)
    log.add("out", b"line\n", 4, segment=1)
    assert next(following).text == b"new line"
    later.add("err", b"hello\n", 5)
    sources[str(later.folder)] = "b"
    assert next(following) == LogLine(5.0, "err", b"hello", "b")
    log.add("out", b"no end", 6, segment=1)
    stop.set()
    assert [line.text for line in following] == [b"no end"]


def test_following_ends_for_a_container_that_is_gone(log: Written) -> None:
    log.add("out", b"a\n", 1)
    sources = {str(log.folder): ""}
    following = read_many(lambda: sources, follow=True)
    assert next(following).text == b"a"
    log.add("out", b"goodbye", 2)
    sources.clear()
    assert next(following).text == b"goodbye"


# The pump


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            pass


def entries(folder: Path, number: int = 0) -> list[Entry]:
    return parse_entries(Path(index_path(str(folder), "out", number)).read_bytes())


def test_what_a_pipe_holds_is_moved_and_noted(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    before = time.time_ns()
    stream = StreamLog(str(tmp_path), "out")
    os.write(writing, b"hello\n")
    assert stream.take(reading) == 6
    with pytest.raises(BlockingIOError):
        stream.take(reading)
    os.close(writing)
    assert stream.take(reading) == 0
    stream.mark_end()
    stream.mark_end()
    stream.close()
    piece, end = entries(tmp_path)
    assert (piece.offset, piece.length, piece.flags) == (0, 6, 0)
    assert before <= piece.time <= time.time_ns()
    assert (end.offset, end.length, end.flags) == (6, 0, ENDED)


def test_nothing_is_made_for_a_stream_that_says_nothing(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = StreamLog(str(tmp_path), "out")
    with pytest.raises(BlockingIOError):
        stream.take(reading)
    os.close(writing)
    assert stream.take(reading) == 0
    stream.mark_end()
    stream.close()
    assert os.listdir(tmp_path) == []


def test_segments_end_at_a_line_end_and_only_the_newest_are_kept(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = StreamLog(str(tmp_path), "out", Limits(segment=1000, keep=3))
    for number in range(200):
        os.write(writing, b"begin %d " % number)
        stream.take(reading)
        os.write(writing, b"end %d\n" % number)
        stream.take(reading)
    stream.close()
    kept = segments(str(tmp_path), "out")
    assert len(kept) == 3
    assert sorted(os.listdir(tmp_path)) == sorted(f"out.{n}{s}" for n in kept for s in ("", ".idx"))
    texts = [line.text for line in read(str(tmp_path))]
    assert texts[-1] == b"begin 199 end 199"
    assert texts == [b"begin %d end %d" % (n, n) for n in range(200 - len(texts), 200)]


def test_a_writer_of_single_bytes_cannot_grow_the_index_without_bound(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = StreamLog(str(tmp_path), "out", Limits(segment=1000, keep=2))
    for _ in range(500):
        os.write(writing, b"\n")
        stream.take(reading)
    stream.close()
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 2200


def test_bytes_of_a_crash_get_an_entry_at_the_next_start(tmp_path: Path, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    stream = StreamLog(str(tmp_path), "out")
    os.write(writing, b"one\n")
    stream.take(reading)
    stream.close()
    with open(segment_path(str(tmp_path), "out", 0), "ab") as file:
        file.write(b"two\n")
    with open(index_path(str(tmp_path), "out", 0), "ab") as file:
        file.write(b"torn")
    again = StreamLog(str(tmp_path), "out")
    os.write(writing, b"three\n")
    again.take(reading)
    again.close()
    assert [(e.offset, e.length, e.flags) for e in entries(tmp_path)] == [(0, 4, 0), (4, 4, 1), (8, 6, 0)]
    assert os.path.getsize(index_path(str(tmp_path), "out", 0)) == 3 * ENTRY.size
    assert [line.text for line in read(str(tmp_path))] == [b"one", b"two", b"three"]


def test_the_pump_takes_both_streams_of_a_container_and_every_later_run_of_it(tmp_path: Path) -> None:
    make_pipes(str(tmp_path))
    make_pipes(str(tmp_path))
    assert os.stat(tmp_path / "out.fifo").st_mode & 0o777 == 0o666

    async def run() -> None:
        pump = Pump(str(tmp_path))
        for turn in (b"first", b"second"):
            out, err = (os.open(tmp_path / f"{s}.fifo", os.O_RDWR) for s in ("out", "err"))
            pump.attach(asyncio.get_running_loop())
            os.write(out, turn + b" out\n")
            while not read_texts() or read_texts()[-1] != turn + b" out":
                await asyncio.sleep(0.01)
            os.write(err, turn + b" err\n")
            os.write(out, turn + b" no end")
            os.close(out)
            os.close(err)
            pump.finish()
        pump.close()

    def read_texts() -> list[bytes]:
        return [line.text for line in read(str(tmp_path / "log"))]

    asyncio.run(run())
    assert sorted(read_texts()[:3]) == [b"first err", b"first no end", b"first out"]
    assert sorted(read_texts()[3:]) == [b"second err", b"second no end", b"second out"]


def test_the_output_of_a_terminal_is_logged_to_its_end(tmp_path: Path) -> None:
    make_pipes(str(tmp_path))
    master, slave = os.openpty()

    async def run() -> None:
        pump = Pump(str(tmp_path), terminal=master)
        pump.attach(asyncio.get_running_loop())
        os.write(slave, b"hello\n")
        while not list(read(str(tmp_path / "log"))):
            await asyncio.sleep(0.01)
        os.write(slave, b"bye")
        os.close(slave)
        pump.finish()
        pump.close()

    asyncio.run(run())
    os.close(master)
    assert [line.text for line in read(str(tmp_path / "log"))] == [b"hello\r", b"bye"]


def test_a_disk_that_refuses_is_said_once_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pipes(str(tmp_path))
    monkeypatch.setattr("stackup.engine.log_pump._RETRY", 0.01)
    problems: list[KernelError] = []
    splice, full = os.splice, [28, 28, 28]

    def refusing(*arguments: object, **options: object) -> int:
        if full:
            raise OSError(full.pop(), "No space left on device")
        return splice(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "splice", refusing)

    async def run() -> None:
        pump = Pump(str(tmp_path), problem=problems.append)
        out = os.open(tmp_path / "out.fifo", os.O_RDWR)
        pump.attach(asyncio.get_running_loop())
        os.write(out, b"kept\n")
        while not list(read(str(tmp_path / "log"))):
            await asyncio.sleep(0.01)
        os.close(out)
        pump.finish()
        pump.close()

    asyncio.run(run())
    assert [line.text for line in read(str(tmp_path / "log"))] == [b"kept"]
    (problem,) = problems
    assert problem.message == "write the log of stdout: No space left on device"
    assert problem.hint is not None


def test_a_container_without_pipes_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="open the output of"):
        Pump(str(tmp_path))
