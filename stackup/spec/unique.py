"""What makes two entries of a list the same one, so that a later one takes the place of an earlier one.

Between files (and with `extends` and `include`) `joined` does it while they are merged; `unique` looks through the
lists that one file wrote. Two mounts on one target in one list are no override, but a mistake: `consistency` tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from stackup.spec.mounts import clean
from stackup.spec.nodes import Node
from stackup.spec.report import Report

Key = Callable[[Node], Hashable]
Alike = Callable[[Node, Node], bool]

_ANY = ("0.0.0.0", "127.0.0.1")  # what a port without an address may be meant to replace


def text(item: Node) -> Hashable:
    return item.value if isinstance(item.value, str) else _whole(item)


def before_equals(item: Node) -> Hashable:
    return _first(item, "=") if isinstance(item.value, str) else _whole(item)


def _first(item: Node, mark: str) -> str:
    """What stands before the mark; one in a variable that is left as it is written is none."""
    text: str = item.value
    return text if "${" in text else text.partition(mark)[0]


def capability(item: Node) -> Hashable:
    return item.value.upper().removeprefix("CAP_") if isinstance(item.value, str) else _whole(item)


def target(item: Node) -> Hashable:
    """A mount, by where it stands in the container."""
    return _path(item.items.get("target")) if item.is_map else _whole(item)


def temporary(item: Node) -> Hashable:
    return clean(_first(item, ":")) if isinstance(item.value, str) else _whole(item)


def device(item: Node) -> Hashable:
    if isinstance(item.value, str):
        parts = item.value.split(":") if "${" not in item.value else [item.value]
        return parts[1] if len(parts) > 1 else parts[0]
    return _path(item.items.get("target") or item.items.get("source")) if item.is_map else _whole(item)


def path(item: Node) -> Hashable:
    found = item.items.get("path", item)
    return found.value if isinstance(found.value, str) else _whole(item)


def granted(folder: str) -> Key:
    """A secret or config, by where it stands in the container: below `folder` unless the target is absolute."""

    def key(item: Node) -> Hashable:
        name = item.get("target") or item.get("source") or item
        if not isinstance(name.value, str):
            return _whole(item)
        return clean(name.value if name.value.startswith("/") else f"{folder}/{name.value}")

    return key


def _path(node: Node | None) -> Hashable:
    return clean(node.value) if node is not None and isinstance(node.value, str) else _whole(node)


def _whole(node: Node | None) -> Hashable:
    """An entry that is no such thing is only like itself; `validate` tells what is wrong with it."""
    return ("other", repr(node.plain()) if node is not None else "")


SERVICE: Mapping[str, Key] = {
    "cap_add": capability, "cap_drop": capability, "configs": granted(""), "devices": device, "dns": before_equals,
    "dns_opt": before_equals, "dns_search": before_equals, "env_file": path, "expose": text, "label_file": path,
    "links": before_equals, "profiles": before_equals, "secrets": granted("/run/secrets"), "tmpfs": temporary,
    "volumes": target,
}  # fmt: skip
NETWORK: Mapping[str, Key] = {"aliases": before_equals, "link_local_ips": before_equals}
BUILD: Mapping[str, Key] = {"tags": before_equals}
IMAGE_CONFIG: Mapping[str, Key] = {"expose": text, "volumes": text}


class Joined(list[Node]):
    """A list that was made of several, and where its entries are: so that each further one costs no more than itself.
    It belongs to the tree that grows while files are merged, and nobody else has it."""

    __slots__ = ("places",)

    def __init__(self, items: Iterable[Node], key: Key) -> None:
        super().__init__(items)
        self.places: dict[Hashable, list[int]] = {}
        self.keep(0, key)

    def keep(self, start: int, key: Key) -> None:
        """Remember where the entries from `start` on are."""
        for at in range(start, len(self)):
            self.places.setdefault(key(self[at]), []).append(at)


def joined(base: list[Node], over: Iterable[Node], key: Key, alike: Alike | None = None) -> Joined:
    """The entries of `base`, then those of `over`; one of `over` stands in the place of the one like it: of the first
    that has its key, and is `alike`. A `base` that was joined before is taken over."""
    found = base if isinstance(base, Joined) else Joined(base, key)
    added: list[Node] = []
    for item in over:
        same = (at for at in found.places.get(key(item), ()) if alike is None or alike(found[at], item))
        if (at := next(same, None)) is None:
            added.append(item)
        else:
            found[at] = item
    before = len(found)
    found += added
    found.keep(before, key)
    return found


def port(item: Node) -> Hashable:
    if not item.is_map:
        return _whole(item)
    wanted, published = item.items.get("target"), item.get("published")
    protocol = item.get("protocol")
    name = str(protocol.value) if protocol is not None else "tcp"
    return (str(wanted.value) if wanted is not None else "", str(published.value) if published else "0", name)


def _whole_port(item: Node) -> Hashable:
    return port(item), _host(item)


def _host(item: Node) -> str | None:
    host = item.get("host_ip")
    return str(host.value) if host is not None else None


def alike_ports(base: Node, over: Node) -> bool:
    """A port without an address is like one on this machine alone, and like one on all addresses."""
    one, other = _host(base), _host(over)
    return one == other or (one is None and other in _ANY) or (other is None and one in _ANY)


Ousted = dict[tuple[str, str], Node]
"""Service and key -> a list of the entries that do not count."""


def unique(root: Node, report: Report) -> tuple[Node, Ousted]:
    """The tree without the entries that a list has twice; of two that differ the last one counts, and that is said. The
    others are handed back: they may hold mistakes."""
    items = dict(root.items)
    ousted: Ousted = {}
    services = items.get("services")
    if services is not None and services.is_map:
        made = {}
        for name, service in services.items.items():
            made[name] = _service(service, report)
            for key, node in made[name].items.items() if made[name] is not service else ():
                if key != "networks" and (gone := _gone(service.items[key], node)):
                    ousted[name, key] = node.made(gone)
        items["services"] = services.made(made)
    return root.made(items), ousted


def _gone(before: Node, after: Node) -> list[Node]:
    """What of a list does not count."""
    if len(before.list) == len(after.list):
        return []
    kept = {id(item) for item in after.list}
    return [item for item in before.list if id(item) not in kept]


def _service(service: Node, report: Report) -> Node:
    changed: dict[str, Node] = {}
    for key, node in service.items.items():
        if not node.is_list or len(node.list) < 2 or key == "volumes":
            continue
        once = node.list
        if key == "ports":
            once = _once(node.list, _whole_port, report)
        elif (by := SERVICE.get(key)) is not None:
            once = _once(node.list, by, report)
        if len(once) < len(node.list):
            changed[key] = node.made(once)
    networks = service.items.get("networks")
    if networks is not None and any(n.items.keys() & NETWORK.keys() for n in networks.items.values()):
        changed["networks"] = networks.made({n: _attached(a, report) for n, a in networks.items.items()})
    return service.made(service.items | changed) if changed else service


def _attached(node: Node, report: Report) -> Node:
    changed = {
        key: child.made(_once(child.list, NETWORK[key], report))
        for key, child in node.items.items()
        if key in NETWORK and child.is_list
    }
    return node.made(node.items | changed) if changed else node


def _once(items: list[Node], key: Key, report: Report) -> list[Node]:
    found: dict[Hashable, Node] = {}
    for item in items:
        identity = key(item)
        first = found.get(identity)
        if first is not None and _said(first) != _said(item):
            report.warn(first, f"does not count: the entry at {item.place} is for the same")
        found[identity] = item
    return list(found.values())


def _said(item: Node) -> object:
    """A port in the short form says the same as one in the long form."""
    if not item.is_map or "published" not in item.items:
        return item.plain()
    return {"protocol": "tcp", **{key: str(value.value) for key, value in item.items.items()}}
