"""Short forms that many keys share, turned into their long form. Positions and tags follow.

A node of the wrong type is handed back as it is: `validate` says what was expected there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal

from stackup.classes import dataclass
from stackup.spec import units
from stackup.spec.nodes import RESET, Node, shorten
from stackup.spec.report import Report

MOST_PORTS = 50_000


class Room:
    """How many ports may still come of ranges, in all files of a stack: a short text makes a thousand of them."""

    def __init__(self) -> None:
        self.left = MOST_PORTS

    def take(self, count: int) -> bool:
        self.left -= count
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Context:
    """Where a file's relative paths start, the caller's environment, and where problems go.

    `project` is the folder that relative paths are given on from: that of the whole project, by default the same.
    `dialect` says whose words the file may use: ours and Compose's, or Compose's alone. `literal`: variables
    are not put in, and a short form that holds one stays as it is written.
    """

    folder: str
    environment: Mapping[str, str]
    report: Report
    project: str | None = None
    dialect: Literal["stack", "compose"] = "stack"
    literal: bool = False
    room: Room = field(default_factory=Room)

    def unknown(self, node: Node) -> bool:
        """Whether a text is not known yet, because of the variables in it."""
        return isinstance(node.value, str) and self.holds(node.value)

    def holds(self, text: str) -> bool:
        """Whether variables are left in a text as they are written."""
        return self.literal and ("$" in text or "{{" in text)

    def absolute(self, path: str) -> str:
        """An absolute path from one of the file; `~` is the caller's home. One with variables stays relative."""
        if self.holds(path):
            return self.rebased(path)
        if path == "~" or path.startswith("~/"):
            path = (self.environment.get("HOME") or "/root") + path[1:]
        return os.path.normpath(os.path.join(self.folder, path))

    def rebased(self, path: str) -> str:
        """A path of this file as a file in the project's folder would write it."""
        if self.project in (None, self.folder) or not path or path.startswith(("/", "~")) or "\0" in path:
            return path
        if self.holds(path):
            way = os.path.relpath(self.folder, self.project)
            return path if path.startswith(("$", "{{")) else f"./{way}/{path.removeprefix('./')}"
        rebased = os.path.relpath(os.path.join(self.folder, path), self.project)
        return rebased + "/" if path.endswith("/") else rebased


Form = Callable[[Node, Context], Node]


LONGEST_COMMAND = 128 << 10  # of one that is split; a program is given no longer word


def apply(items: dict[str, Node], table: Mapping[str, Form], ctx: Context) -> None:
    """Bring the values under `table`'s keys into their form, in place. What is to be removed needs none."""
    for key, form in table.items():
        node = items.get(key)
        if node is not None and node.value is not None and node.tag != RESET:
            items[key] = form(node, ctx)


def mapping(table: Mapping[str, Form]) -> Form:
    """The form of a mapping some of whose values have one."""

    def long(node: Node, ctx: Context) -> Node:
        if not node.is_map:
            return node
        items = dict(node.items)
        apply(items, table, ctx)
        return node.made(items)

    return long


def sections(root: Node, table: Mapping[str, Form], ctx: Context) -> dict[str, Node]:
    """The items of a document, each definition in its sections in the form that the table has for them."""
    items = dict(root.items)
    for section, form in table.items():
        node = items.get(section)
        if node is not None and node.is_map:
            items[section] = node.made({name: form(child, ctx) for name, child in node.items.items()})
    return items


def servers(node: Node, ctx: Context) -> Node:
    """`dns`: one address or a list -> a list without the empty ones, which variables leave."""
    listed = made_list(node, ctx)
    return listed.made([item for item in listed.list if item.value != ""]) if listed.is_list else listed


def made_list(node: Node, _: Context) -> Node:
    """One value -> a list of it (`dns`, `tmpfs`, ...)."""
    return node if isinstance(node.value, list | dict) else node.made([node])


