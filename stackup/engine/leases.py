"""The ledger of what two containers must not share: addresses, id ranges, host ports.

An owner is a container id, or `service:<stack>/<name>` for what belongs to a service (its address, its ports).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Literal

from stackup.classes import dataclass
from stackup.db import Database
from stackup.errors import Conflict
from stackup.runtime import idmap

Kind = Literal["address", "ids", "port"]


@dataclass(frozen=True, slots=True)
class Lease:
    """`scope`: network name for an address, "" for ids, `tcp/127.0.0.1` for a port; `value` as text."""

    kind: Kind
    scope: str
    value: str
    owner: str


class Ledger:
    """Leases in state.db; `step` is the transaction of the Records it belongs to."""

    def __init__(self, database: Database, step: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = database
        self._step = step

    def take(self, kind: Kind, scope: str, value: str, owner: str) -> None:
        """Lease it. Again by the same owner is no change; Conflict where another owner has it."""
        with self._step():
            self._db.execute("INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?)", (kind, scope, value, owner))
            holder = self.owner(kind, scope, value)
            if holder != owner:
                raise Conflict(f"{kind} {scope + ' ' if scope else ''}{value} belongs to {holder}")

    def owner(self, kind: Kind, scope: str, value: str) -> str | None:
        row = self._db.one("SELECT owner FROM leases WHERE kind = ? AND scope = ? AND value = ?", (kind, scope, value))
        return str(row[0]) if row else None

    def values(self, kind: Kind, scope: str) -> frozenset[str]:
        """All that is taken there."""
        rows = self._db.query("SELECT value FROM leases WHERE kind = ? AND scope = ?", (kind, scope))
        return frozenset(str(row[0]) for row in rows)

    def of(self, owner: str) -> tuple[Lease, ...]:
        rows = self._db.query(
            "SELECT kind, scope, value, owner FROM leases WHERE owner = ? ORDER BY kind, scope, value", (owner,)
        )
        return tuple(Lease(*row) for row in rows)

    def all(self, kind: Kind) -> tuple[Lease, ...]:
        rows = self._db.query(
            "SELECT kind, scope, value, owner FROM leases WHERE kind = ? ORDER BY scope, value", (kind,)
        )
        return tuple(Lease(*row) for row in rows)

    def release(self, owner: str) -> None:
        """Give back all that an owner has."""
        self._db.execute("DELETE FROM leases WHERE owner = ?", (owner,))

    def release_scope(self, kind: Kind, scope: str) -> None:
        self._db.execute("DELETE FROM leases WHERE kind = ? AND scope = ?", (kind, scope))

    def take_ids(self, owner: str, root_id: str, forbidden: Iterable[tuple[int, int]] = ()) -> int:
        """Lease `idmap.SIZE` user and group ids; the first of them. `forbidden`: `machine_ids()`.

        Raises Conflict where none is left.
        """
        with self._step():
            taken = {int(value) for value in self.values("ids", "")}
            chosen = idmap.allocate(taken, forbidden, start=idmap.start_of(root_id))
            self._db.execute("INSERT INTO leases VALUES ('ids', '', ?, ?)", (str(chosen.base), owner))
        return chosen.base


def machine_ids(proc: str = "/proc", etc: str = "/etc") -> tuple[tuple[int, int], ...]:
    """(first id, count) of what no container may get: ids of users' own (subuid(5), subgid(5)), and ids that do not
    exist in our user namespace (uid_map of user_namespaces(7), which never changes). Read when they have changed."""
    return _machine_ids(proc, etc, _stamp(f"{etc}/subuid"), _stamp(f"{etc}/subgid"))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size


@functools.lru_cache(maxsize=1)
def _machine_ids(proc: str, etc: str, *_stamps: object) -> tuple[tuple[int, int], ...]:
    missing = [gap for name in ("uid_map", "gid_map") for gap in _gaps(f"{proc}/self/{name}")]
    return (*idmap.read_subids(f"{etc}/subuid"), *idmap.read_subids(f"{etc}/subgid"), *missing)


def _gaps(path: str) -> list[tuple[int, int]]:
    with open(path, encoding="ascii") as file:
        rows = sorted((int(row[0]), int(row[2])) for row in (line.split() for line in file))
    gaps, end = [], 0
    for first, count in [*rows, (2**32, 0)]:
        if first > end:
            gaps.append((end, first - end))
        end = max(end, first + count)
    return gaps
