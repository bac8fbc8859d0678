"""The processor controller: resource numbers in, file contents out. Pure.

Sources: Documentation/scheduler/sched-bwc.rst (v1), cgroup-v2.rst ("CPU"); OCI runtime spec, config-linux.md.
"""

from __future__ import annotations

from stackup.classes import dataclass
from stackup.oci import Document

PERIOD = 100_000  # microseconds, the kernel's default
UNLIMITED = -1
SHARES = 1024  # v1's default
QUOTA, EVERY = "cpu.cfs_quota_us", "cpu.cfs_period_us"
_LEAST_QUOTA, _LONGEST_PERIOD = 1_000, 1_000_000  # microseconds, kernel/sched/core.c


@dataclass(frozen=True, slots=True)
class Cpu:
    """`quota` microseconds in each `period`; -1: unlimited. `shares`: None: the default."""

    quota: int
    period: int
    shares: int | None


def wanted(resources: Document) -> Cpu:
    cpu = resources.get("cpu") or {}
    quota, period = cpu.get("quota"), cpu.get("period") or PERIOD
    shares = cpu.get("shares") or None
    if quota is None or quota <= 0:
        return Cpu(UNLIMITED, period, shares)
    if quota < _LEAST_QUOTA:
        # The kernel refuses quotas below 1 ms: the same share over a longer period, as far as periods go.
        period = min(_LONGEST_PERIOD, period * _LEAST_QUOTA // quota)
        quota = _LEAST_QUOTA
    return Cpu(quota, period, shares)


def cores(quota: str, period: str) -> float | None:
    """The two numbers as the kernel tells them -> cores; None: unlimited."""
    return int(quota) / int(period) if quota.strip().isdigit() else None


def v1(want: Cpu, *, fresh: bool) -> list[tuple[str, str]]:
    """(file, content) in the order to write."""
    files: list[tuple[str, str]] = []
    if not fresh or want.quota != UNLIMITED:
        if not fresh or want.period != PERIOD:
            files.append((EVERY, str(want.period)))
        files.append((QUOTA, str(want.quota)))
    if not fresh or want.shares is not None:
        files.append(("cpu.shares", str(want.shares or SHARES)))
    return files


def v2(want: Cpu, *, fresh: bool) -> list[tuple[str, str]]:
    files: list[tuple[str, str]] = []
    if not fresh or want.quota != UNLIMITED:
        files.append(("cpu.max", f"{'max' if want.quota == UNLIMITED else want.quota} {want.period}"))
    if not fresh or want.shares is not None:
        files.append(("cpu.weight", str(weight(want.shares or SHARES) if want.shares else 100)))
    return files


def weight(shares: int) -> int:
    """v1's shares (2..262144) as v2's weight (1..10000), by the line that runc and systemd draw."""
    bounded = min(max(shares, 2), 262_144)
    return 1 + (bounded - 2) * 9_999 // 262_142
