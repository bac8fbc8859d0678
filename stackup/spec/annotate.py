"""Where each value of `stackup config` came from: beside it as a comment, or as values for programs.

`dump` writes the words of the file, `Loaded` knows canonical paths: `_canonical` leads from the one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stackup.errors import Place, printable
from stackup.spec.model import Loaded, Path
from stackup.spec.nodes import Node, parse
from stackup.spec.report import Report, dotted, told
from stackup.spec.sources import Source

_WIDEST = 60  # what is longer has its comment behind it, out of line


@dataclass(frozen=True, slots=True)
class Origin:
    """`place` None: nobody wrote it; then it is a default, or `said` by something else than a file."""

    place: Place | None
    sources: tuple[Source, ...] = ()
    said: str = "default"

    def __str__(self) -> str:
        """`stack.yaml:12, $PORT from .env:3`."""
        where = f"{self.place.file}:{self.place.line}" if self.place else self.said
        return f"{where}, {told(self.sources)}" if self.sources else where


def annotated(text: str, loaded: Loaded, name_from: str | None) -> str:
    """The YAML of `dump` with the origin of each value behind it. `name_from`: what says the name if no file does."""
    lines = text.rstrip("\n").split("\n")
    comments: dict[int, str] = {}
    leaves = [node for node in _nodes(text) if not node.items and not node.list]
    ends = [node.key[0] if node.key else node.line for node in leaves[1:]]
    for leaf, next_line in zip(leaves, [*ends, len(lines) + 1], strict=True):
        block = lines[leaf.line - 1][leaf.column - 1 : leaf.column] == "|"
        line = leaf.line if block else _last(lines, leaf, next_line - 1)
        comments[line] = printable(str(origin(loaded, leaf.path, name_from)))
    width = max((len(lines[n - 1]) for n in comments if len(lines[n - 1]) <= _WIDEST), default=0)
    for number, comment in comments.items():
        lines[number - 1] = f"{lines[number - 1]:<{width}}  # {comment}"
    return "\n".join(lines) + "\n"


def _nodes(text: str) -> Iterator[Node]:
    root = parse(text, "", Report())
    assert root is not None
    return root.walk()


def _last(lines: list[str], leaf: Node, most: int) -> int:
    """The last line of a scalar that is folded: it goes on deeper than its key, or the dash of its item, stands."""
    depth = leaf.key[1] - 1 if leaf.key else leaf.column - 3
    last = leaf.line
    while last < most and (not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip(" ")) > depth):
        last += 1
    return last


def listed(document: dict[str, Any], loaded: Loaded, name_from: str | None) -> list[dict[str, Any]]:
    """`{path, value, file, line, column, said, variables}` of each value, in the order of the document."""
    found = []
    for path, value in _leaves(document, ()):
        at = origin(loaded, path, name_from)
        place = at.place
        found.append(
            {"path": dotted(path), "value": value, "file": place.file if place else None,
             "line": place.line if place else None, "column": place.column if place else None,
             "said": None if place else at.said,
             "variables": [{"name": name, "where": where} for name, where in dict.fromkeys(at.sources)]}
        )  # fmt: skip
    return found


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def origin(loaded: Loaded, written: Path, name_from: str | None) -> Origin:
    """Of a value of the document: `written` is its path there. Nothing is known of what was not interpolated."""
    path = written if written in loaded.warned or written in loaded.extensions else _canonical(written)
    if path == ("name",) and (name_from or path not in loaded.origins):
        return Origin(None, said=name_from or "the folder's name")
    nearest = path
    while nearest and nearest not in loaded.origins:
        nearest = nearest[:-1]
    if nearest not in loaded.origins or (nearest != path and not _opaque(loaded, path, nearest)):
        return Origin(None)
    return Origin(Place(*loaded.origins[nearest]), loaded.sources.get(nearest, ()))


def _opaque(loaded: Loaded, path: Path, nearest: Path) -> bool:
    """Whether the parts of a value have no places of their own: `vars` of a template, keys without effect, `x-*`."""
    return "vars" in nearest or any(
        path[:depth] in loaded.warned or path[:depth] in loaded.extensions for depth in range(1, len(path) + 1)
    )


_NESTED = ("bind", "volume", "tmpfs")


def _canonical(path: Path) -> Path:
    """The path of a value in the model, from its path in the document that `dump` makes."""
    if path[:1] == ("images",) and path[2:3] == ("layers",):
        return (*path[:4], *path[5:])  # the kind of the layer is no part of it
    if path[:1] == ("networks",) and path[2:4] == ("ipam", "config"):
        return (*path[:2], *path[5:])
    if path[:1] != ("services",):
        return path
    head, rest = path[:2], path[2:]
    if rest == ("restart",):
        return (*head, "restart", "policy")
    if rest[:2] == ("deploy", "restart_policy"):
        return (*head, "restart", *("policy" if part == "condition" else part for part in rest[2:]))
    if rest in (("deploy", "endpoint_mode"), ("deploy", "replicas")):
        return (*head, *rest[1:])
    if rest[:3] == ("deploy", "resources", "limits"):
        return (*head, "resources", *rest[3:])
    if rest == ("deploy", "resources", "reservations", "memory"):
        return (*head, "mem_reservation")
    if rest[:1] == ("volumes",) and rest[2:3] and rest[2] in _NESTED and len(rest) == 4:
        return (*head, *rest[:2], rest[3])
    return path
