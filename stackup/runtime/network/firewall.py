"""The rules of a root: a `State` as nft text, whole or as the difference of two states, and its application.

Two tables named `stackup_<rootid>`, family `ip` for routed packets, family `bridge` for frames; deleting them is the
whole clean-up. Rules match our own bridges by name (`su3fa9c1n*`), so they stand before a bridge does and no packet
that is not ours is looked at for long. What changes lies in sets and maps, and in one chain per service address and per
published port: a change of replicas rewrites these chains in one transaction. Measured with 50 services: 0.3 to 0.4 ms
a change, half of it the comparison; 3 ms for everything at once; 3 ms more through the program `nft`.

    endpoints   addresses of containers, each twice: for "is there anybody", and for "it came back to its sender"
    pairs       bridge names, each twice: packets within a network
    services    bridge . service address -> chain; only from the service's own network
    published   protocol . address . port of the host -> chain;  published_any: on every address of the host

What holds (each has a test): frames go to the gateway only, from the container's own address only, IPv4 only. Packets
from elsewhere to a container's subnet are dropped, unless they are answers or came through a published port. 127/8 is
closed from our bridges and, for ports published there, from other machines. Networks do not reach one another. Refusals
to containers are answered (tcp reset, icmp), to strangers not. A container reaches the host's own services through the
gateway, as with Docker, unless its network is internal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stackup.errors import KernelError
from stackup.linux import nftables
from stackup.runtime.network.values import GATEWAY_MAC, Endpoint, NetworkValue, State, host_link

FAMILIES = ("ip", "bridge")


def table(root_id: str) -> str:
    return f"stackup_{root_id}"


def load(root_id: str, state: State) -> None:
    """Write all rules anew in one transaction; established connections live on. Raises KernelError."""
    nftables.run(whole(root_id, state))


def change(root_id: str, old: State, new: State) -> None:
    """Write what differs in one transaction. Raises KernelError; the rules are then those of `old`."""
    nftables.run(difference(root_id, old, new))


def unload(root_id: str) -> None:
    """Take the tables away where they exist."""
    name = table(root_id)
    nftables.run("\n".join(f"delete table {family} {name}" for family in sorted(nftables.tables(name))))


def stands(root_id: str) -> bool:
    """Are both tables there, with their rules? Raises KernelError for who may not ask, Unsupported."""
    for family, chain in (("ip", "prerouting"), ("bridge", "container")):
        try:
            if not any("rule" in one for one in nftables.read(f"list chain {family} {table(root_id)} {chain}")):
                return False
        except KernelError as error:
            if "No such file" in error.message:
                return False
            raise
    return True


def missing_tables(root_id: str, state: State) -> tuple[str, ...]:
    """Which of our tables are not there though `state` needs them; for `observe`."""
    if not state.networks:
        return ()
    name = table(root_id)
    there = nftables.tables(name)
    return tuple(f"{family} {name}" for family in FAMILIES if family not in there)


def ready(state: State) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """(service, network) -> the addresses of its ready replicas; services without one are left out."""
    return _ready(state.endpoints)


def whole(root_id: str, state: State) -> str:
    """Both tables with everything, replacing what is there of them."""
    name = table(root_id)
    fresh = "".join(f"add table {f} {name}\ndelete table {f} {name}\n" for f in FAMILIES)
    return fresh + _skeleton(root_id) + difference(root_id, State(), state)


def difference(root_id: str, old: State, new: State) -> str:
    """The commands that lead from one state to another: elements out, chains, elements in. "" where they are alike."""
    before, after = _content(root_id, old), _content(root_id, new)
    name = table(root_id)
    lines: list[str] = []
    for place, elements in before.elements.items():
        gone = [_key(e) for e in elements if e not in after.elements.get(place, ())]
        lines += _element_command("delete", place, name, gone)
    for chain, rule in after.chains.items():
        if before.chains.get(chain) != rule:
            verb = "flush" if chain in before.chains else "add"
            lines.append(f"{verb} chain ip {name} {chain}")
            lines += [f"add rule ip {name} {chain} {rule}"] if rule else []
    for place, elements in after.elements.items():
        fresh = [e for e in elements if e not in before.elements.get(place, ())]
        lines += _element_command("add", place, name, fresh)
    for chain in before.chains:
        if chain not in after.chains:
            lines += [f"flush chain ip {name} {chain}", f"delete chain ip {name} {chain}"]
    if old.way_out != new.way_out:
        lines.append(f"flush chain ip {name} outside")
        lines.append(f"add rule ip {name} outside {'accept' if new.way_out else 'goto refuse'}")
    return "".join(line + "\n" for line in lines)


def _element_command(verb: str, place: str, name: str, elements: list[str]) -> list[str]:
    if not elements:
        return []
    family, _, container = place.partition(" ")
    return [f"{verb} element {family} {name} {container} {{ {', '.join(elements)} }}"]


def _key(element: str) -> str:
    """The key of a map's element; deleting needs no more."""
    return element.partition(" : ")[0]


@dataclass(slots=True)
class _Content:
    """`elements`: "family set" -> elements in a fixed order; `chains`: name -> its one rule, or ""."""

    elements: dict[str, dict[str, None]] = field(default_factory=dict)
    chains: dict[str, str] = field(default_factory=dict)

    def put(self, place: str, elements: Iterable[str]) -> None:
        self.elements.setdefault(place, {}).update(dict.fromkeys(elements))


_known: list[tuple[str, State, _Content]] = []
"""The last two contents: what was new in one change is old in the next."""


def _content(root_id: str, state: State) -> _Content:
    for known_id, known, content in _known:
        if known is state and known_id == root_id:
            return content
    content = _make_content(root_id, state)
    _known[:] = [*_known[-1:], (root_id, state, content)]
    return content


