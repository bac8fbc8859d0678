"""`ps`, `ls` and `inspect` from the records, checked against the kernel. With or without a supervisor; reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields

from stackup.engine import identity, observe
from stackup.engine.records import ContainerRecord, Records
from stackup.engine.views import Inspected, InspectedReplica, Published, Replica, StackRow
from stackup.errors import NotFound
from stackup.oci import Document
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.values import from_plain


def replicas(host: Host, records: Records, stack: str | None = None) -> tuple[Replica, ...]:
    """Every wished replica, and what else is there, by stack, service and number."""
    boot = identity.boot_id(host)
    rows: list[Replica] = []
    for one in records.stacks():
        if stack in (None, one.name):
            generation = records.wished(one.name)
            rows += _of_stack(host, boot, records, one.name, generation.desired if generation else None)
    return tuple(rows)


def _of_stack(host: Host, boot: str, records: Records, stack: str, desired: Desired | None) -> list[Replica]:
    rows = [_row(host, boot, records, record, desired) for record in records.containers(stack)]
    there = {(r.service, r.number) for r in rows}
    for name, wished in desired.services.items() if desired else ():
        for number in range(1, wished.service.replicas + 1):
            if (name, number) not in there:
                rows.append(
                    Replica(
                        stack=stack,
                        service=name,
                        number=number,
                        name=f"{stack}-{name}-{number}",
                        id=None,
                        image=wished.image,
                        state="absent",
                    )
                )
    return sorted(rows, key=lambda r: (r.service, r.number))


def _row(host: Host, boot: str, records: Records, record: ContainerRecord, desired: Desired | None) -> Replica:
    state = observe.state_of(host, boot, record)
    unseen = state != record.state
    wished = desired.services.get(record.service_name) if desired else None
    return Replica(
        stack=record.stack,
        service=record.service_name,
        number=record.number,
        name=record.service.container_name or f"{record.stack}-{record.service_name}-{record.number}",
        id=record.id,
        image=wished.image if wished else record.service.image,
        state=state,
        health=record.health if state == "running" else "none",
        held=record.held,
        pid=record.pid if state == "running" else None,
        started_at=record.started,
        finished_at=None if unseen else record.finished,
        exit_code=None if unseen else record.exit_code,
        exit=observe.vanished(boot, record) if unseen else record.exit,
        restarts=record.restarts,
        addresses=tuple(record.addresses.values()),
        published=published(records, record.stack, record.service_name),
    )


def published(records: Records, stack: str, service: str) -> tuple[Published, ...]:
    """The published ports of a service with the numbers they really have (see networks.py)."""
    plain = records.recall(f"published:{stack}/{service}") or ()
    return tuple(from_plain(Published, one) for one in plain)


def stacks(host: Host, records: Records) -> tuple[StackRow, ...]:
    rows = []
    for one in records.stacks():
        generation = records.wished(one.name)
        replicas_here = replicas(host, records, one.name)
        rows.append(
            StackRow(
                name=one.name,
                folder=one.folder,
                file=one.file,
                services=len(generation.desired.services) if generation else 0,
                wished=len(replicas_here),
                running=sum(r.state == "running" for r in replicas_here),
                generation=generation.number if generation else 0,
            )
        )
    return tuple(rows)


def inspect(host: Host, records: Records, stack: str, service: str, rows: Iterable[Replica]) -> Inspected:
    """`rows`: what `ps` says of the stack. Raises NotFound where the stack has no such service."""
    generation = records.wished(stack)
    wished = generation.desired.services.get(service) if generation else None
    chosen = [r for r in rows if r.service == service]
    if wished is None and not chosen:
        raise NotFound(f"stack {stack} has no service {service}", hint="`stackup ps` lists what there is")
    return Inspected(
        stack=stack, service=service, generation=generation.number if generation else None,
        digest=wished.digest if wished else None, wish=wished.service if wished else None,
        replicas=tuple(_inspected(host, records, row) for row in chosen),
    )  # fmt: skip


def _inspected(host: Host, records: Records, row: Replica) -> InspectedReplica:
    known = {f.name: getattr(row, f.name) for f in fields(row)}
    checks = records.checks(row.id) if row.id else ()
    return InspectedReplica(**known, checks=checks, spec=_spec(host, row.id))


def _spec(host: Host, container_id: str | None) -> Document | None:
    if container_id is None:
        return None
    try:
        with open(host.container(container_id, "config.json"), "rb") as file:
            return json.load(file)  # type: ignore[no-any-return]
    except (FileNotFoundError, ValueError):
        return None
