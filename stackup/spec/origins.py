"""Where each value of the canonical form was written: canonical path -> node, kept beside the values."""

from __future__ import annotations

from collections.abc import Mapping

from stackup.spec.model import Path
from stackup.spec.nodes import Node, Source


class Origins:
    """Filled by `validate`, asked by `consistency`, handed out as plain positions in `Loaded.origins`."""

    def __init__(self) -> None:
        self._nodes: dict[Path, Node] = {}

    def add(self, path: Path, node: Node) -> None:
        self._nodes[path] = node

    def node(self, *path: str | int) -> Node:
        """The node of a value; where it was not written itself, of what it belongs to."""
        while path not in self._nodes:
            path = path[:-1]
        return self._nodes[path]

    def has(self, *path: str | int) -> bool:
        return path in self._nodes

    def positions(self) -> Mapping[Path, tuple[str, int, int]]:
        """A scalar's own place; for a mapping or list the place of its key, which is the line a reader looks for. None
        for what nobody wrote."""
        found: dict[Path, tuple[str, int, int]] = {}
        for path, node in self._nodes.items():
            if node.implied:
                continue
            line, column = (node.line, node.column)
            if node.key and isinstance(node.value, dict | list):
                line, column = node.key
            found[path] = (node.file, line, column)
        return found

    def sources(self) -> Mapping[Path, tuple[Source, ...]]:
        """The variables that a value was made of, where there are any."""
        return {path: node.sources for path, node in self._nodes.items() if node.sources and not node.implied}
