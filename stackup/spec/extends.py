"""`extends`: a service is another one and what it says itself. The other one stands in the same file, or in a file of
its own whose relative paths start at its folder. Only that service is taken over, nothing that it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stackup.errors import BadInput
from stackup.spec import units
from stackup.spec.discover import File
from stackup.spec.merge import SERVICE, cloned, mappings
from stackup.spec.nodes import MAX_NODES, Budget, Node, shorten
from stackup.spec.report import Report, found
from stackup.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from stackup.spec.files import Files, Scope

_KEYS = ("service", "file")
_MOST = 5 * MAX_NODES


class _Budget(Budget):
    """The bound on what is copied, so that services that extend each other do not grow without end."""

    def __init__(self) -> None:
        self.left = _MOST

    def spend(self, node: Node) -> None:
        self.left -= 1
        if self.left < 0:
            raise BadInput(f"{node.place}: the services that extend each other have more than {_MOST} values")


def resolve(document: Node, below: Node | None, file: File, scope: Scope, files: Files) -> Node:
    """The document with its services complete. A service that it does not have itself is looked for in what lies
    `below`: the documents before it."""
    services = document.items["services"]
    before = below.items.get("services") if below is not None else None
    known = {**(before.items if before is not None else {}), **services.items}
    home = _Home(file, known, scope.folder)
    work = _Work(scope, files)
    made = {name: work.service(name, home) for name in services.items}
    return document.made(document.items | {"services": services.made(made)})


class _Home:
    """Where a name of a service has a meaning: a file, its services, and the folder where its paths start."""

    def __init__(self, file: File, services: dict[str, Node], folder: str) -> None:
        self.file = file
        self.services = services
        self.folder = folder
        self.done: dict[str, Node] = {}


class _Step(NamedTuple):
    """A service on the way to the one that extends nothing, without its `extends`, and that."""

    home: _Home
    name: str
    node: Node
    extends: Node


class _Work:
    def __init__(self, scope: Scope, files: Files) -> None:
        self.scope = scope
        self.files = files
        self.report: Report = files.report
        self.budget = _Budget()
        self.homes: dict[str, _Home] = {}

    def service(self, name: str, home: _Home) -> Node:
        """The complete service `name` of `home`."""
        way: list[_Step] = []
        seen: dict[tuple[str, str], int] = {}
        while True:
            known = home.done.get(name)
            node = known or home.services[name]
            extends = node.items.get("extends")
            if known is not None or extends is None:
                break
            node = node.made({key: child for key, child in node.items.items() if key != "extends"})
            if extends.value is None:
                break
            way.append(_Step(home, name, node, extends))
            seen[home.file.path, name] = len(way) - 1
            wanted = self.wanted(extends, home)
            if wanted is not None and (first := seen.get((wanted[0].file.path, wanted[1]))) is not None:
                self.circle(way[first:])
                wanted = None
            if wanted is None:
                home, name, node = way.pop()[:3]
                node = _excused(node, extends)
                break
            home, name = wanted
        home.done[name] = node
        for step in reversed(way):
            node = step.home.done[step.name] = self.over(node, step.node)
        return node

    def wanted(self, extends: Node, home: _Home) -> tuple[_Home, str] | None:
        """Which service `extends` names; None where there is none, and that is told."""
        name, named = self.read(extends)
        if name is None:
            return None
        if named is not None:
            file = self.files.found(named, home.folder)
            if file is None:
                return None
            home = self.home(file)
        if name.value not in home.services:
            self.missing(name, home)
            return None
        return home, name.value

    def home(self, file: File) -> _Home:
        known = self.homes.get(file.path)
        if known is None:
            tree = self.files.extended(file, self.scope)
            services = tree.items.get("services") if tree is not None else None
            folder = file.path.rpartition("/")[0] or "/"
            known = self.homes[file.path] = _Home(file, services.items if services is not None else {}, folder)
        return known

    def read(self, extends: Node) -> tuple[Node | None, Node | None]:
        """The nodes of `service` and `file`."""
        if isinstance(extends.value, str) and extends.value:
            return extends, None
        if not extends.is_map:
            message = f"expected the name of a service, found {extends.describe()}"
            self.report.problem(extends, message, "or {service: ..., file: ...}")
            return None, None
        for key, child in extends.items.items():
            if key not in _KEYS and not key.startswith("x-"):
                hint = did_you_mean(key, _KEYS) or f"known here: {', '.join(_KEYS)}"
                self.report.problem(child, "unknown key", hint, at_key=True)
        service = extends.get("service")
        if service is None:
            self.report.problem(extends, "'service' is missing", "it names the service to extend", at_key=True)
        elif not isinstance(service.value, str) or not service.value:
            self.report.problem(service, f"expected the name of a service, found {service.describe()}")
            service = None
        return service, extends.get("file")

    def missing(self, wanted: Node, home: _Home) -> None:
        where = "" if home.file.shown == wanted.file else f" of {home.file.shown}"
        hint = did_you_mean(wanted.value, home.services)
        if hint is None:
            hint = f"there is {found(home.services)}" if home.services else "there is none at all"
        self.report.problem(wanted, f"no service '{shorten(wanted.value)}' in 'services'{where}", hint)

    def circle(self, way: list[_Step]) -> None:
        nodes = [step.extends.get("service") or step.extends for step in way]
        names = [*(step.name for step in way[1:]), way[0].name]
        steps = [f"{name} ({node.place})" for name, node in zip(names, nodes, strict=True)]
        message = f"services extend each other: {' -> '.join([way[0].name, *steps])}"
        self.report.problem(nodes[-1], message, "take one of them out")

    def over(self, base: Node, node: Node) -> Node:
        """`node` laid over a copy of `base`, at the place of `node`."""
        self.not_disabled(base, node)
        merged = mappings(cloned(base, self.budget), node, self.report, SERVICE)
        return node.made(merged.items)

    def not_disabled(self, base: Node, node: Node) -> None:
        check, other = node.get("healthcheck"), base.get("healthcheck")
        if check is None or other is None or check.tag is not None:
            return
        disable, already = check.get("disable"), other.get("disable")
        if disable is not None and _on(disable) and not _on(already):
            message = (
                f"the service that is extended has a healthcheck ({other.key_place}), which this does not switch off"
            )
            self.report.problem(disable, message, "write 'healthcheck: !override {disable: true}'")


def _on(node: Node | None) -> bool:
    return node is not None and units.truth(node.value) is True


def _excused(node: Node, extends: Node) -> Node:
    """What the base would have brought is not missing as well."""
    return node if "image" in node.items else node.made(node.items | {"image": extends.made("unknown")})
