"""The parts tables of types are made of: each reads one canonical node into a value of the model.

A reader reports what is wrong and hands back a value of the right type all the same, so that the whole file is checked
in one go; such a value is never seen outside, because the report raises at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackup.spec import units
from stackup.spec.model import Path
from stackup.spec.mounts import clean
from stackup.spec.nodes import Node, shorten
from stackup.spec.origins import Origins
from stackup.spec.report import Report, found
from stackup.spec.suggest import did_you_mean

MOST_DIGITS = 1 << 62


@dataclass(frozen=True, slots=True)
class Reading:
    report: Report
    origins: Origins


Reader = Callable[[Node, Path, Reading], Any]


def expected(what: str, node: Node, reading: Reading, hint: str | None = None) -> None:
    reading.report.problem(node, f"expected {what}, found {node.describe()}", hint)


def text(node: Node, path: Path, reading: Reading) -> str:
    """Text; a number or a truth value wants quotes, so that nobody is surprised by how it is read."""
    if not isinstance(node.value, str):
        scalar = isinstance(node.value, bool | int | float)
        expected("text", node, reading, f'put quotes around it: "{shorten(node.text)}"' if scalar else None)
        return ""
    if "\0" in node.value:
        reading.report.problem(node, "a zero byte in a text")
    return node.value


def words(node: Node, path: Path, reading: Reading) -> str:
    """Text, or a number as it is written (`user: 1000`, `PORT: 8080`); true and false in small letters."""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if isinstance(node.value, int | float):
        return node.text
    return text(node, path, reading)


def boolean(node: Node, path: Path, reading: Reading) -> bool:
    if not isinstance(node.value, bool):
        near = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
        word = node.value.lower() if isinstance(node.value, str) else ""
        hint = f"write {near.get(word, word)} without quotes" if word in (*near, "true", "false") else None
        expected("true or false", node, reading, hint)
        return False
    return node.value


def integer(least: int = 0, most: int = MOST_DIGITS, *, what: str = "a whole number") -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> int:
        value = node.value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if type(value) is not int:
            expected(what, node, reading)
            return max(least, 0)
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            reading.report.problem(node, f"{shorten(node.text)} is too {'small' if value < least else 'large'}", bound)
            return max(least, 0)
        return value

    return read


def cores(node: Node, path: Path, reading: Reading) -> float:
    try:
        value = float(node.value) if isinstance(node.value, str | int | float) and node.value is not True else -1.0
    except (ValueError, OverflowError):
        value = -1.0
    if isinstance(node.value, bool) or not 0.001 <= value <= 100_000:
        expected("a number of processor cores above 0", node, reading, "as in 'cpus: 0.5'")
        return 1.0
    return value


def _parsed(parse: Callable[[str], Any], what: str, fallback: Any) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> Any:
        if isinstance(node.value, bool) or not isinstance(node.value, str | int | float):
            expected(what, node, reading)
            return fallback
        try:
            return parse(node.text)
        except ValueError as error:
            reading.report.problem(node, str(error))
            return fallback

    return read


size: Reader = _parsed(units.size, "a size", 1 << 20)
duration: Reader = _parsed(units.duration, "a duration", 1.0)


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

    return read


def matching(pattern: str, what: str, hint: str, reader: Reader = text) -> Reader:
    regex = re.compile(pattern)

    def read(node: Node, path: Path, reading: Reading) -> str:
        value: str = reader(node, path, reading)
        if value and not regex.fullmatch(value):
            reading.report.problem(node, f"{shorten(value)!r} is no {what}", hint)
        return value

    return read


def inside(node: Node, path: Path, reading: Reading) -> str:
    """An absolute path in a container."""
    value = text(node, path, reading)
    if not value:
        if isinstance(node.value, str):
            reading.report.problem(node, "an empty path")
        return "/"
    if not value.startswith("/"):
        reading.report.problem(node, f"{shorten(value)!r} is no absolute path", f"did you mean '/{shorten(value)}'?")
    elif ".." in value.split("/"):
        reading.report.problem(node, f"{shorten(value)!r} has '..' in it", "write the path without")
    return value


def mount_point(node: Node, path: Path, reading: Reading) -> str:
    value = clean(inside(node, path, reading))
    if value == "/" and isinstance(node.value, str) and node.value.startswith("/"):
        reading.report.problem(node, "nothing can be mounted on '/'")
    return value


def listed(reader: Reader, what: str = "a list") -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> tuple[Any, ...]:
        if not node.is_list:
            expected(what, node, reading, f"did you mean [{shorten(node.text)}]?" if node.text else None)
            return ()
        return tuple(_item(reader, item, (*path, i), reading) for i, item in enumerate(node.list))

    return read


def _item(reader: Reader, item: Node, path: Path, reading: Reading) -> Any:
    reading.origins.add(path, item)
    return reader(item, path, reading)


def mapped(
    reader: Reader, *, keys: str = r".+", what: str = "name", hint: str | None = None, short: bool = False
) -> Reader:
    """A mapping whose keys the user chooses. `short`: a list would do as well (`canonical` made a mapping of it)."""
    regex = re.compile(keys, re.DOTALL)

    def read(node: Node, path: Path, reading: Reading) -> dict[str, Any]:
        if not node.is_map:
            near = f"did you mean [{shorten(node.text)}]?" if short and node.text else None
            expected("a list or a mapping" if short else "a mapping", node, reading, near)
            return {}
        made: dict[str, Any] = {}
        for name, child in node.items.items():
            if not regex.fullmatch(name):
                reading.report.problem(child, f"{shorten(name)!r} is no {what}", hint, at_key=True)
            made[name] = _item(reader, child, (*path, name), reading)
        return made

    return read


def nullable(reader: Reader) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> Any:
        return None if node.value is None else reader(node, path, reading)

    return read


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with keys of ours -> a dataclass. Also a Reader.

    `fields`: canonical key -> reader; keys equal the dataclass's fields. `required` must be there. `also`: words that
    are offered as near misses besides. `words`: other tools' words -> hint. `not_built`: known, rejected.
    """

    make: Callable[..., Any]
    fields: Mapping[str, Reader]
    what: str
    required: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    not_built: tuple[str, ...] = ()
    not_built_hints: Mapping[str, str] = field(default_factory=dict)
    named: bool = False  # the record carries the key it stands under as `name`
    extensions: bool = False  # `x-*` allowed
    placeholders: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)  # key -> field, where they differ
    checked: tuple[str, ...] = ()  # keys that are only checked: what they say is in other fields already

    def __call__(self, node: Node, path: Path, reading: Reading) -> Any:
        values: dict[str, Any] = {"name": path[-1]} if self.named else {}
        if not node.is_map:
            expected(self.what, node, reading, self._misplaced(node, path))
        values |= {key: self.placeholders.get(key, "") for key in self.required}
        meant: list[str] = []
        for key, child in node.items.items():
            reader = self.fields.get(key)
            if reader is None:
                meant.append(self._unknown(key, child, reading) or "")
                continue
            reading.origins.add((*path, key), child)
            if child.value is None:
                continue
            value = reader(child, (*path, key), reading)
            if key not in self.checked:
                values[self.stored.get(key, key)] = value
        for key in self.required if node.is_map else ():
            # A word that was meant to be this key is told already.
            if node.get(key) is None and not any(f"'{key}'" in hint for hint in meant):
                reading.report.problem(node, f"'{key}' is missing", self._instead(node), at_key=True)
        return self.make(**values)

    def _misplaced(self, node: Node, path: Path) -> str | None:
        """`services: {web: null, image: ...}` is what a missing indentation looks like."""
        if self.named and path[-1] in (*self.fields, *self.also):
            return f"indent it: '{path[-1]}' belongs to what stands above it"
        return "is what follows indented?" if self.named and node.value is None else None

    def _instead(self, node: Node) -> str | None:
        return None if node.items else f"has {found(tuple(self.fields))}"

    def _unknown(self, key: str, child: Node, reading: Reading) -> str | None:
        if self.extensions and key.startswith("x-"):
            return None
        if key in self.not_built:
            reading.report.problem(child, "not built yet", self.not_built_hints.get(key), at_key=True)
            return None
        known: Sequence[str] = (*self.fields, *self.also)
        near = did_you_mean(key, known) if key.lower() in known else self.words.get(key.lower())
        hint = near or did_you_mean(key, known)
        if hint is None and (later := did_you_mean(key, self.not_built)):
            hint = f"{later} It is not built yet"
        if hint is None and len(known) <= 12:
            hint = f"known here: {', '.join(known)}" if known else None
        reading.report.problem(child, "unknown key", hint, at_key=True)
        return hint
