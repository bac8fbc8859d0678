"""What a container uses, and how two samples become a rate. Pure; the control group drivers take the samples."""

from __future__ import annotations

from stackup.classes import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """What a group uses now. None: unlimited, or the machine's controllers do not tell.

    `memory_bytes` counts without the page cache that can be dropped at once (as `docker stats` does); `cpu_ns` and
    `throttled_ns` are sums since the group was made.
    """

    memory_bytes: int = 0
    memory_limit: int | None = None
    memory_peak: int | None = None
    cpu_ns: int = 0
    throttled_ns: int = 0
    pids: int = 0
    pids_limit: int | None = None
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a group as the kernel has them: bytes, cores, a count. None: unlimited."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


def cpu_percent(earlier: Stats, later: Stats, seconds: float) -> float:
    """Processor time between two samples as a share of one core: 150.0 is one core and a half.

    0 where the counter went back (another group of the same container, after a restart).
    """
    if seconds <= 0:
        return 0.0
    return max(0.0, 100 * (later.cpu_ns - earlier.cpu_ns) / (seconds * 1e9))
