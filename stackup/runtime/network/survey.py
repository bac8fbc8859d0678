"""What the kernel really has of a root's networks, beside what should be there: for `doctor`. Reads only.

The only importer of pyroute2: reading back links, addresses, routes and neighbours is what it is worth its import for
(0.15 s of CPU, 12 MB). Making them is raw netlink, so neither `up` nor the supervisor ever loads it.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from stackup.classes import dataclass
from stackup.errors import KernelError
from stackup.runtime.network.values import GATEWAY_MAC, NetworkValue, host_link


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the kernel has it. `routes`: destinations through it ("10.89.0.2/32"). `neighbours`: permanent ones."""

    name: str
    up: bool
    kind: str
    mac: str
    bridge: str | None
    addresses: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    neighbours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`network`: its name, None for what belongs to no network. `faults`: sentences; empty: as it should be."""

    network: str | None
    about: str
    faults: tuple[str, ...] = ()


def compare(
    root_id: str, networks: Mapping[NetworkValue, Collection[str]], links: Mapping[str, Link]
) -> tuple[Finding, ...]:
    """`networks`: each with the addresses of its running containers. Pure; `links` are what `read` found."""
    found, expected = [], set()
    for network, addresses in networks.items():
        names = {address: host_link(root_id, address) for address in addresses}
        expected |= {network.link(root_id), *names.values()}
        faults = [*_bridge_faults(network.link(root_id), network, links)]
        for address, name in names.items():
            faults += _port_faults(name, address, network.link(root_id), links)
        about = f"{network.link(root_id)}, {network.subnet}, {len(names)} container link{'s' * (len(names) != 1)}"
        found.append(Finding(network=network.name, about=about, faults=tuple(faults)))
    if strangers := sorted(links.keys() - expected):
        faults = [f"link {name} belongs to no container that runs" for name in strangers]
        found.append(Finding(network=None, about="links of this root", faults=tuple(faults)))
    return tuple(found)


def _bridge_faults(name: str, network: NetworkValue, links: Mapping[str, Link]) -> Iterator[str]:
    bridge = links.get(name)
    length = network.subnet.partition("/")[2]
    if bridge is None:
        yield f"bridge {name} is not there"
    elif bridge.kind != "bridge":
        yield f"{name} is no bridge but of kind {bridge.kind or 'unknown'}"
    else:
        if not bridge.up:
            yield f"bridge {name} is down"
        if bridge.mac != GATEWAY_MAC:
            yield f"bridge {name} has the hardware address {bridge.mac}, not {GATEWAY_MAC}"
        if f"{network.gateway}/{length}" not in bridge.addresses:
            yield f"bridge {name} lacks its address {network.gateway}/{length}"


def _port_faults(name: str, address: str, bridge: str, links: Mapping[str, Link]) -> Iterator[str]:
    port = links.get(name)
    if port is None:
        yield f"the link {name} of {address} is not there"
        return
    if not port.up:
        yield f"the link {name} of {address} is down"
    if port.bridge != bridge:
        yield f"the link {name} of {address} is on {port.bridge or 'no bridge'}, not on {bridge}"
    through = links.get(bridge)
    if through is not None and f"{address}/32" not in through.routes:
        yield f"the route to {address} is missing"
    if through is not None and address not in through.neighbours:
        yield f"{address} is no permanent neighbour on {bridge}"


def read(root_id: str) -> Mapping[str, Link]:
    """All links of a root by name, in this thread's network namespace. Raises KernelError."""
    from pyroute2 import IPRoute, NetlinkError

    try:
        with IPRoute() as route:
            return _read(route, f"su{root_id}")
    except NetlinkError as error:
        raise KernelError(f"read the network: {error}", abs(int(error.code))) from error
    except OSError as error:
        raise KernelError.of("read the network", error) from error


def _read(route: Any, prefix: str) -> Mapping[str, Link]:
    everything, ipv4 = list(route.get_links()), {"family": socket.AF_INET}
    names = {link["index"]: str(link.get("ifname")) for link in everything}
    addresses = _grouped((a["index"], f"{a.get('local')}/{a['prefixlen']}") for a in route.get_addr(**ipv4))
    routes = _grouped((r.get("oif"), f"{r.get('dst')}/{r['dst_len']}") for r in route.get_routes(**ipv4))
    permanent = (n for n in route.get_neighbours(**ipv4) if n["state"] & _NUD_PERMANENT)
    neighbours = _grouped((n["ifindex"], str(n.get("dst"))) for n in permanent)
    none: frozenset[str] = frozenset()
    return {
        names[index]: Link(
            name=names[index], up=bool(link["flags"] & _IFF_UP), kind=_kind(link), mac=str(link.get("address")),
            bridge=names.get(link.get("master")), addresses=addresses.get(index, none), routes=routes.get(index, none),
            neighbours=neighbours.get(index, none),
        )
        for link in everything
        if names[index := link["index"]].startswith(prefix)
    }  # fmt: skip


_IFF_UP, _NUD_PERMANENT = 0x1, 0x80


def _kind(link: Any) -> str:
    info = link.get("linkinfo")
    return str(info.get("kind") or "") if info else ""


def _grouped(pairs: Iterator[tuple[Any, str]]) -> dict[Any, frozenset[str]]:
    found: dict[Any, set[str]] = {}
    for index, value in pairs:
        found.setdefault(index, set()).add(value)
    return {index: frozenset(values) for index, values in found.items()}
