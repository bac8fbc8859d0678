"""Wish and snapshot -> plan. Pure, stdlib only: asks nobody anything, changes nothing.

Order: images, then networks and volumes, then services as they depend on one another. Containers are created early and
started when what they depend on meets its condition. Replicas are taken one after the other where that interrupts
them, so a service with several keeps serving. What goes away goes in the reverse order of creation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from stackup.classes import dataclass
from stackup.errors import NotFound
from stackup.planner.changes import differences, place_of
from stackup.planner.desired import Desired
from stackup.planner.observed import Observed, ObservedContainer
from stackup.planner.operations import (
    AwaitService,
    BuildImage,
    CreateNetwork,
    CreateVolume,
    DeleteContainer,
    DeleteNetwork,
    StopContainer,
)
from stackup.planner.plan import Draft, Plan
from stackup.planner.services import ServiceDraft, released_ports, wished_ports
from stackup.spec.model import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`services`: only these and what they depend on; empty means all, and what is no longer in the file goes.

    `mode`: "up" is a user's wish: stopped things start, held ones too. "keep" is the supervisor's: what the user
    stopped stays stopped, and what ended comes back as its restart policy says.
    `all_images`: also those that no service uses (`build`). Not `remove_orphans`: what is no longer in the file stays.
    """

    services: tuple[str, ...] = ()
    mode: Literal["up", "keep"] = "up"
    all_images: bool = False
    remove_orphans: bool = True


_PROFILE_OFF, _NOT_IN_FILE = "profile off", "no longer in the file"


def scope(desired: Desired, options: Options) -> frozenset[str]:
    """Addresses that the options are about: the services meant, and all they depend on."""
    known = [f"service:{s}" for s in options.services or desired.services]
    if options.all_images or (not desired.services and not options.services):
        known += [f"image:{i}" for i in desired.images]
    return _closure(desired, known, frozenset())


def _closure(desired: Desired, known: list[str], without: frozenset[str]) -> frozenset[str]:
    """`known` and all that they need, but not by way of `without`."""
    below: dict[str, list[str]] = {}
    for dependent, dependency in desired.edges:
        if dependency not in without:
            below.setdefault(dependent, []).append(dependency)
    seen: set[str] = set()
    while known:
        one = known.pop()
        if one not in seen:
            seen.add(one)
            known.extend(below.get(one, ()))
    return frozenset(seen)


def reconcile(desired: Desired, observed: Observed, options: Options = Options()) -> Plan:
    """What has to be done so that the machine is as the file wishes. NotFound where an image is nowhere."""
    return _Reconciler(desired, observed, options).plan()


