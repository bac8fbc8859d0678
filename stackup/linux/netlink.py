"""A raw rtnetlink socket for what `up` and `down` do: several requests in one send, every answer read.

Only requests that set things; rtnetlink(7), `linux/rtnetlink.h`, `linux/if_link.h`, `linux/if_bridge.h`,
`linux/neighbour.h`. No policy: a `Request` is bytes and what it is about. Reading the network is pyroute2's part, see
`runtime/network/survey`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence

from stackup.classes import dataclass
from stackup.errors import KernelError

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH = 16, 17, 20, 24, 28
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_NLMSG_ERROR, _ACK_TLVS, _CAPPED = 2, 0x200, 0x100
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 1, 3, 10, 18, 26, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_BR_MCAST_SNOOPING = 23
_VETH_INFO_PEER = 1
_BRPORT_MODE, _BRPORT_LEARNING, _BRPORT_FLOOD, _BRPORT_MCAST_FLOOD, _BRPORT_BCAST_FLOOD = 4, 8, 9, 27, 30
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, 1
_AF_BRIDGE = 7
_NUD_NOARP, _NUD_PERMANENT, _NTF_MASTER = 0x40, 0x80, 0x04
_RTNH_ONLINK = 4


@dataclass(frozen=True, slots=True)
class Request:
    """One message. `about` says in words what it does, for the error; an errno in `allowed` is no failure."""

    about: str
    kind: int
    flags: int
    payload: bytes
    allowed: frozenset[int] = frozenset()


class Socket:
    """A NETLINK_ROUTE socket; it belongs to the network namespace of the thread that opened it, for good."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._sequence = 0

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, requests: Sequence[Request]) -> None:
        """All requests in one send (of 64 at most: each is acknowledged, and the answers must fit the socket's buffer).
        The kernel carries out each; the first that failed raises KernelError."""
        for start in range(0, len(requests), 64):
            self._send(requests[start : start + 64])

    def _send(self, requests: Sequence[Request]) -> None:
        waiting: dict[int, Request] = {}
        parts = []
        for request in requests:
            self._sequence += 1
            waiting[self._sequence] = request
            length = 16 + len(request.payload)
            flags = _REQUEST | _ACK | request.flags
            parts.append(struct.pack("=IHHII", length, request.kind, flags, self._sequence, 0) + request.payload)
        self._socket.send(b"".join(parts))
        failed: dict[int, KernelError] = {}
        while waiting:
            for sequence, number, text in _answers(self._socket.recv(65536)):
                done = waiting.pop(sequence, None)
                if done and number and number not in done.allowed:
                    reason = os.strerror(number) + (f" ({text})" if text else "")
                    failed[sequence] = KernelError(f"{done.about}: {reason}", number)
        if failed:
            raise failed[min(failed)]


def _answers(data: bytes) -> list[tuple[int, int, str]]:
    """(sequence, errno, the kernel's own words) of each acknowledgement."""
    found = []
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
        if length < 16:
            break
        if kind == _NLMSG_ERROR:
            (number,) = struct.unpack_from("=i", data, offset + 16)
            text = _words(data[offset + 36 : offset + length]) if flags & _ACK_TLVS and flags & _CAPPED else ""
            found.append((sequence, -number, text))
        offset += (length + 3) & ~3
    return found


def _words(data: bytes) -> str:
    """NLMSGERR_ATTR_MSG (1) of an extended acknowledgement."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        if kind == 1:
            return data[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def veth(name: str, *, master: int, peer: str, peer_mac: str, netns: int) -> Request:
    """Make a pair of links: `name` here as a port of bridge `master`, `peer` born in the namespace of descriptor
    `netns`, under an index of the kernel's choice. Both are down."""
    other = _link() + _text(_IFLA_IFNAME, peer) + _attribute(_IFLA_ADDRESS, _mac(peer_mac))
    data = _attribute(_VETH_INFO_PEER, other + _number(_IFLA_NET_NS_FD, netns))
    info = _text(_INFO_KIND, "veth") + _attribute(_INFO_DATA, data)
    payload = _link() + _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, master) + _attribute(_IFLA_LINKINFO, info)
    return Request(f"create link {name}", RTM_NEWLINK, _CREATE | _EXCL, payload)


