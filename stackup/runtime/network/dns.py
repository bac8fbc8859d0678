"""Answers to DNS questions from a view of names; bytes in, bytes out, no sockets (see `nameserver`).

RFC 1035, EDNS(0) of RFC 6891. Whatever a packet holds, nothing is raised: what cannot be read gets FORMERR, or nothing
where it has not even a header. Only IPv4 addresses are known; a known name has no AAAA, which is said with an empty
answer, so that a client does not go on asking elsewhere.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from typing import Any

from stackup.runtime.network.names import View

SILENCE = b""
"""The answer to what deserves none."""

_UDP_SIZE = 512
_EDNS_SIZE = 1232  # fits every path without fragments
_TTL = 1  # seconds: replicas come and go
_NOERROR, _FORMERR, _SERVFAIL, _NXDOMAIN, _NOTIMP, _REFUSED, _BADVERS = 0, 1, 2, 3, 4, 5, 16
_A, _PTR, _OPT, _ANY, _IN = 1, 12, 41, 255, 1


def answer(question: bytes, view: View, *, tcp: bool = False) -> bytes | None:
    """The response to a query; None: it is to be asked of others; SILENCE: it deserves no answer."""
    if len(question) < 12 or question[2] & 0x80:
        return SILENCE
    try:
        return _answer(question, view, tcp)
    except Exception:  # whatever dnslib makes of a hostile packet, the server lives on
        return failure(question, _FORMERR)


def failure(question: bytes, rcode: int = _SERVFAIL) -> bytes:
    """A response with nothing but an rcode and the question, if that can be read; SERVFAIL unless told.

    glibc takes a response without its question for somebody else's and waits on.
    """
    flags = 0x8080 | (struct.unpack_from("!H", question, 2)[0] & 0x7900) | (rcode & 0xF)
    asked = question_of(question)
    return question[:2] + struct.pack("!HHHHH", flags, 1 if asked else 0, 0, 0, 0) + asked


def question_of(packet: bytes) -> bytes:
    """The bytes of the first question (name, type, class); empty where there is none that is written plainly."""
    end = 12
    while end < len(packet) and 0 < packet[end] < 64:
        end += packet[end] + 1
    whole = end + 5 <= len(packet) and packet[end] == 0 and packet[4:6] != b"\0\0"
    return packet[12 : end + 5] if whole else b""


def truncated(question: bytes) -> bytes:
    """A response that says: ask again over TCP."""
    short = bytearray(failure(question, _NOERROR))
    short[2] |= 0x02
    return bytes(short)


def limit(question: bytes) -> int:
    """How many bytes a UDP response to this query may have."""
    try:
        return _limit(_parse(question), tcp=False)
    except Exception:
        return _UDP_SIZE


def _parse(packet: bytes) -> Any:
    from dnslib import DNSRecord

    return DNSRecord.parse(packet)


def _answer(packet: bytes, view: View, tcp: bool) -> bytes | None:
    query = _parse(packet)
    if query.header.opcode != 0:
        return _respond(query, _NOTIMP, [], tcp)
    if len(query.questions) != 1:
        return failure(packet, _FORMERR)
    edns = _edns(query)
    if edns is not None and edns.edns_ver != 0:
        return _respond(query, _BADVERS, [], tcp)
    asked = query.q
    if asked.qclass not in (_IN, _ANY):
        return _respond(query, _REFUSED, [], tcp)
    name = str(asked.qname).rstrip(".").lower()
    if name in view.names:
        addresses = list(view.names[name]) if asked.qtype in (_A, _ANY) else []
        random.shuffle(addresses)  # a client that takes the first one is spread, too
        return _respond(query, _NOERROR, [_address(asked.qname, a) for a in addresses], tcp)
    if name.endswith(".in-addr.arpa") and (address := _reverse(name)) is not None:
        if address in view.pointers:
            records = [_pointer(asked.qname, view.pointers[address])] if asked.qtype in (_PTR, _ANY) else []
            return _respond(query, _NOERROR, records, tcp)
        if any(ipaddress.IPv4Address(address) in ipaddress.IPv4Network(subnet) for subnet in view.subnets):
            return _respond(query, _NXDOMAIN, [], tcp)
    elif name and "." not in name:
        return _respond(query, _NXDOMAIN, [], tcp)
    return None if view.forward else _respond(query, _NXDOMAIN, [], tcp)


def _reverse(name: str) -> str | None:
    """ "2.0.89.10.in-addr.arpa" -> "10.89.0.2"."""
    labels = name.split(".")[:-2]
    try:
        return str(ipaddress.IPv4Address(".".join(reversed(labels))))
    except ValueError:
        return None


def _address(name: Any, address: str) -> Any:
    from dnslib import RR, A

    return RR(name, _A, _IN, _TTL, A(address))


def _pointer(name: Any, target: str) -> Any:
    from dnslib import PTR, RR

    return RR(name, _PTR, _IN, _TTL, PTR(target))


def _edns(query: Any) -> Any:
    return next((record for record in query.ar if record.rtype == _OPT), None)


def _limit(query: Any, *, tcp: bool) -> int:
    if tcp:
        return 65535
    edns = _edns(query)
    return _UDP_SIZE if edns is None else max(_UDP_SIZE, min(int(edns.edns_len), _EDNS_SIZE))


def _respond(query: Any, rcode: int, records: list[Any], tcp: bool) -> bytes:
    """A response that fits: records that do not are left out and TC is set."""
    from dnslib import EDNS0, DNSHeader, DNSRecord

    header = DNSHeader(
        id=query.header.id, qr=1, aa=1, rd=query.header.rd, ra=1, opcode=query.header.opcode, rcode=rcode & 0xF
    )
    edns = [EDNS0(udp_len=_EDNS_SIZE, ext_rcode=rcode >> 4)] if _edns(query) is not None else []
    room = _limit(query, tcp=tcp)
    packed = bytes(DNSRecord(header, questions=query.questions, rr=records, ar=edns).pack())
    while len(packed) > room and records:
        header.tc = 1
        # A record takes 16 bytes where its name is compressed, which it is after the first.
        records = records[: max(0, min(len(records) - 1, len(records) - (len(packed) - room) // 16))]
        packed = bytes(DNSRecord(header, questions=query.questions, rr=records, ar=edns).pack())
    return packed
