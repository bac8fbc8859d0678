"""The probes of the network; see probes.py. What is made lies in a network namespace of the probe's own."""

from __future__ import annotations

import os
import socket
import struct

from stackup.errors import KernelError
from stackup.linux import forwarding as others
from stackup.linux import nftables, syscalls
from stackup.linux.probes import Missing, Scene, setting


def _make_link(kind: str) -> None:
    """RTM_NEWLINK by hand (rtnetlink(7)): the ground floor has no netlink library."""
    syscalls.unshare(syscalls.CLONE_NEWNET)

    def attribute(number: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), number) + value + bytes(-len(value) % 4)

    name, info_kind, link_info = 3, 1, 18  # IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    body += attribute(name, b"probe0\0") + attribute(link_info, attribute(info_kind, kind.encode()))
    header = struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0)  # NLM_F_REQUEST | ACK | CREATE | EXCL
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(header + body)
        code = struct.unpack_from("=i", netlink.recv(8192), 16)[0]
    if code:
        raise OSError(-code, f"make a {kind}: {os.strerror(-code)}")


def veth(scene: Scene) -> str:
    _make_link("veth")
    return "made"


def bridge(scene: Scene) -> str:
    _make_link("bridge")
    return "made"


_PIECES = """
tables: add table ip probe
nat: add chain ip probe nat { type nat hook prerouting priority -100; }
maps: add map ip probe chains { type inet_proto . inet_service : verdict; }
maps: add rule ip probe nat meta l4proto . th dport vmap @chains
intervals: add set ip probe subnets { type ipv4_addr; flags interval; }
intervals: add rule ip probe nat ip daddr @subnets accept
numgen: add rule ip probe nat tcp dport 1 dnat to numgen random mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }
masquerade: add chain ip probe out { type nat hook postrouting priority 100; }
masquerade: add rule ip probe out masquerade
fib: add chain ip probe raw { type filter hook prerouting priority -300; }
fib: add rule ip probe raw fib saddr . iif oif missing drop
conntrack: add chain ip probe forward { type filter hook forward priority 0; }
conntrack: add rule ip probe forward ct state established,related accept
conntrack: add rule ip probe forward ct status dnat accept
reject: add chain ip probe refuse
reject: add rule ip probe refuse meta l4proto tcp reject with tcp reset
reject: add rule ip probe refuse reject with icmp admin-prohibited
bridge: add table bridge probe
bridge: add set bridge probe ports { type ifname . ipv4_addr; }
bridge: add chain bridge probe frames { type filter hook prerouting priority -200; }
bridge: add rule bridge probe frames ether type ip iifname . ip saddr @ports accept
"""
"""What our rules are made of (`runtime/network/firewall`), each on top of those before it."""


def libnftables(scene: Scene) -> str:
    if nftables.which() != "library":
        raise Missing("libnftables.so.1 is not installed")
    return "libnftables.so.1"


def nf_tables(scene: Scene) -> str:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    how = "" if nftables.which() == "library" else ", through the program nft"
    pieces = [line.split(": ", 1) for line in _PIECES.strip().splitlines()]
    lacking: dict[str, str] = {}
    for name, text in pieces:
        try:
            nftables.run(text)
        except KernelError as error:
            lacking.setdefault(name, error.message)
    if lacking:
        raise Missing(f"{', '.join(lacking)}: {next(iter(lacking.values()))}")
    return ", ".join(dict.fromkeys(name for name, _ in pieces)) + how


def forwarding(scene: Scene) -> str:
    link = _default_link() or "all"
    value = setting(f"net/ipv4/conf/{link}/forwarding")
    if value != "1":
        raise Missing(f"net.ipv4.conf.{link}.forwarding is {value or 'not there'}")
    return f"net.ipv4.conf.{link}.forwarding is 1"


def _default_link() -> str | None:
    with open("/proc/net/route", encoding="ascii") as file:
        return next((f[0] for f in map(str.split, file) if f[1:2] == ["00000000"] and f[7] == "00000000"), None)


def other_firewalls(scene: Scene) -> str:
    if found := others.closing():
        raise Missing(f"{'; '.join(found)}: what is forwarded is dropped")
    return "none drops what is forwarded"


def bridge_netfilter(scene: Scene) -> str:
    value = setting("net/bridge/bridge-nf-call-iptables")
    return "not loaded" if value is None else f"net.bridge.bridge-nf-call-iptables is {value}"
