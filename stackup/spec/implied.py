"""What services say about each other without `depends_on`: links, shared namespaces, volumes of another service."""

from __future__ import annotations

from collections.abc import Collection

from stackup.errors import BadInput
from stackup.spec import units
from stackup.spec.forms import Context
from stackup.spec.mounts import clean
from stackup.spec.nodes import Node, shorten

_SHARED = ("network_mode", "ipc", "pid", "uts", "cgroup")
_SERVICE = "service:"
MAX_MOUNTS = 50_000


def implied(services: dict[str, Node], inactive: Collection[str], ctx: Context) -> dict[str, Node]:
    """The services with their implicit dependencies, and with the mounts of those that `volumes_from` names."""
    work = _Work(services, ctx)
    there = services.keys() - set(inactive)
    return {name: work.service(name, node, there) for name, node in services.items()}


class _Work:
    def __init__(self, services: dict[str, Node], ctx: Context) -> None:
        self.services = services
        self.ctx = ctx
        self.mounted: dict[str, list[Node]] = {}
        self.count = 0

    def service(self, name: str, node: Node, there: Collection[str]) -> Node:
        if not node.is_map:
            return node
        needed = self.needed(node)
        items = dict(node.items)
        own = items.get("depends_on")
        if own is None or own.value is None or own.is_map:
            said = own.items if own is not None else {}
            more = {n: d for n, d in needed.items() if n not in said or (n not in there and _optional(said[n]))}
            if more:
                items["depends_on"] = (own or node).made({**said, **more})
        if "volumes_from" in items:
            mounts = self.mounts(name)
            volumes = items.get("volumes")
            if mounts and (volumes is None or volumes.is_list or volumes.value is None):
                items["volumes"] = (volumes or items["volumes_from"]).made(mounts)
        return node.made(items)

    def needed(self, node: Node) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for item in _texts(node, "links"):
            found.setdefault(item.value.partition(":")[0], _dependency(item, restart=True))
        for key in _SHARED:
            mode = node.items.get(key)
            if mode is not None and isinstance(mode.value, str) and mode.value.startswith(_SERVICE):
                found.setdefault(mode.value.removeprefix(_SERVICE), _dependency(mode, restart=True))
        for item in _texts(node, "volumes_from"):
            name = item.value.partition(":")[0]
            if name != "container":
                found.setdefault(name, _dependency(item, restart=False))
        return found

    def mounts(self, name: str) -> list[Node]:
        """What a service mounts, with what it takes from others. A service that takes from itself is told as a circle
        of dependencies."""
        waiting, seen = [name], {name}
        while waiting:
            top = waiting[-1]
            others = [item.value.partition(":")[0] for item in _texts(self.services[top], "volumes_from")]
            first = [n for n in others if n in self.services and n not in self.mounted and n not in seen]
            if first:
                waiting += first
                seen.update(first)
                continue
            waiting.pop()
            if top not in self.mounted:
                self.mounted[top] = self.own_and_taken(self.services[top])
        return self.mounted[name]

    def own_and_taken(self, node: Node) -> list[Node]:
        found = list(_mounts(node))
        targets = {_target(mount) for mount in found}
        for item in _texts(node, "volumes_from"):
            for mount in self.taken(item):
                if (target := _target(mount)) not in targets:
                    targets.add(target)
                    found.append(mount)
        self.count += len(found)
        if self.count > MAX_MOUNTS:
            raise BadInput(f"{node.items['volumes_from'].place}: 'volumes_from' makes more than {MAX_MOUNTS} mounts")
        return found

    def taken(self, item: Node) -> list[Node]:
        name, _, mode = item.value.partition(":")
        report = self.ctx.report
        if name == "container":
            report.problem(item, "a container outside the stack has no volumes here", "name a service of this stack")
            return []
        if mode not in ("", "ro", "rw"):
            report.problem(item, f"{shorten(mode)!r} is no mode", "write SERVICE, SERVICE:ro or SERVICE:rw")
        if name not in self.services:  # told as a dependency
            return []
        found = []
        for mount in self.mounted.get(name) or _mounts(self.services[name]):
            kind, source = mount.get("type"), mount.get("source")
            if not mount.is_map or (kind is not None and kind.value == "tmpfs"):
                continue
            if kind is not None and kind.value == "volume" and (source is None or not source.value):
                message = f"the volume of '{shorten(name)}' on {_target(mount)} has no name and cannot be shared"
                report.problem(item, message, f"write 'NAME:{_target(mount)}' at {mount.place}")
                continue
            found.append(mount.made(mount.items | {"read_only": item.made(True)}) if mode == "ro" else mount)
        return found


def _texts(node: Node, key: str) -> list[Node]:
    listed = node.items.get(key)
    return [item for item in listed.list if isinstance(item.value, str) and item.value] if listed is not None else []


def _mounts(node: Node) -> list[Node]:
    volumes = node.items.get("volumes")
    return volumes.list if volumes is not None else []


def _target(mount: Node) -> str:
    target = mount.get("target")
    return clean(target.value) if target is not None and isinstance(target.value, str) else ""


def _dependency(node: Node, *, restart: bool) -> Node:
    said = {"restart": node.implying(restart), "required": node.implying(True)}
    made = node.made({"condition": node.made("service_started"), **said})
    made.key = (node.line, node.column)
    return made


def _optional(dependency: Node) -> bool:
    required = dependency.items.get("required")
    return required is not None and units.truth(required.value) is False
