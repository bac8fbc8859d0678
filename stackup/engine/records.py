"""state.db: what stackup believes about stacks, generations, containers, networks and volumes.

Records are claims; `observe` checks them against the kernel. The supervisor is the only writer, anybody may read
(`read`). Each method is one transaction; several of them become one inside `with records.step():`. Whatever changes
what a plan would say raises the stack's serial in the same transaction. Times are unix seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, Unpack

from stackup.db import Database, open_database, open_readonly
from stackup.engine.leases import Ledger
from stackup.engine.rows import Table
from stackup.engine.schema import SCHEMA
from stackup.errors import NotFound
from stackup.oci import canonical_json
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.planner.observed import Health
from stackup.spec.model import Network, Service
from stackup.values import from_plain, to_plain

State = Literal["created", "running", "exited"]
Wish = Literal["running", "stopped"]
Status = Literal["pending", "current", "past"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """A stack that was brought up here. `held`: the user stopped all of it."""

    name: str
    folder: str
    file: str
    serial: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """A replica. `service` and `digest` (manifest) are what it was made from; `wish` is what the supervisor works for.

    `pid`, `start_time` (clock ticks after boot, /proc/PID/stat) and `boot_id` name the process while it runs.
    `id_base`: first host id of its user namespace, None where it has none. `addresses`: network key -> address.
    `exit` tells the last end in words ("exited 1", "OOM-killed at 64M"), None while it never ended; so do `exit_code`
    (128 + n for signal n) and `signal`. `restarts` counts starts by policy since the user last started it.
    `held`: stopped or killed by the user, so no policy starts it.
    """

    id: str
    stack: str
    service_name: str
    number: int
    digest: str
    service: Service
    generation: int = 0
    state: State = "created"
    wish: Wish = "running"
    held: bool = False
    id_base: int | None = None
    id_size: int = 65536
    addresses: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    exit: str | None = None
    oom: bool = False
    restarts: int = 0
    health: Health = "none"


class ContainerChanges(TypedDict, total=False):
    """Fields of a ContainerRecord that `change_container` may set."""

    generation: int
    state: State
    wish: Wish
    held: bool
    digest: str
    service: Service
    id_base: int | None
    id_size: int
    addresses: Mapping[str, str]
    cgroup: str
    pid: int | None
    start_time: int | None
    boot_id: str | None
    started: float | None
    finished: float | None
    exit_code: int | None
    signal: int | None
    exit: str | None
    oom: bool
    restarts: int
    health: Health


# A crash loop, a health flip or a new pid must not make a plan stale: what the plan was made from has not moved.
_PLANNED = frozenset(("wish", "held", "digest", "service"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """`name` as kept in the root (`<stack>_<key>`), `bridge` the link's name, `network` as it was applied."""

    name: str
    stack: str
    key: str
    subnet: str
    bridge: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A named volume; its folder is `Host.volume(name)`. Anonymous ones are named after their container, unrecorded."""

    name: str
    stack: str | None = None
    key: str | None = None
    created: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """A wish that was applied: *pending* before its first operation, *current* after its last, then *past*."""

    stack: str
    number: int
    status: Status
    time: float
    desired: Desired


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """An operation that began and has no end yet: where to look after a crash."""

    id: int
    stack: str
    resource: str
    operation: Any
    began: float


_STACKS = Table(StackRecord, "stacks", "name")
_CONTAINERS = Table(ContainerRecord, "containers", "id", json={"service": Service, "addresses": Mapping[str, str]})
_NETWORKS = Table(NetworkRecord, "networks", "name", json={"network": Network})
_VOLUMES = Table(VolumeRecord, "volumes", "name", json={"labels": Mapping[str, str]})


def open_records(host: Host) -> Records:
    """For the supervisor: reading and writing, made and migrated where needed."""
    return Records(open_database(host.state_db, SCHEMA))


def read(host: Host) -> Records | None:
    """For everybody else: reading only, also in a folder that cannot be written; None where there is no state yet."""
    try:
        return Records(open_readonly(host.state_db, SCHEMA))
    except NotFound:
        return None


class Records:
    """One connection, for one thread."""

    def __init__(self, database: Database) -> None:
        self._db = database
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
        with self._db.transaction():
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

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

    def latest(self, stack: str, status: Status) -> GenerationRecord | None:
        """The newest generation with that status."""
        return self._generation("stack = ? AND status = ? ORDER BY number DESC LIMIT 1", (stack, status))

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

    def container(self, container_id: str) -> ContainerRecord | None:
        return _CONTAINERS.get(self._db, container_id)

    def containers(self, stack: str | None = None) -> tuple[ContainerRecord, ...]:
        """In the order of stack, service, number; of one stack, or of all."""
        order = "ORDER BY stack, service_name, number, created"
        if stack is None:
            return _CONTAINERS.list(self._db, order)
        return _CONTAINERS.list(self._db, f"WHERE stack = ? {order}", (stack,))

    def change_container(
        self, container_id: str, /, *, bump: bool = False, **changes: Unpack[ContainerChanges]
    ) -> None:
        """Set some fields. The serial moves with wish, held, digest and service, and where `bump` says so (an end that
        no policy answers, for example)."""
        with self.step():
            _CONTAINERS.change(self._db, container_id, changes)
            if bump or not _PLANNED.isdisjoint(changes):
                self._bump_of(container_id)

    def delete_container(self, container_id: str) -> None:
        """Forget a container and give back all that it had leased."""
        with self.step():
            self._bump_of(container_id)
            _CONTAINERS.delete(self._db, container_id)
            self.ledger.release(container_id)

    def _bump_of(self, container_id: str) -> None:
        self._db.execute(
            "UPDATE stacks SET serial = serial + 1 WHERE name = (SELECT stack FROM containers WHERE id = ?)",
            (container_id,),
        )

    # Networks

    def add_network(self, record: NetworkRecord) -> None:
        with self.step():
            _NETWORKS.add(self._db, record)
            self.bump(record.stack)

    def network(self, name: str) -> NetworkRecord | None:
        return _NETWORKS.get(self._db, name)

    def networks(self, stack: str | None = None) -> tuple[NetworkRecord, ...]:
        if stack is None:
            return _NETWORKS.list(self._db, "ORDER BY name")
        return _NETWORKS.list(self._db, "WHERE stack = ? ORDER BY name", (stack,))

    def delete_network(self, record: NetworkRecord) -> None:
        """Forget a network and every address leased in it."""
        with self.step():
            _NETWORKS.delete(self._db, record.name)
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
