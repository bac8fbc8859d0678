"""Who knows which names: a container's view of the state, made when it first asks. Pure.

A container knows what shares a network with it, and nothing else. A service's name and aliases answer its service
address, or the addresses of all ready replicas (mode "dnsrr"); `tasks.NAME` always answers the ready replicas; a
container's own names answer its address. Where two networks of one container have a name in common, the first one's is
meant. A container's links are names that it alone has for services on its networks, before all others. Names are
lower-case, without the final dot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from stackup.classes import dataclass
from stackup.runtime.network.values import State

Links = tuple[tuple[str, str], ...]
_Asking = tuple[tuple[str, ...], Links]


@dataclass(frozen=True, slots=True)
class View:
    """`names` -> addresses (none: the name exists, nobody is there now), `pointers`: address -> name, `subnets` whose
    reverse names are ours alone, `forward`: other names are asked of the host's resolvers."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)
    subnets: tuple[str, ...] = ()
    forward: bool = True


class Directory:
    """The views of all containers of a root. `update` and `view` belong into one thread (the event loop's)."""

    def __init__(self, state: State | None = None) -> None:
        self.update(state or State())

    def update(self, state: State) -> None:
        self._state = state
        self._by_container = _by_container(state)
        self._views: dict[_Asking, View] = {}

    def view(self, address: str) -> View | None:
        """The view of the container with this address; None for a stranger, who gets no answer at all."""
        asking = self._by_container.get(address)
        if asking is None:
            return None
        if asking not in self._views:
            self._views[asking] = make_view(self._state, *asking)
        return self._views[asking]


def _by_container(state: State) -> dict[str, _Asking]:
    """Address -> all networks of the container that has it, in the order of the state, and its links."""
    networks: dict[str, list[str]] = {}
    for one in state.endpoints:
        networks.setdefault(one.container, []).append(one.network)
    return {one.address: (tuple(networks[one.container]), one.links) for one in state.endpoints}


def make_view(state: State, networks: tuple[str, ...], links: Links = ()) -> View:
    """What a container on these networks knows; the first network's names win."""
    names: dict[str, tuple[str, ...]] = {}
    pointers: dict[str, str] = {}
    for network in networks:
        here, back = _names_of(state, network)
        names = here | names
        pointers = back | pointers
    known = dict(names)
    for alias, service in links:
        own = service.rpartition("/")[2].lower()
        for before in ("", "tasks."):
            if before + own in known:
                names[before + alias.lower()] = known[before + own]
    mine = [n for n in state.networks if n.name in networks]
    forward = any(not n.internal for n in mine)
    return View(names, pointers, tuple(n.subnet for n in mine), forward)


def _names_of(state: State, network: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    names: dict[str, tuple[str, ...]] = {}
    pointers: dict[str, str] = {}
    endpoints = [e for e in state.endpoints if e.network == network]
    for one in endpoints:
        for name in one.names:
            names[name.lower()] = (*names.get(name.lower(), ()), one.address)
        if one.names:
            pointers[one.address] = one.names[0]
    ready: dict[str, tuple[str, ...]] = {}
    for one in endpoints:
        if one.service is not None and one.ready:
            ready[one.service] = (*ready.get(one.service, ()), one.address)
    for service in state.services:
        if service.network != network:
            continue
        replicas = ready.get(service.service, ())
        by_address = service.mode == "vip" and service.address is not None
        meant = (str(service.address),) if by_address else replicas
        own = service.service.rpartition("/")[2].lower()
        for name in (own, *(alias.lower() for alias in service.aliases)):
            names[name] = meant
            names[f"tasks.{name}"] = replicas
        if by_address:
            pointers[str(service.address)] = own
    return names, pointers
