"""YAML text -> nodes that know their place. Scalars follow the YAML 1.2 core schema.

Built from the parser's events and not with `yaml.compose`: PyYAML's composer recurses in C and a file of 50,000 open
brackets ends the process with a segmentation fault. Here depth, number of nodes (alias bombs) and duplicate keys are
checked on the way. YAML 1.1's surprises are gone: `on`, `22:22`, `2024-01-01`, `1_000` stay text. One thing stays as
Compose reads it: `0440` is octal, like `0o440`.

A file may hold several documents; anchors hold within one. `!reset` and `!override` may stand before any value and stay
on its node (`tag`) for those who merge; aliases and merge keys carry them along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from stackup.errors import BadInput, Place
from stackup.spec.decoding import MAX_BYTES as MAX_BYTES
from stackup.spec.decoding import decode as decode
from stackup.spec.model import Path
from stackup.spec.report import Report, dotted
from stackup.spec.sources import Source as Source

MAX_NODES = 100_000
MAX_DEPTH = 64
MAX_DIGITS = 300
MERGE_TAGS = ("!reset", "!override")
RESET, OVERRIDE = "!reset", "!override"

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?[0-9]+")
# Not compiled here: most files have no such number.
_OCTAL = r"0o?[0-7]+"
_HEX = r"0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"),
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip


class Node:
    """A value of the file: a scalar, a list of nodes, or a mapping of text to nodes.

    `line`, `column` count from 1 and are the value's; `key` is (line, column) of its key, where it has one. `path` is
    where it was written, also after `canonical` moved it. `text` is a scalar as written, for places that want text.
    `tag` is `!reset` (nothing shall be here), `!override` (this alone shall be here) or None.
    `sources` are the variables that were put into it: such a text is read as a number or a truth value where one is
    wanted. `implied`: nobody wrote it, and it stands at the place of what it follows from.
    """

    __slots__ = ("column", "file", "implied", "key", "line", "path", "sources", "tag", "text", "value")

    def __init__(
        self, value: Any, file: str, line: int, column: int, path: Path,
        key: tuple[int, int] | None = None, text: str = "", tag: str | None = None, sources: tuple[Source, ...] = (),
    ) -> None:  # fmt: skip
        self.value: Any = value
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.key = key
        self.text = text
        self.tag = tag
        self.sources = sources
        self.implied = False

    @property
    def place(self) -> Place:
        return Place(self.file, self.line, self.column)

    @property
    def key_place(self) -> Place:
        return Place(self.file, *self.key) if self.key else self.place

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def items(self) -> dict[str, Node]:
        """The children of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def list(self) -> list[Node]:
        return self.value if isinstance(self.value, list) else []

    def get(self, key: str) -> Node | None:
        """A child that is there and not null."""
        child = self.items.get(key)
        return None if child is None or child.value is None else child

    def made(self, value: Any) -> Node:
        """Another value at this node's place: what `canonical` made of it."""
        text = "" if isinstance(value, dict | list | None) else str(value)
        made = Node(value, self.file, self.line, self.column, self.path, self.key, text, self.tag, self.sources)
        made.implied = self.implied
        return made

    def implying(self, value: Any) -> Node:
        """A value that follows from this one and that nobody wrote."""
        made = self.made(value)
        made.implied = True
        return made

    def plain(self) -> Any:
        """The value without places: dict, list, scalars."""
        if isinstance(self.value, dict):
            return {k: v.plain() for k, v in self.value.items()}
        if isinstance(self.value, list):
            return [v.plain() for v in self.value]
        return self.value

    def walk(self) -> Iterator[Node]:
        yield self
        for child in (*self.items.values(), *self.list):
            yield from child.walk()

    def copied(self, path: Path, key: tuple[int, int] | None, budget: Budget) -> Node:
        """The same values under another path (an alias, a merge key)."""
        budget.spend(self)
        check_depth(self, len(path))
        value = self.value
        if isinstance(value, dict):
            value = {k: v.copied((*path, k), v.key, budget) for k, v in value.items()}
        elif isinstance(value, list):
            value = [v.copied((*path, i), None, budget) for i, v in enumerate(value)]
        return Node(value, self.file, self.line, self.column, path, key, self.text, self.tag, self.sources)

    def describe(self) -> str:
        """`the number 5`, `text 'abc'`, `a list`: what was found, for messages."""
        value = self.value
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return f"{'true' if value else 'false'}"
        if isinstance(value, int | float):
            return f"the number {shorten(self.text)}"
        if isinstance(value, str):
            return f"the text {shorten(value)!r}"
        return "a list" if isinstance(value, list) else "a mapping"


def shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Budget:
    """The bound on nodes, aliases counted as often as they are used."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self, node: Node) -> None:
        self.left -= 1
        if self.left < 0:
            raise BadInput(f"{node.place}: more than {MAX_NODES} values", hint="does an alias repeat an alias?")


def check_depth(node: Node, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadInput(f"{node.place}: values lie more than {MAX_DEPTH} deep in each other", place=node.place)


def core_scalar(text: str) -> Scalar:
    """A plain scalar under the YAML 1.2 core schema (plus Compose's `0440`)."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > MAX_DIGITS:
        return text
    if text[0] == "0" and len(text) > 1:
        if re.fullmatch(_OCTAL, text):
            return int(text.replace("o", ""), 8)
        if re.fullmatch(_HEX, text):
            return int(text, 16)
    if _INT.fullmatch(text):
        digits = text.lstrip("+-")
        return text if len(digits) > 1 and digits[0] == "0" else int(text)
    return float(text) if not text.strip("+-.0123456789eE") and re.fullmatch(_FLOAT, text) else text


def documents(text: str, file: str, report: Report) -> list[Node]:
    """The roots of the documents of `text` in order; empty ones are left out. Duplicate keys and the like go to
    `report`.

    SpecErrors where the text is no YAML at all; BadInput past the bounds above, which are the whole file's.
    """
    report.add_source(file, text)
    builder = _Builder(text, file, report)
    try:
        return builder.documents()
    except yaml.reader.ReaderError as error:
        _unreadable(error, text, file, report)
    except yaml.MarkedYAMLError as error:
        _no_yaml(error, file, report, builder.bare_line)
    report.finish()
    raise AssertionError("unreachable")


def parse(text: str, file: str, report: Report) -> Node | None:
    """The one document of `text`, or None where it is empty; otherwise as `documents`."""
    roots = documents(text, file, report)
    for root in roots[1:]:
        report.problem(root, "a second document", "this file has one; remove the '---'")
    return roots[0] if roots else None


def _unreadable(error: yaml.reader.ReaderError, text: str, file: str, report: Report) -> None:
    # libyaml counts bytes here, and says nothing of lines.
    before = text.encode()[: int(error.position)].decode("utf-8", "replace")
    place = Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    report.problem_at(place, "", f"a stack file is text; {error.reason}", "is this the right file?")


_SCANNER_HINTS = (
    ("cannot start any token", "\t", "YAML is indented with spaces, not with tabs"),
    ("found a tab character", "", "YAML is indented with spaces, not with tabs"),
    ("cannot start any token", "@", "put quotes around a text that begins with '@'"),
    ("cannot start any token", "`", "put quotes around a text that begins with '`'"),
    ("cannot start any token", "%", "put quotes around a text that begins with '%'"),
    ("mapping values are not allowed", "", "put quotes around a text with ': ' in it, or check the indentation"),
    ("unexpected end of stream", "", "a quote is not closed"),
    ("did not find expected key", "", "check the indentation"),
    ("expected <block end>", "", "check the indentation"),
    ("did not find expected '-' indicator", "", "check the indentation"),
    ("did not find expected <document start>", "", "check the indentation"),
    ("undefined alias", "", "an alias (*name) follows its anchor (&name); quote a text that begins with '*'"),
)  # fmt: skip


# A value that begins with `{{` and is not quoted: a mapping in a mapping to YAML.
_BARE_EXPRESSION = r"(?:^|[:,\[-])\s+\{\{"
_QUOTE_IT = "put quotes around a text with {{ }} in it"


def _no_yaml(error: yaml.MarkedYAMLError, file: str, report: Report, told: int | None) -> None:
    mark = error.problem_mark or error.context_mark
    if error.context_mark and mark and report.line_of(Place(file, mark.line + 1)) in (None, ""):
        mark = error.context_mark  # the end of the file says nothing, what is open does
    place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
    lines = report.lines[file]
    filled = place.line
    while filled > 1 and (filled > len(lines) or not lines[filled - 1]):
        filled -= 1
    if filled < place.line:
        place = Place(file, filled, len(lines[filled - 1]) + 1)
    problem = error.problem or str(error)
    line = report.line_of(place) or ""
    character = line[place.column - 1 : place.column]
    hints = [h for text, c, h in _SCANNER_HINTS if text in problem and (not c or c == character)]
    if line[: place.column].endswith("${"):
        hints.insert(0, "put quotes around a text with ${ } in it")
    elif re.search(_BARE_EXPRESSION, line):
        hints.insert(0, _QUOTE_IT)
        if place.line == told:
            return
    context = f" {error.context}" if error.context and error.context.startswith("while") else ""
    if error.context_mark and context:
        context += f" that begins on line {error.context_mark.line + 1}"
    report.problem_at(place, "", f"not YAML: {problem}{context}", hints[0] if hints else None)


class _Builder:
    def __init__(self, text: str, file: str, report: Report) -> None:
        self.file = file
        self.report = report
        self.budget = Budget()
        self.anchors: dict[str, Node | None] = {}
        self.elsewhere: set[str] = set()  # anchors of the documents before
        self.bare = False  # the mapping just read is a `{{ }}` without quotes
        self.bare_line: int | None = None
        self.loader: Any = Loader(text)

    def documents(self) -> list[Node]:
        found = []
        try:
            self.loader.get_event()  # stream start
            while not self.loader.check_event(yaml.StreamEndEvent):
                self.loader.get_event()  # document start
                self.elsewhere |= self.anchors.keys()
                self.anchors.clear()
                found.append(self.node(self.loader.get_event(), (), None, 0))
                self.loader.get_event()  # document end
        finally:
            self.loader.dispose()
        return [root for root in found if root.value is not None or root.tag]

    def node(self, event: Any, path: Path, key: tuple[int, int] | None, depth: int) -> Node:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, key, Place(self.file, line, column))
        node = Node(None, self.file, line, column, path, key)
        self.budget.spend(node)
        check_depth(node, depth)
        if event.anchor:
            self.anchors[event.anchor] = None  # not complete yet: an alias to it from inside has no end
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(node, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.tag(node, event.tag, "seq")
            node.value = self.sequence(path, depth)
        else:
            self.tag(node, event.tag, "map")
            node.value = self.mapping(path, depth)
            if self.bare:  # told already
                node.value, self.bare = None, False
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, path: Path, key: tuple[int, int] | None, place: Place) -> Node:
        target = self.anchors.get(event.anchor)
        if target is not None:
            return target.copied(path, key, self.budget)
        hint, name = None, shorten(event.anchor)
        if event.anchor in self.anchors:
            message = f"the alias *{name} stands inside its own anchor"
        else:
            message = f"no anchor &{name} before this alias"
            if event.anchor in self.elsewhere:
                hint = "the one above '---' belongs to another document"
        self.report.problem_at(place, dotted(path), message, hint)
        self.report.spoil(self.file, path)
        return Node("", self.file, place.line, place.column, path, key)

    def tag(self, node: Node, tag: str | None, kind: str) -> None:
        """Tags of the core schema are obeyed, those of merging are noted, others are refused."""
        if tag in MERGE_TAGS:
            node.tag = tag
        elif tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
            known = str(tag).replace("tag:yaml.org,2002:", "!!")
            self.report.problem(node, f"unknown tag {shorten(known)}", "there are !reset and !override; or remove it")

    def scalar(self, node: Node, event: Any) -> None:
        node.text = event.value
        tag = (event.tag or "").removeprefix("tag:yaml.org,2002:")
        plain = (event.implicit[0] or event.tag in MERGE_TAGS) and event.style in (None, "")
        node.value = core_scalar(event.value) if plain or tag in ("int", "float", "bool", "null") else event.value
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None), "str": str, "!": str}.get(tag)
        if tag and wanted is None:
            self.tag(node, event.tag, "str")
        elif tag == "float" and type(node.value) is int:
            node.value = float(node.value)
        elif wanted and type(node.value) is not wanted:
            self.report.problem(node, f"the tag !!{tag} does not fit {shorten(event.value)!r}")

    def sequence(self, path: Path, depth: int) -> list[Node]:
        found: list[Node] = []
        while not isinstance(event := self.loader.get_event(), yaml.SequenceEndEvent):
            found.append(self.node(event, (*path, len(found)), None, depth + 1))
        return found

    def mapping(self, path: Path, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        merge: Node | None = None
        while not isinstance(event := self.loader.get_event(), yaml.MappingEndEvent):
            mark = event.start_mark
            name = self.key(self.node(event, path, None, depth + 1))
            value = self.node(self.loader.get_event(), (*path, name), (mark.line + 1, mark.column + 1), depth + 1)
            merging = name == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]
            if first := merge if merging else found.get(name):
                self.report.problem(value, f"written twice; first in line {first.key_place.line}", at_key=True)
            elif merging:
                merge = value
            else:
                found[name] = value
        for source in self.to_merge(merge) if merge else ():
            for name, node in source.items.items():
                if name not in found:
                    found[name] = node.copied((*path, name), node.key, self.budget)
        return found

    def key(self, key: Node) -> str:
        """A key as text: `true:` and `True:` are "true", numbers stay as they are written."""
        if key.tag:
            self.report.problem(key, f"{key.tag} stands before a key", "it belongs before the value")
        if isinstance(key.value, dict | list):
            before = (self.report.line_of(key.place) or "")[: key.column]
            if before.endswith("{{"):
                self.report.problem(key, "text that begins with {{ is a mapping to YAML", _QUOTE_IT)
                self.bare, self.bare_line = True, key.line
            else:
                self.report.problem(key, f"a key is a word, not {key.describe()}")
        elif not key.text:
            self.report.problem(key, "no key before ':'")
        return key.text.lower() if isinstance(key.value, bool) else key.text

    def to_merge(self, value: Node) -> list[Node]:
        if value.tag:
            self.report.problem(value, f"{value.tag} has no meaning behind '<<'", "it belongs before a key's value")
        sources = value.list if value.is_list else [value]
        for source in sources:
            if not source.is_map:
                self.report.problem(source, f"'<<' takes a mapping or a list of mappings, not {source.describe()}")
        return sources
