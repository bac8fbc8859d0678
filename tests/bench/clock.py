"""Wall time of whole commands, and the memory of processes."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IDLE = 1.0  # seconds of rest before each command, so that nothing is measured that another one left running


@dataclass
class Times:
    """Seconds of each repetition, by operation."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, operation: str, value: float) -> None:
        self.seconds.setdefault(operation, []).append(value)

    def median(self, operation: str) -> float | None:
        values = self.seconds.get(operation)
        return statistics.median(values) if values else None


def timed(argv: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> float:
    """Seconds a command takes; RuntimeError with what it printed when it ends badly."""
    time.sleep(IDLE)
    start = time.monotonic()
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, timeout=600)
    took = time.monotonic() - start
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return took


def pss_kib(pids: Iterable[int]) -> int:
    """Proportional set size of some processes, in KiB (proc(5), smaps_rollup)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total
