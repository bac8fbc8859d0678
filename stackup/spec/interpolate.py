"""`$NAME` and `${...}` in a text, as Compose reads them. Pure: what a name stands for is asked of a function.

    $NAME ${NAME}          the value, empty where it is not set
    ${NAME:-TEXT}          TEXT where it is not set or empty    ${NAME-TEXT}  where it is not set
    ${NAME:+TEXT}          TEXT where it is set and not empty   ${NAME+TEXT}  where it is set; else nothing
    ${NAME:?TEXT}          an error where it is not set or empty, TEXT says why   ${NAME?TEXT}  where it is not set
    $$                     one `$`; a `$` before anything else stays

The operator stands right behind the name, so the first one decides. TEXT goes up to the brace that closes the first
(braces are counted) and is interpolated itself, but only where it is used: what is wrong in a default that nobody needs
is no error. Compose ends a default at the line; here it may span lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from stackup.spec.sources import Source

Lookup = Callable[[str], tuple[str, str] | None]
"""What a name stands for, and where that was said; None where it is not set."""

MAX_DEPTH = 64
MAX_LENGTH = 4 << 20  # characters, of one text
MAX_TOLD = 100  # mistakes, or names without a value, of one text
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DOLLAR = re.compile(rf"\$(?:(\$)|({_NAME})|\{{({_NAME})\}}|(\{{))")
_OPERATOR = re.compile(rf"({_NAME})(:?[-+?])")
_BRACE = re.compile(r"[{}]")
_OPENED = re.compile(r"\$\$|(\$\{)|(\})")
_LONGEST = 40
_KEPT = 1000  # characters of an operand
_LITERALLY = "for '${' itself write '$${'"


class Wrong(NamedTuple):
    """A mistake at `offset` of the text; `hint` completes the message."""

    offset: int
    message: str
    hint: str | None = None


class Use(NamedTuple):
    """A variable that the text mentions, with the text behind its operator."""

    name: str
    offset: int
    operator: str = ""
    operand: str = ""


class Made(NamedTuple):
    """What came of a text. `sources`: the variables that decided it. `unset`: those that an empty text stands for,
    each once. `uses`: all that are mentioned, also in defaults that were not needed."""

    text: str
    sources: tuple[Source, ...] = ()
    unset: tuple[Use, ...] = ()
    uses: tuple[Use, ...] = ()
    wrong: tuple[Wrong, ...] = ()


def interpolate(text: str, lookup: Lookup, limit: int = MAX_LENGTH) -> Made:
    """`text` with its variables put in; never raises. Where it would grow beyond `limit` it ends, and is wrong."""
    if "$" not in text:
        return Made(text)
    scan = _Scan(text, lookup, limit)
    out: list[str] = []
    try:
        scan.run(0, len(text), out, 0)
    except _Stop as error:
        scan.wrong.append(error.args[0])
    uses = sorted(scan.uses.values(), key=lambda use: use.offset)
    return Made("".join(out), tuple(scan.sources), tuple(scan.unset.values()), tuple(uses), tuple(scan.wrong))


class _Stop(Exception):
    """Carries what is wrong."""


class _Scan:
    def __init__(self, text: str, lookup: Lookup, limit: int) -> None:
        self.text = text
        self.lookup = lookup
        self.limit = self.left = limit
        self.known: dict[str, str | None] = {}
        self.sources: list[Source] = []
        self.unset: dict[str, Use] = {}
        self.uses: dict[tuple[str, str, str], Use] = {}
        self.wrong: list[Wrong] = []
        self.open_until = 0  # up to here all stands behind a `${` without its brace
        self.closed: dict[int, int] | None = None
        self.loosely: dict[int, int] | None = None

    def run(self, start: int, end: int, out: list[str] | None, depth: int) -> None:
        """Put what text[start:end] makes into `out`; None: only note which variables are mentioned."""
        position = start
        while match := _DOLLAR.search(self.text, position, end):
            self.put(out, self.text[position : match.start()], match.start())
            position = match.end()
            if match[1]:
                self.put(out, "$", match.start())
            elif match[4]:
                position = self.braced(match.start(), end, out, depth)
            else:
                self.plain(match[2] or match[3], match.start(), out)
        self.put(out, self.text[position:end], position)

    def put(self, out: list[str] | None, piece: str, offset: int) -> None:
        if out is not None and piece:
            self.left -= len(piece)
            if self.left < 0:
                raise _Stop(Wrong(offset, f"makes a text of more than {self.limit} characters"))
            out.append(piece)

    def plain(self, name: str, offset: int, out: list[str] | None) -> None:
        use = self.uses.setdefault((name, "", ""), Use(name, offset))
        if out is None:
            return
        value = self.value(name)
        if value is None:
            self.unset.setdefault(name, use if use.offset == offset else Use(name, offset))
        else:
            self.put(out, value, offset)

    def value(self, name: str) -> str | None:
        if name not in self.known:
            found = self.lookup(name)
            self.known[name] = found[0] if found else None
            self.sources.append(Source(name, found[1] if found else None))
        return self.known[name]

    def braced(self, start: int, end: int, out: list[str] | None, depth: int) -> int:
        """The `${` at `start`; where to go on."""
        close = self.closing(start + 1, end)
        if close is None:
            if start >= self.open_until and out is not None:
                self.mistake(out, start, "'${' has no '}'", _LITERALLY)
                self.open_until = end
            return start + 2
        match = _OPERATOR.match(self.text, start + 2, close)
        if match is None:
            self.mistake(out, start, *_no_variable(self.text[start : min(close, start + _LONGEST) + 1]))
        elif depth >= MAX_DEPTH:
            self.mistake(out, start, f"defaults lie more than {MAX_DEPTH} deep in each other")
        else:
            operand = self.text[match.end() : min(close, match.end() + _KEPT)]
            self.applied(Use(match[1], start, match[2], operand), match.end(), close, out, depth)
        return close + 1

    def applied(self, use: Use, start: int, end: int, out: list[str] | None, depth: int) -> None:
        self.uses.setdefault((use.name, use.operator, use.operand), use)
        if out is None:
            self.run(start, end, None, depth + 1)
            return
        value = self.value(use.name)
        there = bool(value) if use.operator[0] == ":" else value is not None
        kind = use.operator[-1]
        if there == (kind == "+"):  # the text behind the operator is wanted
            reason: list[str] = out if kind != "?" else []
            self.run(start, end, reason, depth + 1)
            if kind == "?":
                state = "not set" if value is None else "empty"
                why = "".join(reason).strip()[:_KEPT]
                self.mistake(out, use.offset, f"the variable {use.name} is {state}" + (f": {why}" if why else ""))
            return
        self.run(start, end, None, depth + 1)
        if kind != "+":
            self.put(out, value or "", use.offset)

    def mistake(self, out: list[str] | None, offset: int, message: str, hint: str | None = None) -> None:
        if out is not None:
            self.wrong.append(Wrong(offset, message, hint))
            if len(self.wrong) >= MAX_TOLD:
                raise _Stop(Wrong(offset, "and more like it in this text"))

    def closing(self, opened: int, end: int) -> int | None:
        """Where the brace at `opened` is closed. Where the braces of a default do not match (`${A:-{}`), only those
        behind a `$` count."""
        if self.closed is None:
            self.closed = _pairs(self.text)
        close = self.closed.get(opened)
        if close is None or close >= end:
            if self.loosely is None:
                self.loosely = _loose_pairs(self.text)
            close = self.loosely.get(opened)
        return close if close is not None and close < end else None


def _pairs(text: str) -> dict[int, int]:
    found: dict[int, int] = {}
    stack: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            stack.append(match.start())
        elif stack:
            found[stack.pop()] = match.start()
    return found


def _loose_pairs(text: str) -> dict[int, int]:
    found: dict[int, int] = {}
    stack: list[int] = []
    for match in _OPENED.finditer(text):
        if match[1]:
            stack.append(match.start() + 1)
        elif match[2] and stack:
            found[stack.pop()] = match.start()
    return found


def _no_variable(written: str) -> tuple[str, str]:
    shown = written if len(written) <= _LONGEST else written[: _LONGEST - 4] + "...}"
    name = re.match(_NAME, written[2:])
    if name is None:
        return f"{shown!r} names no variable", f"a name begins with a letter or _; {_LITERALLY}"
    return f"{shown!r} is no variable", f"behind a name stands '}}' or one of :- - :+ + :? ?; {_LITERALLY}"
