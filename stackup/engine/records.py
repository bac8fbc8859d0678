"""state.db: what stackup believes about stacks, generations, containers, networks and volumes.

Records are claims; `observe` checks them against the kernel. The supervisor is the only writer, anybody may read
(`read`). Each method is one transaction; several of them become one inside `with records.step():`. Whatever changes
what a plan would say raises the stack's serial in the same transaction. Times are unix seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Unpack

from stackup.db import Database, open_database, open_readonly
from stackup.engine.leases import Ledger
from stackup.engine.record_values import (
    CheckResult,
    ContainerChanges,
    ContainerRecord,
    GenerationRecord,
    JournalEntry,
    NetworkRecord,
    StackRecord,
    State,
    Status,
    VolumeRecord,
    Wish,
)
from stackup.engine.rows import Table
from stackup.engine.schema import SCHEMA
from stackup.errors import NotFound
from stackup.oci import canonical_json
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.spec.model import Network, Service
from stackup.values import from_plain, to_plain

__all__ = [
    "CheckResult",
    "ContainerChanges",
    "ContainerRecord",
    "GenerationRecord",
    "JournalEntry",
    "NetworkRecord",
    "Records",
    "StackRecord",
    "State",
    "Status",
    "VolumeRecord",
    "Wish",
    "open_records",
    "read",
]

# A crash loop, a health flip or a new pid must not make a plan stale: what the plan was made from has not moved.
_PLANNED = frozenset(("wish", "held", "digest", "service"))

_STACKS = Table(StackRecord, "stacks", "name")
_CONTAINERS = Table(ContainerRecord, "containers", "id", json={"service": Service, "addresses": Mapping[str, str]})
_NETWORKS = Table(NetworkRecord, "networks", "name", json={"network": Network})
_VOLUMES = Table(VolumeRecord, "volumes", "name", json={"labels": Mapping[str, str]})


def open_records(host: Host) -> Records:
    """For the supervisor: reading and writing, made and migrated where needed."""
    return Records(open_database(host.state_db, SCHEMA), only_writer=True)


def read(host: Host) -> Records | None:
    """For everybody else: reading only, also in a folder that cannot be written; None where there is no state yet."""
    try:
        return Records(open_readonly(host.state_db, SCHEMA))
    except NotFound:
        return None


class Records:
    """One connection, for one thread. The only writer keeps its containers and networks in memory too: it asks for them
    at every turn, and nobody else changes them."""

    def __init__(self, database: Database, *, only_writer: bool = False) -> None:
        self._db = database
        self._only_writer = only_writer
        self._kept: dict[str, ContainerRecord] | None = None
        self._kept_networks: tuple[NetworkRecord, ...] | None = None
        self._depth = 0
        self.ledger = Ledger(database, self.step)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One transaction around several calls; a step inside a step belongs to the outer one."""
        if self._depth:
            yield
            return
        try:
            with self._db.transaction():
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
        except BaseException:
            self._kept = self._kept_networks = None  # what was rolled back is read again
            raise

    # Stacks

    def put_stack(self, name: str, folder: str, file: str) -> None:
        """Make the stack known, or note where its file lies now."""
        self._db.execute(
            "INSERT INTO stacks (name, folder, file) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET folder = excluded.folder, file = excluded.file",
            (name, folder, file),
        )

    def stack(self, name: str) -> StackRecord | None:
        return _STACKS.get(self._db, name)

    def stacks(self) -> tuple[StackRecord, ...]:
        return _STACKS.list(self._db, "ORDER BY name")

    def hold_stack(self, name: str, held: bool) -> None:
        self._db.execute("UPDATE stacks SET held = ?, serial = serial + 1 WHERE name = ?", (int(held), name))

    def serial(self, stack: str) -> int:
        """0 for a stack that is not known."""
        row = self._db.one("SELECT serial FROM stacks WHERE name = ?", (stack,))
        return int(row[0]) if row else 0

    def bump(self, stack: str) -> None:
        self._db.execute("UPDATE stacks SET serial = serial + 1 WHERE name = ?", (stack,))

    def delete_stack(self, name: str) -> None:
        """Forget a stack and its generations; its containers and networks must be gone."""
        self._db.execute("DELETE FROM stacks WHERE name = ?", (name,))

    # Generations

    def add_generation(self, desired: Desired) -> int:
        """Note a wish as *pending*; its number, counted from 1 in each stack. An older pending one becomes past."""
        text = canonical_json(to_plain(desired)).decode()
        with self.step():
            row = self._db.one("SELECT max(number) FROM generations WHERE stack = ?", (desired.stack,))
            number = int(row[0] or 0) + 1 if row else 1
            self._db.execute(
                "UPDATE generations SET status = 'past' WHERE stack = ? AND status = 'pending'", (desired.stack,)
            )
            self._db.execute(
                "INSERT INTO generations (stack, number, status, time, desired) VALUES (?, ?, 'pending', ?, ?)",
                (desired.stack, number, time.time(), text),
            )
            self.bump(desired.stack)
        return number

    def finish_generation(self, stack: str, number: int) -> None:
        """All of its operations are done: it is *current*, the one before is *past*."""
        with self.step():
            self._db.execute("UPDATE generations SET status = 'past' WHERE stack = ? AND number != ?", (stack, number))
            self._db.execute(
                "UPDATE generations SET status = 'current' WHERE stack = ? AND number = ?", (stack, number)
            )

    def generation(self, stack: str, number: int) -> GenerationRecord | None:
        return self._generation("stack = ? AND number = ?", (stack, number))

    def wished(self, stack: str) -> GenerationRecord | None:
        """What the stack should be: the newest generation that is pending or current."""
        return self._generation("stack = ? AND status != 'past' ORDER BY number DESC LIMIT 1", (stack,))

    def generations(self, stack: str) -> tuple[tuple[int, Status, float], ...]:
        """(number, status, time) of each, oldest first."""
        rows = self._db.query("SELECT number, status, time FROM generations WHERE stack = ? ORDER BY number", (stack,))
        return tuple((row[0], row[1], row[2]) for row in rows)

    def trim_generations(self, stack: str, keep: int) -> None:
        """Delete all past generations but the newest `keep`."""
        self._db.execute(
            "DELETE FROM generations WHERE stack = ?1 AND status = 'past' AND number NOT IN"
            " (SELECT number FROM generations WHERE stack = ?1 AND status = 'past' ORDER BY number DESC LIMIT ?2)",
            (stack, keep),
        )

    def _generation(self, where: str, parameters: tuple[Any, ...]) -> GenerationRecord | None:
        row = self._db.one(f"SELECT stack, number, status, time, desired FROM generations WHERE {where}", parameters)
        if row is None:
            return None
        desired = from_plain(Desired, json.loads(row[4]))
        return GenerationRecord(stack=row[0], number=row[1], status=row[2], time=row[3], desired=desired)

    # Containers

    def add_container(self, record: ContainerRecord) -> None:
        with self.step():
            _CONTAINERS.add(self._db, record)
            self.bump(record.stack)
            if self._kept is not None:
                self._kept[record.id] = record

    def container(self, container_id: str) -> ContainerRecord | None:
        if self._only_writer:
            return self._all().get(container_id)
        return _CONTAINERS.get(self._db, container_id)

    def containers(self, stack: str | None = None) -> tuple[ContainerRecord, ...]:
        """In the order of stack, service, number; of one stack, or of all."""
        found = [c for c in self._all().values() if stack is None or c.stack == stack]
        return tuple(sorted(found, key=lambda c: (c.stack, c.service_name, c.number, c.created)))

    def _all(self) -> dict[str, ContainerRecord]:
        if self._kept is not None:
            return self._kept
        known = {record.id: record for record in _CONTAINERS.list(self._db)}
        if self._only_writer:
            self._kept = known
        return known

    def change_container(
        self, container_id: str, /, *, bump: bool = False, **changes: Unpack[ContainerChanges]
    ) -> None:
        """Set some fields; those that have the value already cost nothing. The serial moves with wish, held, digest and
        service, and where `bump` says so (an end that no policy answers, for example)."""
        record = self._all().get(container_id) if self._only_writer else None
        new = {k: v for k, v in changes.items() if record is None or getattr(record, k) != v}
        if bump or not _PLANNED.isdisjoint(new):
            with self.step():
                self._bump_of(container_id)
                self._set(record, container_id, new)
        elif new:
            self._set(record, container_id, new)

    def _set(self, record: ContainerRecord | None, container_id: str, changes: Mapping[str, Any]) -> None:
        if changes:
            _CONTAINERS.change(self._db, container_id, changes)
            if record is not None and self._kept is not None:
                self._kept[container_id] = replace(record, **changes)

    def put_checks(self, container_id: str, results: Sequence[CheckResult]) -> None:
        """The last results of a container's health check, oldest first; nothing for a container that is gone."""
        self._db.execute(
            "INSERT INTO checks (container, results) SELECT id, ? FROM containers WHERE id = ?"
            " ON CONFLICT (container) DO UPDATE SET results = excluded.results",
            (canonical_json(to_plain(tuple(results))).decode(), container_id),
        )

    def checks(self, container_id: str) -> tuple[CheckResult, ...]:
        row = self._db.one("SELECT results FROM checks WHERE container = ?", (container_id,))
        return tuple(from_plain(CheckResult, plain) for plain in json.loads(row[0])) if row else ()

    def delete_container(self, container_id: str) -> None:
        """Forget a container and give back all that it had leased."""
        with self.step():
            self._bump_of(container_id)
            _CONTAINERS.delete(self._db, container_id)
            self.ledger.release(container_id)
            if self._kept is not None:
                self._kept.pop(container_id, None)

    def _bump_of(self, container_id: str) -> None:
        self._db.execute(
            "UPDATE stacks SET serial = serial + 1 WHERE name = (SELECT stack FROM containers WHERE id = ?)",
            (container_id,),
        )

    # Networks

    def add_network(self, record: NetworkRecord) -> None:
        with self.step():
            _NETWORKS.add(self._db, record)
            self._kept_networks = None
            self.bump(record.stack)

    def network(self, name: str) -> NetworkRecord | None:
        return next((n for n in self.networks() if n.name == name), None)

    def networks(self, stack: str | None = None) -> tuple[NetworkRecord, ...]:
        """By name; of one stack, or of all."""
        found = self._kept_networks or _NETWORKS.list(self._db, "ORDER BY name")
        if self._only_writer:
            self._kept_networks = found
        return found if stack is None else tuple(n for n in found if n.stack == stack)

    def delete_network(self, record: NetworkRecord) -> None:
        """Forget a network and every address leased in it."""
        with self.step():
            _NETWORKS.delete(self._db, record.name)
            self._kept_networks = None
            self.ledger.release_scope("address", record.name)
            self.bump(record.stack)

    # Volumes

    def add_volume(self, record: VolumeRecord) -> None:
        with self.step():
            _VOLUMES.add(self._db, record)
            self._bump_if(record.stack)

    def volume(self, name: str) -> VolumeRecord | None:
        return _VOLUMES.get(self._db, name)

    def volumes(self, stack: str | None = None) -> tuple[VolumeRecord, ...]:
        if stack is None:
            return _VOLUMES.list(self._db, "ORDER BY name")
        return _VOLUMES.list(self._db, "WHERE stack = ? ORDER BY name", (stack,))

    def volume_names(self, stack: str) -> dict[str, str]:
        """Volume key -> name in the root, external ones too, as the stack is wished."""
        row = self._db.one(
            "SELECT json_extract(desired, '$.volumes') FROM generations"
            " WHERE stack = ? AND status != 'past' ORDER BY number DESC LIMIT 1",
            (stack,),
        )
        found = json.loads(row[0]) if row and row[0] else {}
        return {key: value["name"] for key, value in found.items()}

    def delete_volume(self, record: VolumeRecord) -> None:
        with self.step():
            _VOLUMES.delete(self._db, record.name)
            self._bump_if(record.stack)

    def _bump_if(self, stack: str | None) -> None:
        if stack is not None:
            self.bump(stack)

    # Journal

    def begin(self, stack: str, resource: str, operation: Any = None) -> int:
        """Note that an operation begins (`operation`: any plain value that recovery needs); the entry's id."""
        row = self._db.one(
            "INSERT INTO journal (stack, resource, operation, began) VALUES (?, ?, ?, ?) RETURNING id",
            (stack, resource, canonical_json(operation).decode(), time.time()),
        )
        assert row is not None
        return int(row[0])

    def end(self, entry: int) -> None:
        """The operation ended, well or with its failure handled: nothing is left to recover."""
        self._db.execute("DELETE FROM journal WHERE id = ?", (entry,))

    def unfinished(self) -> tuple[JournalEntry, ...]:
        """Operations that began and never ended, oldest first."""
        rows = self._db.query("SELECT id, stack, resource, operation, began FROM journal ORDER BY id")
        return tuple(
            JournalEntry(id=r[0], stack=r[1], resource=r[2], operation=json.loads(r[3]), began=r[4]) for r in rows
        )

    # Facts: single values of the root, such as a sysctl's former value

    def remember(self, key: str, value: Any) -> None:
        self._db.execute(
            "INSERT INTO facts (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, canonical_json(value).decode()),
        )

    def recall(self, key: str) -> Any:
        """The plain value that was remembered, or None."""
        row = self._db.one("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(row[0]) if row else None

    def facts(self, prefix: str) -> dict[str, Any]:
        rows = self._db.query("SELECT key, value FROM facts WHERE substr(key, 1, length(?1)) = ?1", (prefix,))
        return {row[0]: json.loads(row[1]) for row in rows}

    def forget(self, key: str) -> None:
        self._db.execute("DELETE FROM facts WHERE key = ?", (key,))
