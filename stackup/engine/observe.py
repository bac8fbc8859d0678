"""What exists, gathered once before any decision. Reads only.

The image half looks into the store (always in the CLI). The machine half turns records into observed values and checks
them against the kernel: a container recorded as running counts as running only while its very process lives (boot id,
pid and start time), a network is intact only while its bridge, its rules and the links of its containers are there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from stackup.classes import dataclass
from stackup.engine import identity, limits, processes
from stackup.engine.ends import UNSEEN
from stackup.engine.records import ContainerRecord, NetworkRecord, Records
from stackup.errors import StackupError
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
from stackup.runtime.network.values import host_link

if TYPE_CHECKING:
    from stackup.runtime.cgroups.driver import Driver
    from stackup.spec.model import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine half: what the supervisor answers to `observe`. `file`: what the stack was brought up from."""

    serial: int = 0
    file: str | None = None
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)


def images(host: Host | None, loaded: Loaded, desired: Desired, keys: Iterable[str]) -> Mapping[str, ObservedImage]:
    """The image half: what a build of these images would do."""
    from stackup.builder import build

    wanted = [k for k in keys if k in desired.images]
    found = build.examine(host, loaded.stack, wanted, origins=loaded.origins) if wanted else {}
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


def advice(host: Host | None, loaded: Loaded, foreign: Mapping[str, str | None]) -> Mapping[str, str]:
    """What to do about each reference of `foreign` that the store does not have: the name that was probably meant, or
    where an image is described, which a Compose file cannot do."""
    missing = [reference for reference, digest in foreign.items() if digest is None]
    if not missing:
        return {}
    import difflib

    from stackup.builder.store import images as store

    listed = "`stackup image ls` lists the store"
    where = "under images:"
    if loaded.dialect == "compose":
        where = "in a stack.yaml beside this file (-f takes several files)"
    there = store.names(host)
    last = {name.rpartition("/")[2]: name for name in there}  # a service often leaves out the stack
    found = {}
    for reference in missing:
        close = difflib.get_close_matches(reference, (*there, *last), 1)
        otherwise = f"describe it {where}, or build it in the stack it belongs to"
        meant = f"did you mean '{last.get(close[0], close[0])}'?" if close else f"{otherwise};"
        found[reference] = f"{meant} {listed}"
    return found


def machine(host: Host, records: Records, stack: str, cgroups: Driver | None = None) -> Machine:
    """The machine half, from records and kernel. `cgroups`: look at the limits of what runs, too."""
    boot = identity.boot_id(host)
    found = tuple(_container(host, boot, c, cgroups) for c in records.containers(stack))
    networks = records.networks(stack)
    lacking = _lacking(host, records, networks, {c.id for c in found if c.state == "running"}) if networks else {}
    volumes = {v.name: v.key for v in records.volumes(stack) if v.key and os.path.isdir(host.volume(v.name))}
    known = records.stack(stack)
    return Machine(
        serial=records.serial(stack),
        file=known.file if known else None,
        containers=found,
        networks={n.key: _network(n, lacking.get(n.key)) for n in networks},
        volumes=volumes,
    )  # fmt: skip


def assemble(
    half: Machine, images: Mapping[str, ObservedImage], foreign: Mapping[str, str | None] | None = None,
    advice: Mapping[str, str] | None = None,
) -> Observed:  # fmt: skip
    """Both halves as the planner takes them."""
    return Observed(
        serial=half.serial, images=images, foreign=foreign or {}, advice=advice or {}, containers=half.containers,
        networks=half.networks, volumes=half.volumes,
    )  # fmt: skip


def state_of(host: Host, boot: str, record: ContainerRecord) -> ContainerState:
    """The state as the kernel has it."""
    if record.state == "running" and not processes.alive(host, boot, record):
        return "exited"
    return record.state


def vanished(boot: str, record: ContainerRecord) -> str:
    """How a container ended that is recorded as running and is not there: nobody was, either."""
    return UNSEEN if record.boot_id == boot else "the machine was restarted"


def _container(host: Host, boot: str, record: ContainerRecord, cgroups: Driver | None) -> ObservedContainer:
    state = state_of(host, boot, record)
    unseen, service = state != record.state, record.service
    if cgroups and state == "running":
        held_to = limits.as_they_are(cgroups.open(record.cgroup), service.resources)
        if held_to != service.resources:
            service = replace(service, resources=held_to)
    return ObservedContainer(
        id=record.id, service_name=record.service_name, number=record.number, state=state, service=service,
        digest=record.digest, health=record.health if state == "running" else "none", held=record.held,
        exit_code=None if unseen else record.exit_code, exit=vanished(boot, record) if unseen else record.exit,
    )  # fmt: skip


def _network(record: NetworkRecord, lacks: str | None) -> ObservedNetwork:
    if lacks is None:
        return ObservedNetwork(key=record.key, network=record.network)
    return ObservedNetwork(key=record.key, network=record.network, intact=False, lacks=lacks)


def _lacking(
    host: Host, records: Records, networks: Collection[NetworkRecord], running: Collection[str]
) -> dict[str, str]:
    """Network key -> what the kernel does not have of it, in words; asked of this process's network namespace."""
    links = {name for _index, name in socket.if_nameindex()}
    rules = _rules_stand(host)
    found: dict[str, str] = {}
    for network in networks:
        if network.bridge not in links:
            found[network.key] = "its bridge is gone"
        elif not rules:
            found[network.key] = "its rules are gone"
        elif cut := [
            f"service:{c.service_name}/{c.number}" for c in records.containers(network.stack)
            if c.id in running and network.key in c.addresses
            and host_link(host.id, c.addresses[network.key]) not in links
        ]:  # fmt: skip
            found[network.key] = f"the link of {', '.join(cut)} is gone"
    return found


def _rules_stand(host: Host) -> bool:
    """Both tables are there; true also for who may not ask."""
    from stackup.runtime.network import firewall

    try:
        return firewall.stands(host.id)
    except StackupError:
        return True
