"""The ledger of what two containers must not share: addresses, id ranges, host ports.

An owner is a container id, or `service:<stack>/<name>` for what belongs to a service (its address, its ports).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from stackup.db import Database
from stackup.errors import Conflict, StackupError

Kind = Literal["address", "ids", "port"]

ID_COUNT = 65536
# 1879048192 ... 2147352575 is what systemd's UIDS-GIDS.md calls unused: above the ranges of nspawn and of /etc/subuid,
# below 2^31, which some file systems and programs take for a negative number.
_FIRST_ID = 0x7000_0000
_SLOTS = (0x7FFE_0000 - _FIRST_ID) // ID_COUNT


@dataclass(frozen=True, slots=True)
class Lease:
    """`scope`: network name for an address, "" for ids, `tcp/127.0.0.1` for a port; `value` as text."""

    kind: Kind
    scope: str
    value: str
    owner: str


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids `first` ... `first + count - 1` of this user namespace."""

    first: int
    count: int

    def overlaps(self, other: IdRange) -> bool:
        return self.first < other.first + other.count and other.first < self.first + self.count

    def holds(self, other: IdRange) -> bool:
        return self.first <= other.first and other.first + other.count <= self.first + self.count


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

    def release_one(self, kind: Kind, scope: str, value: str) -> None:
        self._db.execute("DELETE FROM leases WHERE kind = ? AND scope = ? AND value = ?", (kind, scope, value))

    def release_scope(self, kind: Kind, scope: str) -> None:
        self._db.execute("DELETE FROM leases WHERE kind = ? AND scope = ?", (kind, scope))

    def take_ids(self, owner: str, root_id: str, machine: MachineIds) -> int:
        """Lease a range of ID_COUNT ids; its first id. StackupError where the machine has none left."""
        with self._step():
            taken = {int(value) for value in self.values("ids", "")}
            base = choose_ids(taken, root_id, machine)
            self._db.execute("INSERT INTO leases VALUES ('ids', '', ?, ?)", (str(base), owner))
        return base


@dataclass(frozen=True, slots=True)
class MachineIds:
    """`ours`: ids that exist in our own user namespace; `foreign`: ranges of /etc/subuid and subgid."""

    ours: tuple[IdRange, ...] = (IdRange(0, 0xFFFF_FFFF),)
    foreign: tuple[IdRange, ...] = ()


def choose_ids(taken: Iterable[int], root_id: str, machine: MachineIds) -> int:
    """The first id of a free range. Two roots start at different places, so that they do not meet in practice."""
    used = frozenset(taken)
    start = int(root_id, 16) % _SLOTS
    for offset in range(_SLOTS):
        base = _FIRST_ID + (start + offset) % _SLOTS * ID_COUNT
        wanted = IdRange(base, ID_COUNT)
        if (
            base not in used
            and any(r.holds(wanted) for r in machine.ours)
            and not any(r.overlaps(wanted) for r in machine.foreign)
        ):
            return base
    raise StackupError("no free range of 65536 user ids for a container", hint="see /proc/self/uid_map and /etc/subuid")


def machine_ids(proc: str = "/proc", etc: str = "/etc") -> MachineIds:
    """Read uid_map and gid_map of this process and the subordinate ids of users (subuid(5))."""
    uids, gids = (_own(f"{proc}/self/{name}") for name in ("uid_map", "gid_map"))
    ours = tuple(
        IdRange(first, last - first)
        for u in uids
        for g in gids
        if (first := max(u.first, g.first)) < (last := min(u.first + u.count, g.first + g.count))
    )
    return MachineIds(ours, _subordinate(f"{etc}/subuid") + _subordinate(f"{etc}/subgid"))


def _own(path: str) -> list[IdRange]:
    with open(path, encoding="ascii") as file:
        rows = [line.split() for line in file]
    return [IdRange(int(row[0]), int(row[2])) for row in rows]


def _subordinate(path: str) -> tuple[IdRange, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            rows = [line.strip().split(":") for line in file]
    except OSError:
        return ()
    return tuple(IdRange(int(r[1]), int(r[2])) for r in rows if len(r) == 3 and r[1].isdigit() and r[2].isdigit())