def argv(node: Node, ctx: Context) -> Node:
    """A command: text is split as a shell would, a list stays."""
    if not isinstance(node.value, str) or ctx.unknown(node):
        return node
    if node.value.isalnum():
        return node.made([node])
    if len(node.value) > LONGEST_COMMAND:
        ctx.report.problem(node, f"a text of {len(node.value)} characters is no command", "or write it as a list")
        return node.made([])
    import shlex  # only for the few files that need it

    try:
        words = shlex.split(node.value)
    except ValueError as error:
        ctx.report.problem(node, f"cannot be split into words: {str(error).lower()}", "or write it as a list")
        words = []
    return node.made([node.made(word) for word in words])


def pairs(node: Node, ctx: Context) -> Node:
    """`["A=1", "B"]` -> `{A: "1", B: null}`. Names that are variables stay in a list: nobody looks for any in keys."""
    if not node.is_list or any(ctx.unknown(item) and ctx.holds(item.value.partition("=")[0]) for item in node.list):
        return node
    found: dict[str, Node] = {}
    for item in node.list:
        if not isinstance(item.value, str):
            ctx.report.problem(item, f"expected text as in 'NAME=value', found {item.describe()}")
            continue
        name, equals, value = item.value.partition("=")
        if not name:
            ctx.report.problem(item, f"no name before '=' in {shorten(item.value)!r}")
            continue
        if name in found:
            ctx.report.warn(item, f"'{name}' stands twice in this list; the last one counts")
        child = item.made(value if equals else None)
        child.key = (item.line, item.column)
        found[name] = child
    return node.made(found)


def keyed(node: Node, ctx: Context) -> Node:
    """`[a, b]` or `{a: , b: }` -> `{a: {}, b: {}}` (`networks`, `depends_on`)."""
    if node.is_map:
        return node.made({k: v.made({}) if v.value is None else v for k, v in node.items.items()})
    if not node.is_list or any(map(ctx.unknown, node.list)):
        return node
    found: dict[str, Node] = {}
    for item in node.list:
        if not isinstance(item.value, str):
            ctx.report.problem(item, f"expected a name, found {item.describe()}")
        elif item.value in found:
            ctx.report.problem(item, f"'{item.value}' stands twice in this list")
        else:
            child = item.made({})
            child.key = (item.line, item.column)
            found[item.value] = child
    return node.made(found)


def hosts(node: Node, ctx: Context) -> Node:
    """`extra_hosts`: `["name:addr", "name=addr"]` or a mapping -> `{name: [addr, ...]}`."""
    if node.is_map:
        return node.made({name: _addresses(value) for name, value in node.items.items()})
    if not node.is_list:
        return node
    found: dict[str, Node] = {}
    if any(ctx.unknown(item) for item in node.list):
        return node
    for item in node.list:
        text = item.value if isinstance(item.value, str) else ""
        name, mark, address = text.partition("=") if "=" in text else text.partition(":")
        if not (name and mark and address):
            ctx.report.problem(item, f"expected text as in 'name=address', found {item.describe()}")
            continue
        entry = found.setdefault(name, item.made([]))
        entry.list.append(item.made(address.strip("[]")))
    return node.made(found)


def _addresses(node: Node) -> Node:
    """An address or a list; one of IPv6 may stand in brackets."""
    if node.is_map:
        return node
    items = node.list if node.is_list else [node]
    return node.made([i.made(i.value.strip("[]")) if isinstance(i.value, str) else i for i in items])


def ulimits(node: Node, _: Context) -> Node:
    """`{nofile: 1024}` -> `{nofile: {soft: 1024, hard: 1024}}`."""

    def long(value: Node) -> Node:
        return value if value.is_map or value.value is None else value.made({"soft": value, "hard": value})

    return node.made({name: long(value) for name, value in node.items.items()}) if node.is_map else node


def dependencies(node: Node, ctx: Context) -> Node:
    """`depends_on`: a list says all of it, `{condition: service_started, required: true}`; a mapping what it says."""
    made = keyed(node, ctx)
    if node.is_list:
        for child in made.items.values():
            child.value = {"condition": child.made("service_started"), "required": child.implying(True)}
    return made


