"""What exists, gathered once before any decision. Reads only.

The image half looks into the store (always in the CLI). The machine half turns records into observed values and checks
them against the kernel: a container recorded as running counts as running only while its very process lives (boot id,
pid and start time), a network is intact only while its bridge is there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackup.engine import identity, processes
from stackup.engine.records import ContainerRecord, NetworkRecord, Records
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.planner.observed import (
    ContainerState,
    Observed,
    ObservedContainer,
    ObservedImage,
    ObservedNetwork,
    ObservedStep,
)

if TYPE_CHECKING:
    from stackup.spec.model import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine half: what the supervisor answers to `observe`."""

    serial: int = 0
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()


def images(host: Host | None, stack: Stack, desired: Desired, keys: Iterable[str]) -> Mapping[str, ObservedImage]:
    """The image half: what a build of these images would do."""
    from stackup.builder import build

    wanted = [k for k in keys if k in desired.images]
    found = build.examine(host, stack, wanted) if wanted else {}
    return {
        key: ObservedImage(
            reference=one.reference, digest=one.digest, named=one.named, host_bound=one.host_bound,
            steps=tuple(ObservedStep(text=s.text, hit=s.hit, reason=s.reason) for s in one.steps),
        )
        for key, one in found.items()
    }  # fmt: skip


def foreign(host: Host | None, desired: Desired) -> Mapping[str, str | None]:
    """References to images that are not of the file -> digest, None where the store has none."""
    from stackup.builder.store import images as store

    own = {i.reference for i in desired.images.values()}
    references = {s.image for s in desired.services.values() if s.image_key is None}
    references |= {i.base for i in desired.images.values() if i.base and i.base not in own}
    return {r: store.resolve(host, r) for r in sorted(references)}


def machine(host: Host, records: Records, stack: str) -> Machine:
    """The machine half, from records and kernel."""
    boot = identity.boot_id(host)
    volumes = tuple(v.key for v in records.volumes(stack) if v.key and os.path.isdir(host.volume(v.name)))
    return Machine(
        serial=records.serial(stack),
        containers=tuple(_container(host, boot, c) for c in records.containers(stack)),
        networks={n.key: _network(n) for n in records.networks(stack)},
        volumes=volumes,
    )  # fmt: skip


def assemble(
    half: Machine, images: Mapping[str, ObservedImage], foreign: Mapping[str, str | None] | None = None
) -> Observed:
    """Both halves as the planner takes them."""
    return Observed(
        serial=half.serial, images=images, foreign=foreign or {}, containers=half.containers,
        networks=half.networks, volumes=frozenset(half.volumes),
    )  # fmt: skip


def state_of(host: Host, boot: str, record: ContainerRecord) -> ContainerState:
    """The state as the kernel has it."""
    if record.state == "running" and not processes.alive(host, boot, record):
        return "exited"
    return record.state


def _container(host: Host, boot: str, record: ContainerRecord) -> ObservedContainer:
    state = state_of(host, boot, record)
    return ObservedContainer(
        id=record.id, service_name=record.service_name, number=record.number, state=state, service=record.service,
        digest=record.digest, health=record.health if state == "running" else "none", held=record.held,
        exit_code=record.exit_code, exit=record.exit,
    )  # fmt: skip


def _network(record: NetworkRecord) -> ObservedNetwork:
    return ObservedNetwork(key=record.key, network=record.network, intact=intact(record))


def intact(record: NetworkRecord) -> bool:
    """Is the bridge there? Asked of this process's network namespace."""
    try:
        return bool(socket.if_nametoindex(record.bridge))
    except OSError:
        return False