def bridge(name: str, mac: str) -> Request:
    """Make a bridge with a hardware address of its own, that looks at no multicast; one that is there is left as it is.
    It is down."""
    data = _attribute(_INFO_DATA, _attribute(_BR_MCAST_SNOOPING, b"\0"))
    payload = _link() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ADDRESS, _mac(mac))
    payload += _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge") + data)
    return Request(f"create bridge {name}", RTM_NEWLINK, _CREATE | _EXCL, payload, frozenset({errno.EEXIST}))


def no_ipv6(name: str, index: int) -> Request:
    """No link-local address when the link comes up; a kernel without IPv6 needs no telling."""
    inner = _attribute(_INET6_ADDR_GEN_MODE, bytes([_ADDR_GEN_NONE]))
    payload = _link(index) + _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, inner))
    return Request(f"switch off IPv6 on {name}", RTM_NEWLINK, 0, payload, frozenset({errno.EAFNOSUPPORT}))


def port_up(name: str, index: int) -> Request:
    """Bring a bridge port up that learns nothing, floods nothing and may send a frame back where it came from."""
    off = (_BRPORT_LEARNING, _BRPORT_FLOOD, _BRPORT_MCAST_FLOOD, _BRPORT_BCAST_FLOOD)
    data = b"".join(_attribute(kind, b"\0") for kind in off) + _attribute(_BRPORT_MODE, b"\1")
    info = _text(_INFO_SLAVE_KIND, "bridge") + _attribute(_INFO_SLAVE_DATA, data)
    return Request(
        f"set up bridge port {name}", RTM_NEWLINK, 0, _link(index, _IFF_UP, _IFF_UP) + _attribute(_IFLA_LINKINFO, info)
    )


def up(name: str, index: int) -> Request:
    return Request(f"bring up {name}", RTM_NEWLINK, 0, _link(index, _IFF_UP, _IFF_UP))


def delete(name: str) -> Request:
    """Delete a link by name; that it is gone already is no failure."""
    payload = _link() + _text(_IFLA_IFNAME, name)
    return Request(f"delete link {name}", RTM_DELLINK, 0, payload, frozenset({errno.ENODEV}))


def address(name: str, index: int, ip: str, length: int = 32) -> Request:
    """Give a link an address; that it has it already is no failure. `length`: bits of the network it is in."""
    raw = socket.inet_aton(ip)
    head = struct.pack("=BBBBI", socket.AF_INET, length, 0, 0, index)
    payload = head + _attribute(1, raw) + _attribute(2, raw)  # IFA_ADDRESS, IFA_LOCAL
    return Request(f"give {name} the address {ip}", RTM_NEWADDR, _CREATE | _EXCL, payload, frozenset({errno.EEXIST}))


def route(name: str, index: int, subnet: str, gateway: str) -> Request:
    """A route through a gateway that is taken to be on the link whatever our address says; "0.0.0.0/0": default."""
    destination, _, length = subnet.partition("/")
    # table main (254), protocol static (4), scope universe (0), type unicast (1)
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, int(length), 0, 0, 254, 4, 0, 1, _RTNH_ONLINK)
    payload = head + _number(4, index) + _attribute(5, socket.inet_aton(gateway))  # RTA_OIF, RTA_GATEWAY
    if int(length):
        payload += _attribute(1, socket.inet_aton(destination))  # RTA_DST
    return Request(f"route {subnet} through {gateway} on {name}", RTM_NEWROUTE, _CREATE | _REPLACE, payload)


def neighbour(name: str, index: int, ip: str, mac: str) -> Request:
    """A permanent neighbour: nobody asks for it with ARP."""
    head = struct.pack("=BxxxiHBB", socket.AF_INET, index, _NUD_PERMANENT, 0, 0)
    payload = head + _attribute(1, socket.inet_aton(ip)) + _attribute(2, _mac(mac))  # NDA_DST, NDA_LLADDR
    return Request(f"name {ip} a neighbour on {name}", RTM_NEWNEIGH, _CREATE | _REPLACE, payload)


def bridge_entry(name: str, index: int, mac: str) -> Request:
    """Frames to `mac` leave the bridge through this port; the entry goes with the port."""
    head = struct.pack("=BxxxiHBB", _AF_BRIDGE, index, _NUD_NOARP, _NTF_MASTER, 0)
    payload = head + _attribute(2, _mac(mac))
    return Request(f"send frames for {mac} to {name}", RTM_NEWNEIGH, _CREATE | _REPLACE, payload)