def files(node: Node, ctx: Context) -> Node:
    """`env_file`: a path or a list -> a list of `{path}`."""

    def long(item: Node) -> Node:
        made = item.made({"path": item.made(item.value)}) if isinstance(item.value, str) else item
        path = made.get("path")
        if path is None or not isinstance(path.value, str):
            return made
        return made.made(made.items | {"path": path.made(ctx.rebased(path.value))})

    return node.made([long(item) for item in (node.list if node.is_list else [node])])


def paths(node: Node, ctx: Context) -> Node:
    """`label_file`: a path or a list -> a list."""
    listed = made_list(node, ctx)
    if not listed.is_list:
        return listed
    return listed.made([i.made(ctx.rebased(i.value)) if isinstance(i.value, str) else i for i in listed.list])


def build(node: Node, ctx: Context) -> Node:
    """A folder -> `{context}`."""
    if not node.is_map:
        return node.made({"context": node.made(node.value)}) if isinstance(node.value, str) else node
    items = dict(node.items)
    apply(items, {"args": pairs, "labels": pairs, "additional_contexts": pairs, "extra_hosts": hosts}, ctx)
    return node.made(items)


def healthcheck(node: Node, _: Context) -> Node:
    """`test` text -> `[CMD-SHELL, text]`."""
    test = node.items.get("test")
    if test is None or not isinstance(test.value, str):
        return node
    return node.made(node.items | {"test": test.made([test.made("CMD-SHELL"), test.made(test.value)])})


def truth(node: Node, report: Report) -> bool | None:
    """What a value says where true or false is wanted, None where it is neither; with a warning where it is a word
    that YAML 1.1 read so, and that is text since."""
    meant = units.truth(node.value)
    word = str(node.value).strip().lower()
    if meant is not None and word not in ("true", "false"):
        report.warn(node, f"{word!r} is read as {str(meant).lower()}; write true or false")
    return meant


def disabled(node: Node, ctx: Context) -> Node:
    """A `healthcheck` with `disable: true` -> `test: [NONE]`."""
    disable = node.items.get("disable")
    if disable is None:
        return node
    items = {key: value for key, value in node.items.items() if key != "disable"}
    off = truth(disable, ctx.report)
    if off is None and disable.value is not None:
        ctx.report.problem(disable, f"expected true or false, found {disable.describe()}")
    if off:
        items["test"] = disable.made([disable.made("NONE")])
    return node.made(items)


def security_options(node: Node, ctx: Context) -> Node:
    """`security_opt`: `name:value` -> `name=value`."""

    def same(item: Node) -> Node:
        if not isinstance(item.value, str) or "=" in item.value or ":" not in item.value or ctx.unknown(item):
            return item
        return item.made(item.value.replace(":", "=", 1))

    return node.made([same(item) for item in node.list]) if node.is_list else node


def obeyed_security(node: Node, ctx: Context) -> Node:
    """`security_opt`: what this machine's other guards would do is left out, and said."""
    if not node.is_list:
        return node
    found = []
    for item in node.list:
        if isinstance(item.value, str) and (item.value.startswith("label=") or item.value == "apparmor=unconfined"):
            ctx.report.warn_alike(item, "has no effect: stackup sets no SELinux label and no AppArmor profile")
        else:
            found.append(item)
    return node.made(found)


def take(node: Node, *path: str) -> Node | None:
    """Take a value out of nested mappings; None where it is absent or null."""
    for part in path[:-1]:
        child = node.items.get(part)
        if child is None:
            return None
        node = child
    found = node.items.pop(path[-1], None)
    return None if found is None or found.value is None else found


def prune(node: Node, *path: str) -> None:
    """Drop mappings from which everything was taken, deepest first. What is left over stays and is told as unknown."""
    child = node.items.get(path[0])
    if child is None:
        return
    if path[1:]:
        prune(child, *path[1:])
    if child.value is None or child.value == {}:
        del node.items[path[0]]
