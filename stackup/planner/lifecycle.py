"""Plans of the verbs that change no wish: `down`, `stop`, `start`, `restart`. Pure, stdlib only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stackup.planner.desired import Desired
from stackup.planner.observed import Observed, ObservedContainer
from stackup.planner.operations import (
    AwaitService,
    DeleteNetwork,
    DeleteVolume,
    RestartContainer,
    StartContainer,
    StopContainer,
)
from stackup.planner.plan import Draft, Plan
from stackup.planner.reconcile import address_of, remove


def down(stack: str, desired: Desired | None, observed: Observed, *, volumes: bool = False) -> Plan:
    """Containers away, dependents first, then networks; with `volumes` the named volumes too, external ones never.

    `desired` is only asked which volumes are external; a stack whose file is gone is taken down all the same.
    """
    draft = Draft()
    deleted = remove(draft, list(observed.containers), "down")
    for key in sorted(observed.networks):
        draft.add(f"delete network:{key}", DeleteNetwork(key=key, cause="down"), *deleted.values())
    external = {v.name for v in desired.volumes.values() if v.volume.external} if desired else set()
    for name, key in sorted(observed.volumes.items()) if volumes else ():
        if name not in external:
            node = f"delete volume:{key}"
            node += f" ({name})" if node in draft else ""
            draft.add(node, DeleteVolume(key=key, name=name, cause="down -v"), *deleted.values())
    return draft.finish(stack=stack, serial=observed.serial)


def stop(stack: str, observed: Observed, services: Sequence[str] = ()) -> Plan:
    """What runs of these services (all: none named), dependents first."""
    draft, stops = Draft(), dict[str, list[str]]()
    running = [c for c in _of(observed, services) if c.state == "running"]
    for one in running:
        operation = StopContainer(service=one.service_name, number=one.number, container=one.id, cause="you asked")
        stops.setdefault(one.service_name, []).append(draft.add(f"stop {address_of(one)}", operation))
    for one in running:
        for dependency in one.service.depends_on:
            for theirs in stops.get(dependency, ()):
                draft.order(f"stop {address_of(one)}", theirs)
    return draft.finish(stack=stack, serial=observed.serial)


def start(stack: str, observed: Observed, services: Sequence[str] = ()) -> Plan:
    """What does not run of these services, as it was made, dependencies first and waited for."""
    still = [c for c in _of(observed, services) if c.state in ("exited", "created")]
    return _ordered(stack, observed, still, _start)


def restart(stack: str, observed: Observed, services: Sequence[str] = ()) -> Plan:
    """Every container of these services, dependencies first and waited for."""
    there = [c for c in _of(observed, services) if c.state != "gone"]
    return _ordered(stack, observed, there, _restart)


def _start(one: ObservedContainer) -> StartContainer:
    return StartContainer(service=one.service_name, number=one.number, container=one.id, cause="you asked")


def _restart(one: ObservedContainer) -> StartContainer | RestartContainer:
    if one.state != "running":
        return _start(one)
    return RestartContainer(service=one.service_name, number=one.number, container=one.id, cause="you asked")


_Make = Callable[[ObservedContainer], StartContainer | RestartContainer]


def _of(observed: Observed, services: Sequence[str]) -> list[ObservedContainer]:
    return [c for c in observed.containers if not services or c.service_name in services]


def _ordered(stack: str, observed: Observed, containers: list[ObservedContainer], make: _Make) -> Plan:
    draft, starts = Draft(), dict[str, list[str]]()
    for one in containers:
        node = draft.add(f"start {address_of(one)}", make(one))
        starts.setdefault(one.service_name, []).append(node)
    for one in containers:
        for other, dependency in one.service.depends_on.items():
            if other not in starts or other == one.service_name:
                continue
            if dependency.condition == "service_started":
                for before in starts[other]:
                    draft.order(before, f"start {address_of(one)}")
                continue
            wait = f"await service:{other} {dependency.condition}{'' if dependency.required else ' if it can'}"
            if wait not in draft:
                cause = f"service:{one.service_name} depends on it"
                optional = not dependency.required
                draft.add(
                    wait,
                    AwaitService(service=other, condition=dependency.condition, cause=cause, optional=optional),
                    *starts[other],
                )
            draft.order(wait, f"start {address_of(one)}")
    return draft.finish(stack=stack, serial=observed.serial)
