"""The parts tables of types are made of: each reads one canonical node into a value of the model.

A reader reports what is wrong and hands back a value of the right type all the same, so that the whole file is checked
in one go; such a value is never seen outside, because the report raises at the end. Beside its function it carries
what may be written in its place, as JSON Schema: `schema.py` makes the schema for editors of these very tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from stackup.spec import units
from stackup.spec.forms import truth
from stackup.spec.model import Path
from stackup.spec.mounts import clean
from stackup.spec.nodes import Node, shorten
from stackup.spec.origins import Origins
from stackup.spec.report import Report
from stackup.spec.suggest import did_you_mean

MOST_DIGITS = 1 << 62


class Reading:
    """Where problems go, where places are kept, and `warned`: what keys say that have no effect yet. `extensions`: what
    stands under `x-*`, which is nobody's but the user's."""

    __slots__ = ("extensions", "origins", "report", "warned")

    def __init__(self, report: Report, origins: Origins) -> None:
        self.report = report
        self.origins = origins
        self.warned: dict[Path, Any] = {}
        self.extensions: dict[Path, Any] = {}


Read = Callable[[Node, Path, Reading], Any]
Schema = Mapping[str, Any]


class AnyReader(Protocol):
    """A Reader or a Record."""

    def read(self, node: Node, path: Path, reading: Reading, /) -> Any: ...


class Reader:
    """`schema`: what may be written, short forms included; a reader that stands in it stands for its own schema."""

    __slots__ = ("read", "schema")

    def __init__(self, read: Read, schema: Schema) -> None:
        self.read = read
        self.schema = schema

    def __call__(self, node: Node, path: Path, reading: Reading) -> Any:
        return self.read(node, path, reading)


TEXT: Schema = {"type": "string"}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
NUMERAL: Schema = {"type": ["string", "number"]}


def reads(schema: Schema) -> Callable[[Read], Reader]:
    """Make a reader of a function."""
    return lambda read: Reader(read, schema)


def written(reader: AnyReader, *others: AnyReader | Schema) -> Reader:
    """The same reader, where `canonical` takes other forms as well."""
    return Reader(reader.read, {"anyOf": [reader, *others]})


def expected(what: str, node: Node, reading: Reading, hint: str | None = None) -> None:
    reading.report.problem(node, f"expected {what}, found {node.describe()}", hint)


@reads(TEXT)
def text(node: Node, path: Path, reading: Reading) -> str:
    """Text; a number or a truth value wants quotes, so that nobody is surprised by how it is read."""
    if not isinstance(node.value, str):
        scalar = isinstance(node.value, bool | int | float)
        expected("text", node, reading, f'put quotes around it: "{shorten(node.text)}"' if scalar else None)
        return ""
    if "\0" in node.value:
        reading.report.problem(node, "a zero byte in a text")
    return node.value


@reads(SCALAR)
def words(node: Node, path: Path, reading: Reading) -> str:
    """Text, or a number as it is written (`user: 1000`, `PORT: 8080`); true and false in small letters."""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if isinstance(node.value, int | float):
        return node.text
    value: str = text(node, path, reading)
    return value


@reads({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": units.truth_pattern(True, False)}]})
def boolean(node: Node, path: Path, reading: Reading) -> bool:
    """true or false, also as a text; y, yes, on, n, no, off with a warning."""
    meant = truth(node, reading.report)
    if meant is None:
        expected("true or false", node, reading)
    return bool(meant)


def integer(least: int = 0, most: int = MOST_DIGITS, *, what: str = "a whole number") -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> int:
        value = node.value
        if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}", value.strip()):
            value = int(value)
        if type(value) is not int:
            expected(what, node, reading)
            return max(least, 0)
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            reading.report.problem(node, f"{shorten(node.text)} is too {'small' if value < least else 'large'}", bound)
            return max(least, 0)
        return value

    bounds = {"minimum": least} | ({"maximum": most} if most != MOST_DIGITS else {})
    return Reader(read, {"anyOf": [{"type": "integer", **bounds}, {"type": "string", "pattern": "^ *[-+]?[0-9]+ *$"}]})


def real(node: Node) -> float | None:
    """The number that a node says, also as a text; None where it says none."""
    try:
        value = float(node.value) if isinstance(node.value, str | int | float) else None
    except (ValueError, OverflowError):
        return None
    return None if isinstance(node.value, bool) else value


@reads({"anyOf": [{"type": "number", "minimum": 0.001}, {"type": "string", "pattern": r"^ *[0-9.eE+-]+ *$"}]})
def cores(node: Node, path: Path, reading: Reading) -> float:
    value = real(node)
    if value is None or not 0.001 <= value <= 100_000:
        expected("a number of processor cores above 0", node, reading, "as in 'cpus: 0.5'")
        return 1.0
    return value


def parsed(parse: Callable[[str], Any], what: str, fallback: Any, pattern: str) -> Reader:
    """A scalar that `parse` makes a value of; ValueError says what is wrong with it."""

    def read(node: Node, path: Path, reading: Reading) -> Any:
        if isinstance(node.value, bool) or not isinstance(node.value, str | int | float):
            expected(what, node, reading)
            return fallback
        try:
            return parse(node.text)
        except ValueError as error:
            reading.report.problem(node, str(error))
            return fallback

    return Reader(read, {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}]})


size: Reader = parsed(units.size, "a size", 1 << 20, r"^\s*[0-9]+(\.[0-9]+)? ?[kKmMgGtT]?([iI]?[bB])?\s*$")
duration: Reader = parsed(units.duration, "a duration", 1.0, r"^\s*[0-9.]+((ns|us|µs|μs|ms|s|m|h|d|w)?[0-9.]*)*\s*$")


def _in_a_list(node: Node) -> str | None:
    text = shorten(node.text)
    plain_text = not isinstance(node.value, str) or re.fullmatch(r"[A-Za-z_./=-][\w./=-]*", text)
    return f"did you mean [{text if plain_text else repr(text)}]?" if text else None


def _without_dashes(node: Node) -> str | None:
    """`services: [web: {...}]` is what a dash too many looks like."""
    first = node.list[0] if node.list else None
    return f"write '{next(iter(first.items))}:' without '- ' before it" if first is not None and first.items else None


def choice(*known: str, what: str = "value", not_built: Mapping[str, str] = {}) -> Reader:
    """One of a few words. `not_built`: words of the language that we know and do not obey, or a prefix of them."""

    def read(node: Node, path: Path, reading: Reading) -> str:
        if not isinstance(node.value, str):
            expected(" or ".join(filter(None, known)), node, reading)
        elif node.value not in known:
            if hint := next((h for word, h in not_built.items() if node.value.startswith(word)), None):
                reading.report.problem(node, f"{shorten(node.value)!r} is not built yet", hint)
            else:
                near = did_you_mean(node.value, known) or "one of " + ", ".join(filter(None, known))
                reading.report.problem(node, f"{shorten(node.value)!r} is no {what}", near)
        else:
            return node.value
        return known[0]

    return Reader(read, {"enum": list(known)})


def matching(pattern: str, what: str, hint: str, reader: Reader = text) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> str:
        value: str = reader.read(node, path, reading)
        if value and not re.fullmatch(pattern, value):
            reading.report.problem(node, f"{shorten(value)!r} is no {what}", hint)
        return value

    return Reader(read, {**reader.schema, "pattern": f"^({pattern})?$"})


@reads({"type": "string", "pattern": "^/"})
def inside(node: Node, path: Path, reading: Reading) -> str:
    """An absolute path in a container."""
    value: str = _absolute(node, path, reading)
    if ".." in value.split("/"):
        reading.report.problem(node, f"{shorten(value)!r} has '..' in it", "write the path without")
    return value


def _absolute(node: Node, path: Path, reading: Reading) -> str:
    value: str = text(node, path, reading)
    if not value:
        if isinstance(node.value, str):
            reading.report.problem(node, "an empty path")
        return "/"
    if not value.startswith("/"):
        reading.report.problem(node, f"{shorten(value)!r} is no absolute path", f"did you mean '/{shorten(value)}'?")
        return "/"
    return value


@reads({"type": "string", "pattern": "^/"})
def mount_point(node: Node, path: Path, reading: Reading) -> str:
    """Where something is mounted: as in Compose, `/a/../b` is `/b`."""
    value = clean(_absolute(node, path, reading))
    if value == "/" and isinstance(node.value, str) and node.value.startswith("/"):
        reading.report.problem(node, "nothing can be mounted on '/'")
    return value


TEXT_OR_LIST = "text or a list"


def listed(reader: AnyReader, what: str = "a list") -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> tuple[Any, ...]:
        if not node.is_list:
            expected(what, node, reading, _in_a_list(node))
            return ()
        return tuple(_item(reader, item, (*path, i), reading) for i, item in enumerate(node.list))

    return Reader(read, {"type": "array", "items": reader})


def _item(reader: AnyReader, item: Node, path: Path, reading: Reading) -> Any:
    reading.origins.add(path, item)
    return reader.read(item, path, reading)


def mapped(
    reader: AnyReader, *, keys: str = r".+", what: str = "name", hint: str | None = None, short: bool = False
) -> Reader:
    """A mapping whose keys the user chooses. `short`: a list would do as well (`canonical` made a mapping of it)."""

    def read(node: Node, path: Path, reading: Reading) -> dict[str, Any]:
        if not node.is_map:
            near = _in_a_list(node) if short else _without_dashes(node)
            expected("a list or a mapping" if short else "a mapping", node, reading, near)
            return {}
        made: dict[str, Any] = {}
        for name, child in node.items.items():
            if not re.fullmatch(keys, name, re.DOTALL):
                reading.report.problem(child, f"{shorten(name)!r} is no {what}", hint, at_key=True)
            made[name] = _item(reader, child, (*path, name), reading)
        return made

    schema: dict[str, Any] = {"type": "object", "additionalProperties": reader}
    if keys != r".+":
        schema["propertyNames"] = {"pattern": f"^({keys})$"}
    return Reader(read, {"anyOf": [schema, {"type": "array", "items": text}]} if short else schema)


def nullable(reader: AnyReader) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> Any:
        return None if node.value is None else reader.read(node, path, reading)

    return Reader(read, {"anyOf": [reader, {"type": "null"}]})


@reads({})
def plain(node: Node, path: Path, reading: Reading) -> Any:
    """Any value, as it is."""
    return node.plain()


def names(known: Sequence[str], limit: int = 12) -> str | None:
    """`known here: a, b`, where there are few."""
    return f"known here: {', '.join(known)}" if 0 < len(known) <= limit else None