def _make_content(root_id: str, state: State) -> _Content:
    content = _Content()
    networks = {n.name: n for n in state.networks}
    links = {n.name: _quoted(n.link(root_id)) for n in state.networks}
    ready = _ready(state.endpoints)
    content.put("ip pairs", (f"{link} . {link}" for link in links.values()))
    content.put("ip internal", (links[n.name] for n in state.networks if n.internal))
    content.put("ip subnets", (n.subnet for n in state.networks))
    content.put("ip dns", (_dns(n) for n in state.networks if n.dns_port))
    content.put("ip endpoints", (f"{e.address} . {e.address}" for e in state.endpoints))
    content.put("bridge ports", (f"{_quoted(host_link(root_id, e.address))} . {e.address}" for e in state.endpoints))
    for service in state.services:
        if service.address is None or service.network not in networks:
            continue
        chain = f"service-{service.address}"
        content.chains[chain] = _spread(ready.get((service.service, service.network), ()))
        content.put("ip services", [f"{links[service.network]} . {service.address} : goto {chain}"])
    for one in state.publishes:
        chain = f"publish-{one.protocol}-{one.host_ip}-{one.port}"
        content.chains[chain] = _spread(ready.get((one.service, one.network), ()), one.protocol, one.target)
        if one.host_ip == "0.0.0.0":
            content.put("ip published_any", [f"{one.protocol} . {one.port} : goto {chain}"])
        else:
            content.put("ip published", [f"{one.protocol} . {one.host_ip} . {one.port} : goto {chain}"])
    return content


def _ready(endpoints: Iterable[Endpoint]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for one in endpoints:
        if one.service is not None and one.ready:
            key = (one.service, one.network)
            found[key] = (*found.get(key, ()), one.address)
    return found


def _spread(addresses: tuple[str, ...], protocol: str = "", port: int = 0) -> str:
    """A connection goes to one of the addresses by lot; "" where there is none, and the packet is refused later on."""
    match = f"meta l4proto {protocol} " if port else ""
    tail = f":{port}" if port else ""
    if not addresses:
        return ""
    if len(addresses) == 1:
        return f"{match}dnat to {addresses[0]}{tail}"
    lots = ", ".join(f"{number} : {address}" for number, address in enumerate(addresses))
    return f"{match}dnat to numgen random mod {len(addresses)} map {{ {lots} }}{tail}"


def _dns(network: NetworkValue) -> str:
    return f"{network.gateway} : {network.gateway} . {network.dns_port}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _skeleton(root_id: str) -> str:
    """What does not change. Priorities: raw (-300) comes before connections are tracked, dstnat is -100, filter 0; in
    the bridge -200 comes before bridge netfilter (0) turns a frame round."""
    bridges, ports, name = f'"su{root_id}n*"', f'"su{root_id}*"', table(root_id)
    return f"""
table bridge {name} {{
  set ports {{ type ifname . ipv4_addr; }}
  chain frames {{
    type filter hook prerouting priority -200; policy accept;
    iifname {ports} jump container
  }}
  chain container {{
    ether daddr {GATEWAY_MAC} ether type ip iifname . ip saddr @ports accept
    drop
  }}
}}
table ip {name} {{
  set endpoints {{ type ipv4_addr . ipv4_addr; }}
  set pairs {{ type ifname . ifname; }}
  set internal {{ type ifname; }}
  set subnets {{ type ipv4_addr; flags interval; }}
  map dns {{ type ipv4_addr : ipv4_addr . inet_service; }}
  map services {{ type ifname . ipv4_addr : verdict; }}
  map published {{ type inet_proto . ipv4_addr . inet_service : verdict; }}
  map published_any {{ type inet_proto . inet_service : verdict; }}

  chain arrived {{
    type filter hook prerouting priority raw; policy accept;
    iifname {bridges} goto from_container
    iifname "lo" accept
    ip daddr @subnets drop
    ip saddr @subnets drop
  }}
  chain from_container {{
    ip saddr 127.0.0.0/8 drop
    ip daddr 127.0.0.0/8 drop
    fib saddr . iif oif missing drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname {bridges} meta l4proto {{ tcp, udp }} th dport 53 dnat to ip daddr map @dns
    iifname . ip daddr vmap @services
    ip daddr 127.0.0.0/8 accept
    iifname @internal accept
    fib daddr type local jump to_published
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    oifname . ip daddr vmap @services
    fib daddr type local jump to_published
  }}
  chain to_published {{
    meta l4proto . ip daddr . th dport vmap @published
    meta l4proto . th dport vmap @published_any
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname {bridges} ip saddr 127.0.0.0/8 masquerade
    oifname {bridges} ip saddr . ip daddr @endpoints masquerade
    oifname != {bridges} oifname != "lo" ip saddr @subnets masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname {bridges} goto to_container
    iifname {bridges} goto to_outside
  }}
  chain to_container {{
    ip daddr . ip daddr != @endpoints goto refuse
    ct state established,related accept
    iifname @internal iifname . oifname != @pairs goto refuse
    iifname . oifname @pairs accept
    ct status dnat accept
    iifname {bridges} goto refuse
    drop
  }}
  chain to_outside {{
    ct state established,related accept
    iifname @internal goto refuse
    goto outside
  }}
  chain outside {{
    goto refuse
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp admin-prohibited
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname @internal goto internal_to_host
  }}
  chain internal_to_host {{
    ct state established,related accept
    ct status dnat accept
    icmp type echo-request accept
    goto refuse
  }}
  chain host_to_container {{
    type filter hook output priority filter; policy accept;
    oifname {bridges} ip daddr @subnets ip daddr . ip daddr != @endpoints goto refuse
  }}
}}
"""
