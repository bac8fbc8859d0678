"""Which wish counts for a stack: what one `up` adds to what was wished before. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from stackup.planner.desired import Desired

KEEP = 10  # past generations that stay to be looked at


def pin(desired: Desired, digests: Mapping[str, str]) -> Desired:
    """The wish with every image fixed to a digest. `digests`: reference -> manifest digest."""
    images = {k: replace(i, digest=digests.get(i.reference)) for k, i in desired.images.items()}
    services = {k: replace(s, digest=digests.get(s.image)) for k, s in desired.services.items()}
    return replace(desired, images=images, services=services)


def with_dependencies(desired: Desired, services: Collection[str]) -> frozenset[str]:
    """The named services and all that they need; all services where none is named."""
    if not services:
        return frozenset(desired.services)
    found: set[str] = set()
    waiting = [f"service:{name}" for name in services]
    while waiting:
        address = waiting.pop()
        name = address.removeprefix("service:")
        if address.startswith("service:") and name not in found:
            found.add(name)
            waiting += [needed for dependent, needed in desired.edges if dependent == address]
    return frozenset(found)


def merge(
    desired: Desired, before: Desired | None, services: Collection[str], left: Collection[str] = ()
) -> Desired:  # fmt: skip
    """The new wish of a stack after `up SERVICES...`.

    What was named (with its dependencies) is as `desired` says; other services stay as they were wished before, and
    those that were never brought up are not wished yet. `left`: services that `desired` lacks and that run on as they
    are (a profile is off, or orphans stay), with the volumes that they mount.
    """
    was = before.services if before else {}
    on = {name: was[name] for name in was if name in left and name not in desired.services}
    if before and on:
        mounted = {m.source for one in on.values() for m in one.service.volumes}
        volumes = {key: v for key, v in before.volumes.items() if key in mounted}
        desired = replace(desired, volumes={**volumes, **desired.volumes})
    if not services:
        return replace(desired, services={**desired.services, **on}) if on else desired
    chosen = with_dependencies(desired, services)
    kept = {name: service for name, service in was.items() if name not in chosen and name in desired.services}
    wished = {n: s for n, s in desired.services.items() if n in chosen} | kept
    return replace(desired, services={n: wished[n] for n in desired.services if n in wished} | on)
