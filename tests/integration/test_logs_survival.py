"""A service's output survives the death of who pumps it: each line is there, once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

from stackup.engine.log_files import STREAMS, index_path, parse_entries, segments
from stackup.engine.log_pump import Limits, Pump, make_pipes
from stackup.engine.logs import read

LINES = 40_000


def _pump(folder: Path) -> int:
    """A process that pumps until it is killed, or until both writers are gone."""
    child = os.fork()
    if child:
        return child
    try:

        async def run() -> None:
            pump = Pump(str(folder), limits=Limits(segment=200_000, keep=1000))
            pump.attach(asyncio.get_running_loop())
            await asyncio.sleep(120)

        asyncio.run(run())
    finally:
        os._exit(0)


def _writer(folder: Path, stream: str) -> int:
    """A process that writes numbered lines in uneven pieces, as the owner of a container's pipe."""
    child = os.fork()
    if child:
        return child
    try:
        pipe = os.open(folder / f"{stream}.fifo", os.O_RDWR)  # both ways, so that no death of ours is a SIGPIPE
        rest = b"".join(b"%s %d %s\n" % (stream.encode(), n, b"." * (n % 37)) for n in range(LINES))
        chance = random.Random(stream)
        while rest:
            written = os.write(pipe, rest[: chance.choice((1, 50, 4000, 65536))])
            rest = rest[written:]
            time.sleep(0.0002)
    finally:
        os._exit(0)


def _kill_and_kill(tmp_path: Path) -> None:
    """Two writers, and a pump that is killed at random moments; what is left is taken at the end."""
    make_pipes(str(tmp_path))
    held = [os.open(tmp_path / f"{s}.fifo", os.O_RDONLY | os.O_NONBLOCK) for s in STREAMS]  # as the spawner does
    writers = {_writer(tmp_path, stream) for stream in STREAMS}
    chance = random.Random(7)
    kills = 0
    while writers:
        pump = _pump(tmp_path)
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(pump, signal.SIGKILL)
        os.waitpid(pump, 0)
        kills += 1
        writers -= {w for w in writers if os.waitpid(w, os.WNOHANG)[0]}

    last = Pump(str(tmp_path), limits=Limits(segment=200_000, keep=1000))
    last.finish()
    last.close()
    for descriptor in held:
        os.close(descriptor)
    assert kills > 5


def test_kill_9_of_the_pump_loses_no_line_and_doubles_none(tmp_path: Path) -> None:
    _kill_and_kill(tmp_path)
    lines = [line.text for line in read(str(tmp_path / "log"))]
    for stream in STREAMS:
        mine = [line for line in lines if line.startswith(stream.encode())]
        assert mine == [b"%s %d %s" % (stream.encode(), n, b"." * (n % 37)) for n in range(LINES)]
    assert len(lines) == 2 * LINES


def test_every_byte_has_one_entry_even_where_a_death_came_between(tmp_path: Path) -> None:
    _kill_and_kill(tmp_path)
    folder = str(tmp_path / "log")
    for stream in STREAMS:
        for number in segments(folder, stream):
            entries = parse_entries(Path(index_path(folder, stream, number)).read_bytes())
            end = 0
            for entry in entries:
                assert entry.offset == end
                end += entry.length
            assert end == os.path.getsize(tmp_path / "log" / f"{stream}.{number}")


def test_who_follows_misses_nothing_over_kills_and_rotations(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    over = threading.Event()
    seen: list[bytes] = []

    def follow() -> None:
        seen.extend(line.text for line in read(str(tmp_path / "log"), follow=True, finished=over.is_set))

    following = threading.Thread(target=follow)
    writing = multiprocessing.get_context("spawn").Process(target=_kill_and_kill, args=(tmp_path,))
    writing.start()
    following.start()
    writing.join(60)
    over.set()
    following.join(60)
    assert writing.exitcode == 0
    for stream in STREAMS:
        mine = [line for line in seen if line.startswith(stream.encode())]
        assert mine == [b"%s %d %s" % (stream.encode(), n, b"." * (n % 37)) for n in range(LINES)]
    assert len(seen) == 2 * LINES
