"""`ports` and `expose`: Compose's short and long forms -> one mapping (or text) a port, ranges expanded."""

from __future__ import annotations

import re
from collections.abc import Callable

from stackup.spec.forms import MOST_PORTS, Context
from stackup.spec.nodes import Node, shorten

LOOPBACK = "127.0.0.1"
MOST = 65535
MOST_IN_RANGE = 1000
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_SHAPE = "write [ADDRESS:][HOST:]CONTAINER[/tcp|/udp], as in '8080:80'"


class _Wrong(Exception):
    """What is wrong with a port, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def ports(node: Node, ctx: Context) -> Node:
    """A list of `{target, published, protocol, host_ip}`: published 0 where any free port will do, host_ip where one is
    named. The others are published on LOOPBACK, but an override may still say where."""
    return _each(node, ctx, lambda item: _long(item, ctx) if item.is_map else _short(item, ctx))


def expose(node: Node, ctx: Context) -> Node:
    """A list of `8000/tcp`."""
    return _each(node, ctx, lambda item: _exposed(item, ctx))


def _each(node: Node, ctx: Context, ports_of: Callable[[Node], list[Node]]) -> Node:
    if not node.is_list:
        return node
    found: list[Node] = []
    for item in node.list:
        if ctx.unknown(item):
            found.append(item)
            continue
        try:
            found.extend(ports_of(item))
        except _Wrong as wrong:
            ctx.report.problem(item, wrong.message, wrong.hint)
    return node.made(found)


def _exposed(item: Node, ctx: Context) -> list[Node]:
    text, protocol = _protocol(_written(item))
    return [item.made(f"{port}/{protocol}") for port in _range(text, ctx)]


def _written(item: Node) -> str:
    """Of a number, not how it is written: it may be octal."""
    if not isinstance(item.value, str) and type(item.value) is not int:
        raise _Wrong(f"expected a port, found {item.describe()}", _SHAPE)
    return str(item.value)


def _short(item: Node, ctx: Context) -> list[Node]:
    text, protocol = _protocol(_written(item))
    address = None
    if text.startswith("["):
        if "]:" not in text:
            raise _Wrong(f"{shorten(text)!r} has no ']:'", "write [ADDRESS]:HOST:CONTAINER")
        address, _, text = text[1:].partition("]:")
    elif text.count(":") >= 2:
        address, host, container = text.rsplit(":", 2)
        text = f"{host}:{container}"
    host, colon, container = text.rpartition(":")
    targets = _range(container, ctx)
    published = _range(host) if colon and host not in ("", "0") else [0] * len(targets)
    if len(published) != len(targets):
        if len(targets) == 1:
            raise _Wrong(
                f"a range of host ports for one container port in {item.text!r} is not built yet", "name one host port"
            )
        raise _Wrong(f"the ranges in {item.text!r} differ in length: {len(published)} and {len(targets)}")
    if address is not None:
        _address(address)
    return [_entry(item, t, p, protocol, address) for t, p in zip(targets, published, strict=True)]


def _entry(item: Node, target: int, published: int, protocol: str, address: str | None) -> Node:
    made = {
        "target": item.made(target),
        "published": (item.made if published else item.implying)(published),
        "protocol": (item.made if "/" in item.text else item.implying)(protocol),
    }
    if address is not None:
        made["host_ip"] = item.made(address)
    return item.made(made)


def _protocol(text: str) -> tuple[str, str]:
    ports_text, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise _Wrong(f"sctp in {text!r} is not built yet")
    if protocol not in ("tcp", "udp"):
        raise _Wrong(f"{protocol!r} in {shorten(text)!r} is no protocol", "write tcp or udp")
    return ports_text, protocol


def _range(text: str, ctx: Context | None = None) -> list[int]:
    """The ports of a range; with `ctx` they take room."""
    match = _RANGE.fullmatch(text)
    if not match:
        raise _Wrong(f"{shorten(text)!r} is no port", _SHAPE)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= MOST or not 1 <= last <= MOST:
        raise _Wrong(f"{text!r} is no port; ports go from 1 to {MOST}")
    if last < first:
        raise _Wrong(f"the range {text!r} ends before it begins")
    if last - first >= MOST_IN_RANGE:
        raise _Wrong(f"the range {text!r} has more than {MOST_IN_RANGE} ports", "each one costs a rule in the kernel")
    if ctx is not None and not ctx.room.take(last + 1 - first):
        raise _Wrong(f"all ports of the stack are more than {MOST_PORTS}", "each one costs a rule in the kernel")
    return list(range(first, last + 1))


def _address(text: str) -> None:
    if re.fullmatch(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)", text):
        return
    if ":" in text and _is_ipv6(text):
        raise _Wrong(f"an IPv6 address to publish on ({shorten(text)}) is not built yet")
    raise _Wrong(f"{shorten(text)!r} is no address", "write one as in '0.0.0.0:8080:80'")


def _is_ipv6(text: str) -> bool:
    import ipaddress  # only for what is no IPv4 address

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _long(item: Node, ctx: Context) -> list[Node]:
    """The long form keeps its nodes, so that each value keeps its own place."""
    items = dict(item.items)
    address = items.get("host_ip")
    if address is not None and isinstance(address.value, str) and not ctx.unknown(address):
        try:
            _address(address.value)
        except _Wrong as wrong:
            ctx.report.problem(address, wrong.message, wrong.hint)
    published = items.get("published")
    if published is not None and isinstance(published.value, str) and not ctx.unknown(published):
        if "-" in published.value:
            raise _Wrong("a range of host ports for one container port is not built yet", "name one host port")
        number = 0 if published.value in ("", "0") else _range(published.value)[0]
        items["published"] = published.made(number)
    return [item.made(items)]
