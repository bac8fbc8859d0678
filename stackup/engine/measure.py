"""What the containers use, read from their control groups; needs no supervisor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackup.engine.views import Replica, StatsRow
from stackup.errors import StackupError
from stackup.paths import Host
from stackup.runtime.cgroups import driver
from stackup.runtime.stats import Stats


def sample(host: Host, replicas: Sequence[Replica]) -> Mapping[str, Stats]:
    """container id -> what it uses now; those that end meanwhile are left out."""
    groups = driver.detect(host.cgroup_fs)
    found: dict[str, Stats] = {}
    for replica in replicas:
        if replica.state == "running" and replica.id:
            try:
                found[replica.id] = groups.open(f"stackup/{host.id}/c/{replica.id}").stats()
            except StackupError:
                continue
    return found


def rows(
    replicas: Sequence[Replica], now: Mapping[str, Stats], before: Mapping[str, Stats] | None, seconds: float
) -> tuple[StatsRow, ...]:
    """Processor time in percent of one core between two samples that lie `seconds` apart."""
    found = []
    for replica in replicas:
        stats = now.get(replica.id or "")
        if stats is None or replica.id is None:
            continue
        old = before.get(replica.id) if before else None
        percent = (stats.cpu_ns - old.cpu_ns) / (seconds * 1e7) if old and seconds > 0 else None
        found.append(
            StatsRow(
                stack=replica.stack,
                service=replica.service,
                number=replica.number,
                id=replica.id,
                memory=stats.memory_bytes,
                memory_limit=stats.memory_limit,
                cpu_ns=stats.cpu_ns,
                cpu_percent=percent,
                pids=stats.pids,
                pids_limit=stats.pids_limit,
            )
        )
    return tuple(found)
