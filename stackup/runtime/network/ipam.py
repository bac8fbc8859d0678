"""Who gets which subnet and which address. Pure: what is taken goes in, a choice comes out; the ledger is the engine's.

A subnet's first address is the gateway, unless another one is chosen (`gateway`). Containers get addresses from below,
services from above, so that a list of them reads well. An address that was given back is given out again last, oldest
first: a client that still remembers it meets nobody rather than a stranger.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Collection, Iterable, Sequence

from stackup.errors import BadInput, Conflict

POOL = "10.89.0.0/16"
_SIZES = (24, 20)


def choose_subnet(taken: Iterable[str], routes: Iterable[str] = (), *, addresses: int = 0, pool: str = POOL) -> str:
    """The lowest free subnet of the pool that holds `addresses` (containers and services together): a /24, else a /20.

    `taken`: subnets of our networks; `routes`: what the host routes elsewhere ("10.0.0.0/8"; a default route is no
    obstacle). Raises Conflict where none is left.
    """
    whole = ipaddress.IPv4Network(pool)
    used = [n for n in map(ipaddress.IPv4Network, (*taken, *routes)) if n.prefixlen > 0 and n.overlaps(whole)]
    # A /24 must not be nearly full from the start: while a service is replaced, both generations are there.
    prefix = next((p for p in _SIZES if 2 ** (32 - p) - 3 >= addresses * 2), _SIZES[-1])
    for candidate in whole.subnets(new_prefix=max(prefix, whole.prefixlen)):
        if not any(candidate.overlaps(n) for n in used):
            return str(candidate)
    raise Conflict(
        f"no free subnet of /{prefix} is left in {pool}",
        hint="give the network a subnet of its own in the stack file, or take down a stack",
    )


def check_subnet(subnet: str, taken: Iterable[str], routes: Iterable[str] = ()) -> str:
    """A subnet that the user chose, in canonical form. BadInput where it is none or too small, Conflict where it
    overlaps one of our networks (`taken`) or what the host routes elsewhere (`routes`)."""
    try:
        chosen = ipaddress.IPv4Network(subnet, strict=False)
    except ValueError as error:
        raise BadInput(f"{subnet!r} is no IPv4 subnet", hint="write it like 10.90.0.0/24") from error
    if chosen.prefixlen > 29:
        raise BadInput(f"subnet {chosen} is too small", hint="take a /29 or larger")
    for what, others in (("a network of this root", taken), ("a route of this host", routes)):
        for other in map(ipaddress.IPv4Network, others):
            if other.prefixlen > 0 and chosen.overlaps(other):
                raise Conflict(f"subnet {chosen} overlaps {what}: {other}", hint="choose another subnet")
    return str(chosen)


def container_address(
    subnet: str, taken: Collection[str], released: Sequence[str] = (), *, within: str | None = None, gateway: str = ""
) -> str:
    """The lowest address of the subnet that is free and was never used; else the one released longest ago.

    `taken`: addresses in use, of containers and services; `released`: given back ones, oldest first; `within`: the part
    of the subnet to take from. Raises Conflict where the subnet is full.
    """
    return _choose(subnet, taken, released, within, gateway, downwards=False)


def service_address(
    subnet: str, taken: Collection[str], released: Sequence[str] = (), *, within: str | None = None, gateway: str = ""
) -> str:
    """As `container_address`, from the top of the subnet."""
    return _choose(subnet, taken, released, within, gateway, downwards=True)


def static_address(subnet: str, address: str, taken: Collection[str], *, gateway: str = "") -> str:
    """An address that the user chose. BadInput where it is not one for containers, Conflict where it is taken."""
    network = ipaddress.IPv4Network(subnet)
    try:
        chosen = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise BadInput(f"{address!r} is no IPv4 address") from error
    if chosen not in network:
        raise BadInput(f"address {address} is not in the network's subnet {subnet}", hint="give the network a subnet")
    if chosen in _reserved(network, gateway):
        raise BadInput(f"address {address} is reserved in {subnet}", hint="choose another address of the subnet")
    if str(chosen) in taken:
        raise Conflict(f"address {address} is taken", hint="choose another address of the subnet")
    return str(chosen)


def _reserved(network: ipaddress.IPv4Network, gateway: str) -> tuple[ipaddress.IPv4Address, ...]:
    own = ipaddress.IPv4Address(gateway) if gateway else network.network_address + 1
    return network.network_address, own, network.broadcast_address


def _choose(
    subnet: str, taken: Collection[str], released: Sequence[str], within: str | None, gateway: str, *, downwards: bool
) -> str:
    first, last, reserved = _bounds(subnet, within, gateway)
    busy, used = reserved.union(taken), frozenset(released)
    numbers = range(last, first - 1, -1) if downwards else range(first, last + 1)
    for number in numbers:
        address = socket.inet_ntoa(number.to_bytes(4))
        if address not in busy and address not in used:
            return address
    for address in released:
        if address not in busy and first <= int(ipaddress.IPv4Address(address)) <= last:
            return address
    hint = "give the network a larger ip_range" if within else "give the network a larger subnet"
    raise Conflict(f"no free address is left in {within or subnet}", hint=hint)


@functools.lru_cache(maxsize=64)
def _bounds(subnet: str, within: str | None, gateway: str) -> tuple[int, int, frozenset[str]]:
    """The first and the last address to choose from, and those that nobody gets; the same for a whole network."""
    network = ipaddress.IPv4Network(subnet)
    pool = ipaddress.IPv4Network(within) if within else network
    reserved = frozenset(str(address) for address in _reserved(network, gateway))
    return int(pool.network_address), int(pool.broadcast_address), reserved
