"""Where a character of a scalar's text stands in the file: under all of YAML's ways to write a text.

Only asked where a message points at something inside a text. The text is laid along the file, blank against blank, and
what the way of writing adds is stepped over: quotes, escapes, indentation, the header of a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackup.errors import Place
from stackup.spec.nodes import Node

_MARGIN = re.compile(r"\s*")
_PROPERTY = re.compile(r"[&!]\S*")
_HEXADECIMAL = {"x": 2, "u": 4, "U": 8}
_BLANKS = " \t\r\n\x85\xa0\u2028\u2029"
_BLANK_ESCAPES = "tn \tNLP_r\n"


def places(node: Node, offsets: Sequence[int], lines: Sequence[str]) -> list[Place]:
    """The places of `offsets` (growing) of `node.value`; the node's own where one cannot be found."""
    found = [node.place] * len(offsets)
    if not 1 <= node.line <= len(lines) or not isinstance(node.value, str):
        return found
    walk = _Walk(lines, node.line - 1, node.column - 1)
    walk.begin()
    text, wanted = node.value, 0
    for index, character in enumerate(text):
        if character in _BLANKS:
            if wanted < len(offsets) and offsets[wanted] == index:
                wanted += 1  # nothing of interest begins with a blank
            continue
        at = walk.next(character)
        if at is None:
            break
        while wanted < len(offsets) and offsets[wanted] == index:
            found[wanted] = Place(node.file, at[0] + 1, at[1] + 1)
            wanted += 1
        if wanted == len(offsets):
            break
    return found


class _Walk:
    def __init__(self, lines: Sequence[str], line: int, column: int) -> None:
        self.lines = lines
        self.line = line
        self.column = column
        self.quote = ""

    def begin(self) -> None:
        """Step over anchor and tag, and the opening quote or the header of a block."""
        while True:
            line = self.lines[self.line]
            self.column = _MARGIN.match(line, self.column).end()  # type: ignore[union-attr]  # it matches nothing, too
            if match := _PROPERTY.match(line, self.column):
                self.column = match.end()
            elif self.column == len(line) and self.line + 1 < len(self.lines):
                self.line, self.column = self.line + 1, 0
            else:
                break
        first = line[self.column : self.column + 1]
        if first in ("'", '"'):
            self.quote = first
            self.column += 1
        elif first in ("|", ">"):
            self.line, self.column = self.line + 1, 0

    def next(self, wanted: str) -> tuple[int, int] | None:
        """Where the next character that is no blank stands, if it is the wanted one."""
        while self.line < len(self.lines):
            line = self.lines[self.line]
            while self.column < len(line):
                at, character = (self.line, self.column), line[self.column]
                self.column += 1
                if character in _BLANKS:
                    continue
                if self.quote == '"' and character == "\\":
                    character = self.escape(line)
                    if character == "":
                        continue
                elif self.quote == "'" and line[at[1] : at[1] + 2] == "''":
                    self.column += 1
                return at if character == wanted else None
            self.line, self.column = self.line + 1, 0
        return None

    def escape(self, line: str) -> str:
        """The character of the escape behind a backslash; "" for one that is a blank, or none at all."""
        kind = line[self.column : self.column + 1]
        self.column += 1
        if kind in _HEXADECIMAL:
            digits = line[self.column : self.column + _HEXADECIMAL[kind]]
            self.column += len(digits)
            try:
                character = chr(int(digits, 16))
            except (ValueError, OverflowError):
                return "\0"  # we are not where we think we are
            return "" if character in _BLANKS else character
        if kind in _BLANK_ESCAPES:
            return ""
        return {"0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "v": "\v", "f": "\f"}.get(kind, kind)