class _Reconciler:
    def __init__(self, desired: Desired, observed: Observed, options: Options) -> None:
        self.desired, self.observed, self.options = desired, observed, options
        self.scope = self._kept() if options.mode == "keep" else scope(desired, options)
        self.draft = Draft()
        self.order = [a for a in desired.order if a in self.scope]
        self.services: dict[str, ServiceDraft] = {}
        self.left = self._left_alone()

    def _left_alone(self) -> dict[str, str]:
        """Services that have containers, are not wished and stay as they are -> why."""
        there = dict.fromkeys(c.service_name for c in self.observed.containers)
        left = {name: _PROFILE_OFF for name in there if name in self.desired.inactive}
        if self.options.services or not self.options.remove_orphans:
            left |= {n: _NOT_IN_FILE for n in there if n not in self.desired.services and n not in left}
        return left

    def _told_left(self) -> dict[str, str]:
        told = {f"service:{name}": why for name, why in self.left.items()}
        for key in self._keys("network"):
            if key in self.observed.networks and (cause := self._network_changed(key)) and not self._alone_on(key):
                told[f"network:{key}"] = f"{cause}; {', '.join(sorted(told))} is on it"
        return told

    def _kept(self) -> frozenset[str]:
        """The supervisor keeps up what was brought up, and nothing that never was."""
        there = {f"service:{c.service_name}" for c in self.observed.containers}
        services = {f"service:{s}" for s in self.desired.services}
        return _closure(self.desired, sorted(services & there), frozenset(services - there))

    def plan(self) -> Plan:
        for address in self.order:
            if address.startswith("image:"):
                self._image(address.removeprefix("image:"))
        gone = (c for c in self.observed.containers if c.service_name not in self.desired.services)
        orphans = [c for c in gone if c.service_name not in self.left]
        deleted = self._remove(orphans, "removed from the file")
        changed = self._networks(deleted)
        self._volumes()
        for address in self.order:
            if address.startswith("service:"):
                self._service(address.removeprefix("service:"), changed)
        self._networks_gone(deleted)
        self._ports(orphans)
        replicas = {name: s.service.replicas for name, s in self.desired.services.items()}
        return self.draft.finish(
            stack=self.desired.stack, serial=self.observed.serial, replicas=replicas,
            left_alone={} if self.options.services else self._told_left(),
        )  # fmt: skip

    # Images

    def _image(self, name: str) -> None:
        image, seen = self.desired.images[name], self.observed.images.get(name)
        if image.digest:  # pinned: it was built before this wish was stored
            return
        if image.base and image.base in self.observed.foreign and self.observed.foreign[image.base] is None:
            raise self._missing(image.base, f"image:{name}", place_of(f"image:{name}", "from", self.desired.places))
        if seen and seen.digest and seen.digest == seen.named:
            return
        steps = seen.steps if seen else ()
        missed = next((s for s in steps if not s.hit), None)
        if seen is None or seen.named is None:
            cause = "new"
        elif missed:
            cause = f"{missed.text}: {missed.reason}" if missed.reason else missed.text
        else:
            cause = "its configuration changed" if seen.digest else "what it stands on is built first"
        base = image.base.removeprefix(f"{self.desired.stack}/") if image.base else ""
        self.draft.add(
            f"build image:{name}",
            BuildImage(name=name, cause=cause, steps=steps, host_bound=bool(seen and seen.host_bound)),
            f"build image:{base}" if base in self.desired.images else None,
        )

    # Networks and volumes

    def _networks(self, deleted: Mapping[str, str]) -> Mapping[str, str]:
        """Creates what is missing; the networks that have to be made anew, each with the reason."""
        changed: dict[str, str] = {}
        for key in self._keys("network"):
            seen = self.observed.networks.get(key)
            if seen is None:
                self._create_network(key, "new")
            elif (cause := self._network_changed(key)) and self._alone_on(key):
                changed[key] = f"network:{key} {cause}"
                self.draft.add(f"delete network:{key}", DeleteNetwork(key=key, cause=cause), *deleted.values())
                self._create_network(key, cause, f"delete network:{key}")
            elif not seen.intact:
                self.draft.add(f"create network:{key}", CreateNetwork(key=key, cause=seen.lacks, mend=True))
        return changed

    def _create_network(self, key: str, cause: str, *after: str) -> None:
        self.draft.add(f"create network:{key}", CreateNetwork(key=key, cause=cause), *after)

    def _network_changed(self, key: str) -> str | None:
        old, new = self.observed.networks[key].network, self.desired.networks[key].network
        told = [
            line
            for line in differences(old, new, self.desired.places, f"network:{key}")
            if line.startswith(("subnet ", "ip_range ", "gateway ", "internal "))
        ]
        return "; ".join(told) or None

    def _alone_on(self, key: str) -> bool:
        """Is everything on that network ours to replace? Else the change waits for an `up` of all."""
        return all(
            f"service:{c.service_name}" in self.scope or c.service_name not in {*self.desired.services, *self.left}
            for c in self.observed.containers
            if key in c.service.networks
        )

    def _networks_gone(self, deleted: Mapping[str, str]) -> None:
        if self.options.services or not self.options.remove_orphans:
            return
        used = {k for c in self.observed.containers if c.service_name in self.left for k in c.service.networks}
        for key in self.observed.networks:
            if key not in self.desired.networks and key not in used:
                last = list(deleted.values())
                last += [i for s in self.services.values() for i in s.deletions]
                self.draft.add(
                    f"delete network:{key}", DeleteNetwork(key=key, cause="removed from the file"), *last
                )  # fmt: skip

    def _volumes(self) -> None:
        for key in self._keys("volume"):
            wanted = self.desired.volumes[key]
            if wanted.name not in self.observed.volumes and not wanted.volume.external:
                self.draft.add(f"create volume:{key}", CreateVolume(key=key, cause="new"))

    def _keys(self, kind: str) -> list[str]:
        return [a.removeprefix(f"{kind}:") for a in self.order if a.startswith(f"{kind}:")]

    # Services

    def _service(self, name: str, networks: Mapping[str, str]) -> None:
        wished = self.desired.services[name]
        digest, unbuilt = self._digest(name)
        below = [d for a, d in self.desired.edges if a == f"service:{name}"]
        draft = ServiceDraft(
            self.draft, name, wished.service, digest, unbuilt,
            places=self.desired.places, keep=self.options.mode == "keep", healthchecked=self._healthchecked(name),
            finished=self._wanted_finished(name),
            made_of=[f"build {d}" for d in below if d.startswith("image:")]
            + [f"create {d}" for d in below if d.startswith(("network:", "volume:"))],
        )  # fmt: skip
        self.services[name] = draft
        there = [c for c in self.observed.containers if c.service_name == name]
        on = {key for c in there for key in c.service.networks} | set(wished.service.networks)
        anew = [cause for key, cause in networks.items() if key in on]
        draft.look(there, "; ".join(anew) or None)
        ready = self._ready(name) if draft.starts_something else []
        draft.write(ready, self._restarted_below(name))
        for key in networks:
            if key in on:
                for node in draft.deletions:
                    self.draft.order(node, f"delete network:{key}")

    def _digest(self, name: str) -> tuple[str | None, str | None]:
        """(digest, None) where it is known, else (None, "image:web"): the image that has to be built first."""
        wished = self.desired.services[name]
        if wished.digest:
            return wished.digest, None
        if wished.image_key is None:
            found = self.observed.foreign.get(wished.image)
            if found is None:
                place = self.desired.places.get(f"service:{name} image")
                raise self._missing(wished.image, f"service:{name}", place)
            return found, None
        image = self.desired.images[wished.image_key]
        seen = self.observed.images.get(wished.image_key)
        digest = image.digest or (seen.digest if seen else None)
        return (digest, None) if digest else (None, f"image:{wished.image_key}")

    def _missing(self, reference: str, resource: str, place: str | None) -> NotFound:
        at = f" ({place})" if place else ""
        return NotFound(
            f"{resource}: image {reference} is neither in the file nor in the store{at}",
            hint=self.observed.advice.get(reference), resource=resource,
        )  # fmt: skip

    def _healthchecked(self, name: str) -> bool:
        wished = self.desired.services[name]
        check = wished.service.healthcheck
        key = wished.image_key
        while check is None and key is not None:
            image = self.desired.images[key]
            check = image.image.config.healthcheck
            key = image.image.base if image.image.base in self.desired.images else None
        return check is not None and check.test[:1] not in ((), ("NONE",))

    def _wanted_finished(self, name: str) -> bool:
        return any(
            name in s.service.depends_on
            and s.service.depends_on[name].condition == "service_completed_successfully"
            for s in self.desired.services.values()
        )  # fmt: skip

    def _ready(self, name: str) -> list[str]:
        """Nodes after which everything that a service depends on meets the condition asked for."""
        after: list[str] = []
        for other, dependency in self.desired.services[name].service.depends_on.items():
            draft = self.services.get(other)
            if draft is None:
                continue
            if dependency.condition == "service_started":
                after += draft.starts
            elif draft.starts_something or (self.options.mode == "up" and not draft.meets(dependency.condition)):
                after.append(self._await(other, dependency.condition, name, not dependency.required))
        return after

    def _await(self, name: str, condition: Condition, asker: str, optional: bool) -> str:
        word = "completed" if condition == "service_completed_successfully" else "healthy"
        node = f"await service:{name} {word}{' if it can' if optional else ''}"
        if node not in self.draft:
            cause = f"service:{asker} depends on it"
            self.draft.add(
                node, AwaitService(service=name, condition=condition, cause=cause, optional=optional),
                *self.services[name].starts,
            )  # fmt: skip
        return node

    def _restarted_below(self, name: str) -> tuple[str, str | None, list[str]] | None:
        """(service, image it hangs on, nodes) of a dependency with `restart: true` that is interrupted."""
        for other, dependency in self.desired.services[name].service.depends_on.items():
            draft = self.services.get(other)
            if dependency.restart and draft and draft.interrupts:
                return other, draft.interrupts_if, draft.starts
        return None

    # What goes

    def _remove(self, containers: Iterable[ObservedContainer], cause: str) -> Mapping[str, str]:
        return remove(self.draft, list(containers), cause)

    def _ports(self, orphans: list[ObservedContainer]) -> None:
        """Who publishes a port that another one gives up waits for that."""
        givers: dict[tuple[int, str], list[str]] = {}
        for container in orphans:
            for port in released_ports(container.service.ports, ()):
                givers.setdefault(port, []).append(f"delete {address_of(container)}")
        for draft in self.services.values():
            for port in released_ports(draft.applied_ports, draft.service.ports):
                givers.setdefault(port, []).extend(draft.releases)
        for draft in self.services.values():
            for port in wished_ports(draft.service.ports, draft.applied_ports):
                for giver in givers.get(port, ()):
                    for node in draft.takes_ports:
                        self.draft.order(giver, node)


def address_of(container: ObservedContainer) -> str:
    return f"service:{container.service_name}/{container.number}"


def remove(draft: Draft, containers: list[ObservedContainer], cause: str) -> Mapping[str, str]:
    """Stop and delete, dependents first as the applied services say; container id -> node that deletes it."""
    deleted: dict[str, str] = {}
    stops: dict[str, list[str]] = {}
    for container in containers:
        address = address_of(container)
        key = address if f"delete {address}" not in draft else f"{address} ({container.id})"
        facts = {"service": container.service_name, "number": container.number, "container": container.id}
        stop = None
        if container.state == "running":
            stop = draft.add(f"stop {key}", StopContainer(**facts, cause=cause))  # type: ignore[arg-type]
            stops.setdefault(container.service_name, []).append(stop)
        deleted[container.id] = draft.add(
            f"delete {key}",
            DeleteContainer(**facts, cause=cause),  # type: ignore[arg-type]
            stop,
        )
    for container in containers:
        for dependency in container.service.depends_on:
            for theirs in stops.get(dependency, ()):
                for mine in stops.get(container.service_name, ()):
                    draft.order(mine, theirs)
    return deleted
