"""Make the kernel forget UDP flows: a flow goes on where it went first, even when rules say another place by now.

ctnetlink, `linux/netfilter/nfnetlink_conntrack.h`. The kernel filters (Linux 5.8; an older one sends all flows, and
they are filtered here). Works in the calling thread's network namespace. TCP needs none of this: a connection ends.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator

from stackup.errors import KernelError

_NETLINK_NETFILTER, _CTNETLINK = 12, 1
_GET, _DELETE = (_CTNETLINK << 8) | 1, (_CTNETLINK << 8) | 2
_REQUEST, _ACK, _DUMP, _NESTED = 0x1, 0x4, 0x300, 0x8000
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE, _TARGET = 1, 2  # CTA_IP_V4_SRC, CTA_IP_V4_DST
_NUMBER, _TARGET_PORT = 1, 3  # CTA_PROTO_NUM, CTA_PROTO_DST_PORT
_FILTER_NUMBER = 1 << 3  # CTA_FILTER_F_CTA_PROTO_NUM
_UDP = 17
_Tuple = tuple[bytes, bytes, int, int]  # source, target, protocol, target port


def forget_udp(answered_by: Collection[str], kept_here: Collection[int] = ()) -> int:
    """Forget UDP flows that one of the addresses `answered_by` answers, whatever address they were sent to, and those
    to one of the ports `kept_here` that were not sent on to anybody; how many they were.

    A walk over the kernel's whole table (8 ms where it has 262,144 buckets): ask once for all. Raises KernelError.
    """
    answering = frozenset(socket.inet_aton(address) for address in answered_by)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as kernel:
            found = []
            for attributes in _dump(kernel):
                original, reply = _tuple(attributes.get(_ORIGINAL, b"")), _tuple(attributes.get(_REPLY, b""))
                kept = original[3] in kept_here and reply[0] == original[1]
                if original[2] == _UDP and (kept or reply[0] in answering):
                    found.append(attributes[_ORIGINAL])
            for one in found:
                _delete(kernel, one)
            return len(found)
    except OSError as error:
        raise KernelError.of("forget UDP flows", error, hint="has this kernel nf_conntrack_netlink?") from error


def _dump(kernel: socket.socket) -> Iterator[dict[int, bytes]]:
    flags = _attribute(1, struct.pack("=I", _FILTER_NUMBER)) + _attribute(2, struct.pack("=I", 0))
    wanted = _attribute(_TUPLE_PROTO | _NESTED, _attribute(_NUMBER, bytes([_UDP])))
    kernel.send(_message(_GET, _DUMP, _attribute(_ORIGINAL | _NESTED, wanted) + _attribute(_FILTER | _NESTED, flags)))
    while True:
        data = kernel.recv(1 << 16)
        offset = 0
        while offset + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, offset)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                _check(data, offset)
                return
            yield _attributes(data[offset + 20 : offset + length])
            offset += max(16, (length + 3) & ~3)


def _delete(kernel: socket.socket, original: bytes) -> None:
    kernel.send(_message(_DELETE, _ACK, _attribute(_ORIGINAL | _NESTED, original)))
    try:
        _check(kernel.recv(1 << 16), 0)
    except FileNotFoundError:
        pass  # it ended by itself meanwhile


def _check(data: bytes, offset: int) -> None:
    (number,) = struct.unpack_from("=i", data, offset + 16)
    if number == -errno.ENOENT:
        raise FileNotFoundError
    if number:
        raise OSError(-number, os.strerror(-number))


def _message(kind: int, flags: int, payload: bytes) -> bytes:
    head = struct.pack("=BBH", socket.AF_INET, 0, 0)
    return struct.pack("=IHHII", 20 + len(payload), kind, _REQUEST | flags, 1, 0) + head + payload


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _tuple(data: bytes) -> _Tuple:
    parts = _attributes(data)
    ip, protocol = _attributes(parts.get(_TUPLE_IP, b"")), _attributes(parts.get(_TUPLE_PROTO, b""))
    port = int.from_bytes(protocol.get(_TARGET_PORT, b""), "big")
    return ip.get(_SOURCE, b""), ip.get(_TARGET, b""), (protocol.get(_NUMBER) or b"\0")[0], port
