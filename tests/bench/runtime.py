"""What a container costs the spawner: `python -m tests.bench.runtime [COUNT]`, as root. Printed, never asserted."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from stackup.runtime import spawning
from stackup.runtime.channel import Channel, close_all
from tests.integration import bundles

from .clock import pss_kib


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="stackup-bench-") as folder:
        measure(Path(folder), count)
    return 0


def measure(folder: Path, count: int) -> None:
    before = time.monotonic()
    channel = spawning.private()
    pid = _hello(channel)
    print(f"start a private spawner: {(time.monotonic() - before) * 1000:.0f} ms, {pss_kib([pid])} KiB PSS")
    requests = [
        {
            "id": n, "op": "run", "container": f"c{n}", "spec": bundles.spec("/bin/busybox", "sleep", "1000"),
            "rootfs": [m.to_json() for m in bundles.overlay(folder, f"c{n}")],
        }
        for n in range(count)
    ]  # fmt: skip
    for many, name in ((1, "one after the other"), (count, "all asked at once")):
        time.sleep(1)
        batches = [requests[n : n + many] for n in range(0, count, many)]
        before, cpu = time.monotonic(), _cpu(pid)
        for batch in batches:
            for request in batch:
                channel.send(request)
            _replies(channel, len(batch))
        wall = time.monotonic() - before
        print(
            f"{count} containers, {name}: {wall / count * 1000:.2f} ms each,"
            f" of it {(_cpu(pid) - cpu) / count * 1000:.2f} ms of the spawner's CPU"
        )
        _end(channel, count)
    channel.close()


def _hello(channel: Channel) -> int:
    channel.send({"id": 0, "op": "hello"})
    received = channel.receive(30)
    assert received is not None
    channel.receive(30)
    return int(received[0]["pid"])


def _replies(channel: Channel, count: int) -> None:
    while count:
        received = channel.receive(60)
        assert received is not None
        close_all(received[1])
        if "re" in received[0]:
            assert received[0]["ok"], received[0]
            count -= 1


def _end(channel: Channel, count: int) -> None:
    for n in range(count):
        channel.send({"id": n, "op": "kill", "container": f"c{n}", "signal": 9})
    ended = 0
    while ended < count:
        received = channel.receive(60)
        assert received is not None
        ended += received[0].get("event") == "exited"
    for n in range(count):
        channel.send({"id": n, "op": "forget", "container": f"c{n}"})
    _replies(channel, count)


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
