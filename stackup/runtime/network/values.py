"""What the network consists of, as frozen values. IPv4 only; IPv6 is left out and closed at the bridge.

A `State` is everything that one root's firewall and name service are made from. The engine keeps one, replaces parts of
it, and hands it to `Fabric.apply`; what changed is found by comparison. All addresses are dotted IPv4 text.

Kernel names carry the root's id (`su3fa9c1`) and stay within 15 characters: bridges are `su3fa9c1n<number>`, the
host's end of a container's link is `su3fa9c1` and its address in base 36 (its first digit is 0 or 1, so it never looks
like a bridge).
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import Literal

from stackup.classes import dataclass

Protocol = Literal["tcp", "udp"]
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")

GATEWAY_MAC = "02:73:74:61:63:6b"
"""Every bridge of ours has this address: a container's frames are let in only when they go to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkValue:
    """A network. `name` as kept in the root (`guestbook_default`), `number` unique in the root (from the ledger, below
    36**6), `subnet` "10.89.3.0/24", `internal`: no way out. `dns_port`: the high port of its name server on `gateway`,
    0 for none. `chosen`: the bridge's own address, "" for the first of the subnet."""

    name: str
    number: int
    subnet: str
    internal: bool = False
    dns_port: int = 0
    chosen: str = ""

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return self.chosen or _first_address(self.subnet)

    def link(self, root_id: str) -> str:
        """The bridge's name: `su3fa9c1n0`."""
        return f"su{root_id}n{_base36(self.number)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A container on a network. `service`: the service it is a replica of, or None (a one-off run).

    `names`: what it answers to besides its service (`guestbook-web-1`, its hostname, its short id), first the name that
    a reverse look-up gives. `ready`: running and not unhealthy, so it takes part in its service. `links`: names that it
    alone knows services by, as (alias, service).
    """

    container: str
    network: str
    address: str
    service: str | None = None
    names: tuple[str, ...] = ()
    ready: bool = True
    links: tuple[tuple[str, str], ...] = ()

    def link(self, root_id: str) -> str:
        """The host's end of its link."""
        return host_link(root_id, self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAddress:
    """A service on a network. `address` is its service address; `mode` "dnsrr" makes its name answer the replicas'
    addresses instead (then `address` may be None). `aliases` besides the service's name, valid on this network."""

    service: str
    network: str
    address: str | None
    mode: Literal["vip", "dnsrr"] = "vip"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A published port of a service: `host_ip`:`port` on the host goes to `target` of the ready replicas' addresses on
    `network`. `host_ip` "0.0.0.0" is every address of the host. `port` is never 0 here (see `ports.reserve`)."""

    service: str
    network: str
    target: int
    port: int
    protocol: Protocol = "tcp"
    host_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All of a root's network. A `service` in it is `<stack>/<service>`, so that two stacks may have the same names;
    what follows the last slash is the name it answers to. `way_out`: the host forwards (see `sysctls.way_out`)."""

    networks: tuple[NetworkValue, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    services: tuple[ServiceAddress, ...] = ()
    publishes: tuple[Publish, ...] = ()
    way_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One interface of a container: `eth<position>`, at `address` of `network`. The lowest position whose network is
    not internal gets the default route (`default_route`)."""

    network: NetworkValue
    address: str
    position: int = 0
    default_route: bool = True


@functools.lru_cache(maxsize=256)
def _first_address(subnet: str) -> str:
    return str(ipaddress.IPv4Network(subnet).network_address + 1)


@functools.lru_cache(maxsize=4096)
def host_link(root_id: str, address: str) -> str:
    """The name of the host's end of the link of `address`: 15 characters at most, for every IPv4 address."""
    return f"su{root_id}{_base36(int.from_bytes(socket.inet_aton(address))):0>7}"


def mac_of(address: str) -> str:
    """The hardware address of a container: made from its IP address, so that a neighbour entry is never stale."""
    return "02:73:" + ":".join(f"{byte:02x}" for byte in socket.inet_aton(address))


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while True:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
        if not number:
            return text
