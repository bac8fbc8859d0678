"""`make bench`: stackup beside docker-compose and podman, in one run, as ratios.

Each operation is repeated; the median counts. Nothing here is asserted: the table is for people.
    python -m tests.bench [--reps N] [--counts 10,50] [--only stackup]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import loader
from .clock import Times
from .engines import DockerCompose, Podman, Stackup

OPERATIONS = ("up", "no-op up", "one changed", "down")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--counts", default="10,50")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("the measurement needs root", file=sys.stderr)
        return 3
    folder = Path(tempfile.mkdtemp(prefix="stackup-bench-"))
    try:
        for count in (int(c) for c in options.counts.split(",")):
            compare(folder / str(count), count, options.reps, options.only)
        loader.compare(folder, options.reps, options.only)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def compare(folder: Path, count: int, reps: int, only: str) -> None:
    times: dict[str, Times] = {}
    memory: dict[str, int] = {}
    for kind in (Stackup, DockerCompose, Podman):
        if only and only not in kind.name:
            continue
        if kind is not Stackup and not kind.installed():  # type: ignore[attr-defined]
            print(f"({kind.name} is not installed)", flush=True)
            continue
        engine = kind(folder / kind.name.split()[0])
        try:
            times[kind.name] = Times()
            for _ in range(reps):
                memory[kind.name] = engine.measure(count, times[kind.name])
        finally:
            engine.close()
            cleanup_overlay(folder)
    show(count, reps, times, memory)


def cleanup_overlay(folder: Path) -> None:
    """Engines that died may leave mounts below their own folder."""
    with open("/proc/self/mounts") as file:
        mine = [line.split()[1] for line in file if line.split()[1].startswith(str(folder))]
    for path in reversed(mine):
        subprocess.run(["umount", "-l", path], capture_output=True)


def show(count: int, reps: int, times: dict[str, Times], memory: dict[str, int]) -> None:
    names = list(times)
    print(f"\n{count} sleeping services, median of {reps}; {os.cpu_count()} cores, Linux {platform.release()}")
    print(f"{'':14}" + "".join(f"{n:>18}" for n in names) + f"{'ratio to best peer':>22}")
    for operation in OPERATIONS:
        row = [times[n].median(operation) for n in names]
        peers = [v for n, v in zip(names, row, strict=True) if n != Stackup.name and v is not None]
        own = times[Stackup.name].median(operation) if Stackup.name in times else None
        ratio = f"{own / min(peers):.2f}" if peers and own is not None else "-"
        print(
            f"{operation:14}"
            + "".join(f"{v:>16.2f} s" if v is not None else f"{'-':>18}" for v in row)
            + f"{ratio:>22}"
        )
    print(f"{'memory (PSS)':14}" + "".join(f"{memory[n] / 1024:>14.1f} MiB" for n in names), flush=True)


if __name__ == "__main__":
    sys.exit(main())
