"""Which services take part: those without `profiles`, and those with one that is active."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackup.spec.nodes import Node
from stackup.spec.report import found
from stackup.spec.suggest import did_you_mean

ALL = "*"


def declared(root: Node) -> dict[str, tuple[str, ...]]:
    """Every service, and the profiles that it names."""
    services = root.items.get("services")
    return {name: _of(service) for name, service in services.items.items()} if services is not None else {}


def _of(service: Node) -> tuple[str, ...]:
    profiles = service.items.get("profiles")
    return tuple(item.value for item in profiles.list if isinstance(item.value, str)) if profiles is not None else ()


def inactive(known: dict[str, tuple[str, ...]], active: Sequence[str], named: Iterable[str]) -> tuple[str, ...]:
    """The services that are switched off. `active`: profiles that were asked for; those of the services that are
    `named` on the command line come to them."""
    if ALL in active:
        return ()
    wanted = {*active, *(profile for name in named for profile in known.get(name, ()))}
    return tuple(name for name, profiles in known.items() if profiles and not wanted.intersection(profiles))


def unknown(known: dict[str, tuple[str, ...]], asked: Iterable[str]) -> dict[str, str]:
    """The profiles that were asked for and that no service has, each with what was probably meant. Not those of
    COMPOSE_PROFILES: such a variable may stand for many projects."""
    there = {profile for profiles in known.values() for profile in profiles}
    return {
        one: did_you_mean(one, there) or (f"there is {found(sorted(there))}" if there else "no service has profiles")
        for one in asked
        if one != ALL and one not in there
    }


def split(root: Node, off: Sequence[str]) -> tuple[Node, dict[str, Node]]:
    """The tree without the services that are off, and those."""
    services = root.items.get("services")
    if services is None or not off:
        return root, {}
    on = {name: node for name, node in services.items.items() if name not in off}
    apart = {name: services.items[name] for name in off}
    return root.made(root.items | {"services": services.made(on)}), apart
