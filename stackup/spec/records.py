"""A mapping with keys of ours, as a table: which reader each key has, and what becomes of the keys that have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stackup.spec import dialects
from stackup.spec.model import Path
from stackup.spec.nodes import Node
from stackup.spec.readers import AnyReader, Reading, expected, names
from stackup.spec.report import found
from stackup.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from stackup.spec.unheeded import Unheeded


@dataclass(eq=False, repr=False, slots=True)  # a millisecond less than all that a dataclass can do
class Record:
    """A mapping with keys of ours -> a dataclass (or whatever `make` makes). Also a Reader.

    `name` is what descriptions and the schema call it, `place` where it stands in the table of statuses. `fields`:
    canonical key -> reader; keys equal the dataclass's fields. `written`: keys that a file may have here and that
    `canonical` and `normalise` take away; `made`: keys that only they make. `required` must be there, unless one of
    `excused` is. `words`: other tools' words -> hint. `x-*` is kept as it is.
    """

    name: str
    make: Callable[..., Any]
    fields: Mapping[str, AnyReader]
    what: str = "a mapping"
    required: tuple[str, ...] = ()
    place: str = ""
    written: Mapping[str, AnyReader] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    excused: tuple[str, ...] = ()
    named: bool = False  # the record carries the key it stands under as `name`
    placeholders: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)  # key -> field, where they differ
    checked: tuple[str, ...] = ()  # keys that are only checked: what they say is in other fields already

    def __call__(self, node: Node, path: Path, reading: Reading) -> Any:
        return self.read(node, path, reading)

    def read(self, node: Node, path: Path, reading: Reading) -> Any:
        values: dict[str, Any] = {"name": path[-1]} if self.named else {}
        if not node.is_map:
            expected(self.what, node, reading, self._misplaced(node, path))
        values |= {key: self.placeholders.get(key, "") for key in self.required}
        meant: list[str] = []
        for key, child in node.items.items():
            reader = self.fields.get(key)
            if reader is None:
                meant.append(self._other(key, child, path, reading) or "")
                continue
            reading.origins.add((*path, key), child)
            if child.value is None:
                continue
            value = reader.read(child, (*path, key), reading)
            if key not in self.checked:
                values[self.stored.get(key, key)] = value
        for key in self.required if node.is_map and not any(map(node.get, self.excused)) else ():
            # A word that was meant to be this key is told already.
            if node.get(key) is None and not any(f"'{key}'" in hint for hint in meant):
                reading.report.problem(node, f"'{key}' is missing", self._instead(node), at_key=True)
        return self.make(**values)

    def _misplaced(self, node: Node, path: Path) -> str | None:
        """`services: {web: null, image: ...}` is what a missing indentation looks like."""
        if self.named and path[-1] in self.known:
            return f"indent it: '{path[-1]}' belongs to what stands above it"
        return "is what follows indented?" if self.named and node.value is None else None

    def _instead(self, node: Node) -> str | None:
        return None if node.items else f"has {found(tuple(self.fields))}"

    @property
    def known(self) -> Sequence[str]:
        """The keys that are obeyed."""
        return (*(key for key in self.fields if key not in self.made), *self.written)

    @property
    def unheeded(self) -> Mapping[str, Unheeded]:
        """The keys that are warned or rejected, as `support` says."""
        from stackup.spec import unheeded  # only for the files that hold such a key

        return unheeded.KEYS.get(self.name, {})

    def _other(self, key: str, child: Node, path: Path, reading: Reading) -> str | None:
        """A key that is not obeyed, or not known; the hint that was given."""
        if key.startswith("x-"):
            reading.origins.add((*path, key), child)
            reading.extensions[(*path, key)] = child.plain()
            return None
        if (unheeded := self.unheeded.get(key)) is not None:
            self._unheeded(key, unheeded, child, (*path, key), reading)
            return None
        known = dialects.without_ours(self.name, self.known, child)
        near = did_you_mean(key, known) if key.lower() in known else None
        near = near or dialects.instead(self.name, key, child) or self.words.get(key.lower())
        if not path and {"image", "build", "command"} & child.items.keys():
            near = f"is '{key}' a service? indent it under 'services'"
        others = [word for word in self.unheeded if word != "version"]  # which nobody needs
        hint = near or did_you_mean(key, [*known, *others]) or names(known if path else [*known, *others])
        reading.report.problem(child, "unknown key", hint, at_key=True)
        return hint

    def _unheeded(self, key: str, unheeded: Unheeded, child: Node, path: Path, reading: Reading) -> None:
        from stackup.spec import support  # as above

        if child.value is None:
            return
        value = unheeded.reader.read(child, path, reading)
        if any(value == harmless and type(value) is type(harmless) for harmless in unheeded.unless):
            return
        entry = support.at(self.place, key)
        if entry.status == "rejected":
            reading.report.problem(child, entry.why, entry.hint, at_key=True)
            return
        reading.origins.add(path, child)
        reading.warned[path] = untupled(value)
        reading.report.warn_alike(child, support.told(entry), at_key=True)


def untupled(value: Any) -> Any:
    """The same in lists, as JSON has it."""
    if isinstance(value, dict):
        return {key: untupled(item) for key, item in value.items()}
    return [untupled(item) for item in value] if isinstance(value, tuple | list) else value
