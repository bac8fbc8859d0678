"""The part of a plan that is about one service: a decision for each replica, then its nodes. Stdlib only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stackup.planner.changes import Change, changes, place_of
from stackup.planner.fields import heaviest
from stackup.planner.observed import ObservedContainer
from stackup.planner.operations import (
    AwaitService,
    CreateContainer,
    DeleteContainer,
    RestartContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from stackup.planner.plan import Draft, if_changed
from stackup.spec.model import Condition, Port, Service

Step = Literal["nothing", "create", "start", "live", "restart", "replace", "remove"]


@dataclass(slots=True)
class _Replica:
    """What is to be done to one. `else_`: the step if the image comes out unchanged, where `step` hangs on that."""

    number: int
    step: Step
    cause: str
    seen: ObservedContainer | None = None
    conditional: bool = False
    else_: Step = "nothing"
    else_cause: str = ""
    changes: tuple[Change, ...] = ()
    last: str | None = None
    nodes: list[str] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.seen is not None and self.seen.state == "running"

    @property
    def interrupts(self) -> bool:
        return self.running and (self.step in ("restart", "replace") or self.else_ == "restart")


class ServiceDraft:
    """First `look`, which decides; then `write`, which adds nodes to the draft of the plan.

    `unbuilt`: "image:web" where the digest is not known yet. `made_of`: nodes a new container needs before it is
    created. `finished`: another service waits for this one's successful end, so having ended well is its aim.
    """

    def __init__(
        self, draft: Draft, name: str, service: Service, digest: str | None, unbuilt: str | None, *,
        places: Mapping[str, str], keep: bool, healthchecked: bool, finished: bool, made_of: Sequence[str],
    ) -> None:  # fmt: skip
        self.draft, self.name, self.service = draft, name, service
        self.digest, self.unbuilt, self.places = digest, unbuilt, places
        self.keep, self.healthchecked, self.finished, self.made_of = keep, healthchecked, finished, list(made_of)
        self.replicas: list[_Replica] = []
        self.surplus: list[tuple[ObservedContainer, str]] = []
        self.starts: list[str] = []  # after these every replica of the wish was started
        self.deletions: list[str] = []
        self.takes_ports: list[str] = []
        self.releases: list[str] = []
        self.applied_ports: tuple[Port, ...] = ()
        self.all_at_once = False  # a network has to be empty before it is made anew

    # Decide

    def look(self, containers: Sequence[ObservedContainer], anew: str | None) -> None:
        """`anew`: why every container of the service has to be made again at once, if so."""
        self.all_at_once = anew is not None
        chosen: dict[int, ObservedContainer] = {}
        for one in sorted(containers, key=lambda c: (c.number, c.state != "running", c.id)):
            if one.number in chosen:
                self.surplus.append((one, "left over"))
            elif one.number > self.service.replicas:
                self.surplus.append((one, self._scale_cause(containers)))
            else:
                chosen[one.number] = one
        self.applied_ports = next((c.service.ports for c in chosen.values()), ())
        fresh = "new" if not containers else self._scale_cause(containers, more=True)
        for number in range(1, self.service.replicas + 1):
            seen = chosen.get(number)
            replica = self._decide(number, seen, anew) if seen else _Replica(number, "create", fresh)
            self.replicas.append(replica)

    def _scale_cause(self, containers: Sequence[ObservedContainer], *, more: bool = False) -> str:
        before, wished = max(c.service.replicas for c in containers), self.service.replicas
        if before == wished or (before < wished) != more:
            return "it is missing" if more else "too many"
        return str(Change("replicas", str(before), str(wished), "none", self._place("replicas")))

    def _place(self, name: str) -> str | None:
        return place_of(f"service:{self.name}", name, self.places)

    def _decide(self, number: int, seen: ObservedContainer, anew: str | None) -> _Replica:
        found = tuple(c for c in changes(seen.service, self.service, self.places) if c.verdict != "none")
        heavy = heaviest([c.verdict for c in found])
        told = "; ".join(map(str, found))
        if seen.state == "gone":
            idle = self.keep and not self._policy_starts(seen)
            return _Replica(number, "nothing" if idle else "replace", "it is gone", seen)
        if anew or heavy == "replace":
            return _Replica(number, "replace", "; ".join(t for t in (anew, told) if t), seen)
        if self.digest is not None and seen.digest != self.digest:
            return _Replica(number, "replace", "; ".join(t for t in (self._image_cause(seen), told) if t), seen)
        step, cause = self._without_new_image(seen, found, told)
        if self.unbuilt is None:
            return _Replica(number, step, cause, seen, changes=found)
        return _Replica(
            number, "replace", if_changed(self.unbuilt), seen, conditional=True, else_=step,
            else_cause=cause, changes=found,
        )  # fmt: skip

    def _image_cause(self, seen: ObservedContainer) -> str:
        """Another image is named, or another one is behind the name."""
        before, wished = seen.service.image, self.service.image
        if before == wished:
            return "image changed"
        return str(Change("image", before, wished, "replace", self._place("image")))

    def _without_new_image(self, seen: ObservedContainer, found: tuple[Change, ...], told: str) -> tuple[Step, str]:
        heavy = heaviest([c.verdict for c in found])
        if seen.state == "running":
            if heavy in ("restart", "live"):
                return ("restart" if heavy == "restart" else "live"), told
            return "nothing", ""
        if seen.state == "created":
            return "start", "it was made and never started"
        if heavy == "restart":
            return "start", told
        if self.keep:
            return ("start", self._ended(seen)) if self._policy_starts(seen) else ("nothing", "")
        if self.finished and seen.exit_code == 0 and not seen.held:
            return "nothing", ""
        return "start", self._ended(seen)

    def _ended(self, seen: ObservedContainer) -> str:
        if seen.held:
            return "it was stopped by you"
        if seen.exit and seen.exit.startswith("ended"):
            return f"it {seen.exit}"
        return f"it ended: {seen.exit}" if seen.exit else "it is not running"

    def _policy_starts(self, seen: ObservedContainer) -> bool:
        if seen.held:
            return False
        policy = seen.service.restart.policy
        return policy in ("always", "unless-stopped") or (policy == "on-failure" and seen.exit_code not in (0, None))

    # What others ask

    @property
    def starts_something(self) -> bool:
        return any(r.step in ("create", "start", "restart", "replace") for r in self.replicas)

    @property
    def interrupts(self) -> bool:
        return any(r.interrupts for r in self.replicas)

    @property
    def interrupts_if(self) -> str | None:
        """The image on which it hangs whether anything is interrupted, or None where that is certain."""
        certain = any(r.running and (not r.conditional or r.else_ == "restart") and r.interrupts for r in self.replicas)
        return None if certain else self.unbuilt

    def meets(self, condition: Condition) -> bool:
        """Do all replicas, as they are now, meet what a dependent asks for?"""
        seen = [r.seen for r in self.replicas]
        if condition == "service_healthy":
            return all(c is not None and c.state == "running" and c.health == "healthy" for c in seen)
        if condition == "service_completed_successfully":
            return all(c is not None and c.state == "exited" and c.exit_code == 0 for c in seen)
        return all(c is not None and c.state == "running" for c in seen)

    # Write

    def write(self, ready: Sequence[str], below: tuple[str, str | None, list[str]] | None) -> None:
        """`ready`: what has to be done before a start. `below`: a dependency whose restart this service follows."""
        for container, cause in self.surplus:
            self._remove(container, cause)
        if below:
            self._follow(*below)
        gate: str | None = None
        rolling = len(self.replicas) > 1 and not self.all_at_once
        disturbed = [r for r in self.replicas if r.interrupts]
        for replica in self.replicas:
            turn = gate if rolling and replica.interrupts else None
            self._write(replica, ready, turn)
            if rolling and replica.interrupts:
                gate = self._turn(replica, replica is not disturbed[-1]) or gate

    def _turn(self, replica: _Replica, more: bool) -> str | None:
        """The node after which the next replica may be interrupted."""
        if not (more and self.healthchecked and replica.last):
            return replica.last
        return self.draft.add(
            f"await service:{self.name}/{replica.number} healthy",
            AwaitService(
                service=self.name, number=replica.number, condition="service_healthy",
                cause="one replica after the other",
            ),
            *replica.nodes,
        )  # fmt: skip

    def _follow(self, other: str, image: str | None, nodes: list[str]) -> None:
        """Restart what runs and is not interrupted anyway."""
        place = self._place(f"depends_on.{other}.restart")
        cause = f"service:{other} is restarted" + (f" ({place})" if place else "")
        for replica in self.replicas:
            spared = replica.step in ("nothing", "live") or (
                replica.conditional and replica.else_ in ("nothing", "live")
            )
            if not (replica.running and replica.seen and spared):
                continue
            node = self.draft.add(
                f"restart service:{self.name}/{replica.number} after service:{other}",
                RestartContainer(
                    service=self.name, number=replica.number, container=replica.seen.id, follows=other, cause=cause,
                    unless_unchanged=image, if_unchanged=self.unbuilt if replica.conditional else None,
                ),
                *nodes,
            )  # fmt: skip
            replica.nodes.append(node)
            self.starts.append(node)

    def _write(self, replica: _Replica, ready: Sequence[str], turn: str | None) -> None:
        if replica.conditional:
            self._step(replica.else_, replica, replica.else_cause, ready, turn, if_unchanged=self.unbuilt)
        condition = self.unbuilt if replica.conditional else None
        self._step(replica.step, replica, replica.cause, ready, turn, unless_unchanged=condition)

    def _step(
        self, step: Step, replica: _Replica, cause: str, ready: Sequence[str], turn: str | None, *,
        if_unchanged: str | None = None, unless_unchanged: str | None = None,
    ) -> None:  # fmt: skip
        address, seen, number = f"service:{self.name}/{replica.number}", replica.seen, replica.number
        branch = " as it is" if if_unchanged else ""
        image = [f"build {i}" for i in (if_unchanged, unless_unchanged) if i]
        fields = tuple(c.field for c in replica.changes)
        after: list[str | None] = [*image, *ready, turn]
        match step:
            case "create" | "replace":
                self._anew(replica, cause, ready, turn, unless_unchanged)
                return
            case "start":
                assert seen
                operation: StartContainer | UpdateContainer | RestartContainer = StartContainer(
                    service=self.name, number=number, cause=cause, container=seen.id, if_unchanged=if_unchanged
                )
            case "restart":
                assert seen
                operation = RestartContainer(
                    service=self.name, number=number, container=seen.id, fields=fields, cause=cause,
                    if_unchanged=if_unchanged,
                )  # fmt: skip
            case "live":
                assert seen
                operation = UpdateContainer(
                    service=self.name, number=number, container=seen.id, fields=fields, cause=cause,
                    if_unchanged=if_unchanged,
                )  # fmt: skip
                after = [*image, *replica.nodes]
            case _:
                return
        node = self.draft.add(f"{step} {address}{branch}", operation, *after)
        self._started(replica, node, starts=step != "live")

    def _anew(self, replica: _Replica, cause: str, ready: Sequence[str], turn: str | None, unless: str | None) -> None:
        address, number, gone = f"service:{self.name}/{replica.number}", replica.number, None
        if replica.seen is not None:
            # What is made anew waits for this; so nothing of that kind here, or it is a circle.
            built = [m for m in self.made_of if m.startswith("build ")]
            gone = self._remove(replica.seen, cause, built if self.all_at_once else [*built, *ready, turn], unless)
        create = self.draft.add(
            f"create {address}",
            CreateContainer(service=self.name, number=number, cause=cause, unless_unchanged=unless),
            *self.made_of,
            gone,
        )
        start = self.draft.add(
            f"start {address}",
            StartContainer(service=self.name, number=number, cause=cause, unless_unchanged=unless),
            create,
            *ready,
        )
        self._started(replica, start, starts=True)

    def _started(self, replica: _Replica, node: str, *, starts: bool) -> None:
        replica.last = node
        replica.nodes.append(node)
        if starts:
            self.starts.append(node)
        self.takes_ports.append(node)
        self.releases.append(node)

    def _remove(
        self, seen: ObservedContainer, cause: str, after: Iterable[str | None] = (), unless: str | None = None
    ) -> str:
        address = f"service:{self.name}/{seen.number}"
        if f"delete {address}" in self.draft or cause == "left over":
            address += f" ({seen.id})"
        stop: str | None = None
        if seen.state == "running":
            stop = self.draft.add(
                f"stop {address}",
                StopContainer(
                    service=self.name, number=seen.number, container=seen.id, cause=cause, unless_unchanged=unless
                ),
                *after,
            )
        node = self.draft.add(
            f"delete {address}",
            DeleteContainer(
                service=self.name, number=seen.number, container=seen.id, cause=cause, unless_unchanged=unless
            ),
            *([stop] if stop else after),
        )
        self.deletions.append(node)
        return node


def released_ports(old: Iterable[Port], new: Iterable[Port]) -> set[tuple[int, str]]:
    """(port, protocol) that were published on some address and are there no more."""
    return {one[1:] for one in _fixed(old) - _fixed(new)}


def wished_ports(new: Iterable[Port], old: Iterable[Port]) -> set[tuple[int, str]]:
    return {one[1:] for one in _fixed(new) - _fixed(old)}


def _fixed(ports: Iterable[Port]) -> set[tuple[str, int, str]]:
    return {(p.host_ip, p.published, p.protocol) for p in ports if p.published}
