"""What the phases of the loader share: the problems and warnings found so far, and the text they point into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackup.errors import Place, Problem, SpecErrors

if TYPE_CHECKING:
    from stackup.spec.nodes import Node, Source

_PLAIN_KEY = r"[A-Za-z0-9_/-]+"  # compiled by the first message
_LONGEST_LINE = 500
_LONGEST_PART = 100  # of a path
_LONGEST_MESSAGE = 2000
_MOST_NAMES = 4  # of others that are warned of alike
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML counts as the end of a line


def dotted(path: Sequence[str | int]) -> str:
    """`services.web.ports[0]`; a key with other characters is quoted: `labels["a.b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(_PLAIN_KEY, part):
            part = _cut(part, _LONGEST_PART)
            text += f".{part}" if text else part
        else:
            text += f'["{_cut(part, _LONGEST_PART)}"]'
    return text


def _cut(text: str, limit: int) -> str:
    """A key or a value may be as long as a file; ninety thousand messages with it in them are too much to keep."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def told(sources: Sequence[Source]) -> str:
    """`$PORT from .env:3`: the variables that a value was made of."""
    return ", ".join(
        (f"${name}" if name.isidentifier() else name) + (f" from {where}" if where else ", which is not set")
        for name, where in dict.fromkeys(sources)
    )


def shown(line: str) -> str | None:
    """A line of a file as it may be printed above a caret; None where it is too long to be of use."""
    if len(line) > _LONGEST_LINE:
        return None
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line)


class Report:
    """Collects problems instead of stopping at the first. `finish` raises them all, in the order of the file."""

    def __init__(self) -> None:
        self._sources: dict[str, list[str]] = {}
        self._problems: dict[tuple[Place, str], Problem] = {}
        self._warnings: dict[str, dict[str, None]] = {}  # and those whom it is said of, where it may be several
        self._alike: dict[tuple[str, str], dict[str, None]] = {}
        self._spoilt: set[tuple[str, str]] = set()

    def add_source(self, file: str, text: str) -> None:
        """Keep a file's text, so that its lines can be shown."""
        self._sources[file] = _BREAK.split(text)

    @property
    def lines(self) -> Mapping[str, Sequence[str]]:
        """The text of every file read so far, by the name it is shown with."""
        return self._sources

    def line_of(self, place: Place) -> str | None:
        lines = self._sources.get(place.file, [])
        if not 1 <= place.line <= len(lines):
            return None
        return shown(lines[place.line - 1])

    dotted = staticmethod(dotted)

    def problem(self, node: Node, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        """A mistake at a value (or at its key). `hint` completes the sentence: `did you mean 'image'?`."""
        path = dotted(node.path)
        if not at_key:
            if (node.file, path) in self._spoilt:
                return
            if node.sources:
                message += f" ({told(node.sources)})"
        self.problem_at(node.key_place if at_key else node.place, path, message, hint)

    def spoil(self, file: str, path: Sequence[str | int]) -> None:
        """What was to stand at a path could not be made, and that is told: what is there instead is no news."""
        self._spoilt.add((file, dotted(path)))

    def problem_at(self, place: Place, path: str, message: str, hint: str | None = None) -> None:
        message, hint = _cut(message, _LONGEST_MESSAGE), hint and _cut(hint, _LONGEST_MESSAGE)
        self._problems.setdefault((place, path), Problem(place, path, message, hint, self.line_of(place)))

    def warn(self, node: Node, message: str, *, at_key: bool = False) -> None:
        self.warn_at(node.key_place if at_key else node.place, dotted(node.path), message)

    def warn_at(self, place: Place, path: str, message: str) -> None:
        message = _cut(message, _LONGEST_MESSAGE)
        self.warn_plainly(f"{place}: {path}: {message}" if path else f"{place}: {message}")

    def warn_plainly(self, message: str) -> None:
        self._warnings.setdefault(message, {})

    def warn_alike(self, node: Node, message: str, *, at_key: bool = False) -> None:
        """The same of a key, whoever has it, is one warning: at the first place, with the names of a few others."""
        depth = max((index for index, part in enumerate(node.path) if isinstance(part, str)), default=0)
        if depth == 0:
            self.warn(node, message, at_key=at_key)
            return
        owner, key = dotted(node.path[:depth]), str(node.path[depth])
        if (key, message) not in self._alike:
            place = node.key_place if at_key else node.place
            owners = self._warnings.setdefault(f"{place}: {dotted(node.path)}: {message}", {})
            self._alike[key, message] = owners
        self._alike[key, message][owner] = None

    @contextmanager
    def without_warnings(self) -> Iterator[None]:
        """What is looked through only for mistakes: nobody is warned of what does not take part."""
        before = self._warnings, self._alike
        self._warnings, self._alike = {}, {}
        yield
        self._warnings, self._alike = before

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(line + _and_more(list(owners)[1:]) for line, owners in self._warnings.items())

    @property
    def failed(self) -> bool:
        return bool(self._problems)

    def finish(self) -> None:
        """SpecErrors with everything found so far, if anything was."""
        if self._problems:
            raise SpecErrors(tuple(_once(self._problems.values())))


def _once(problems: Iterable[Problem]) -> Iterator[Problem]:
    """A mistake behind an anchor is one, whoever uses it: with the names of a few others."""
    alike: dict[tuple[Place, str, str | None], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.place, problem.message, problem.hint), []).append(problem)
    for first, *others in alike.values():
        more = _more(list(dict.fromkeys(_apart(problem.path, first.path) for problem in others)))
        message = f"{first.message} ({more})" if more else first.message
        yield Problem(first.place, first.path, message, first.hint, first.source)


def _apart(path: str, other: str) -> str:
    """A path up to where it is another one: `services.b` of `services.b.logging`, beside `services.a.logging`."""
    parts, others = path.split("."), other.split(".")
    while parts and others and parts[-1] == others[-1]:
        del parts[-1], others[-1]
    return ".".join(parts)


def _and_more(names: Sequence[str]) -> str:
    return f"; {_more(names)}" if names else ""


def _more(names: Sequence[str]) -> str:
    shown = names[:_MOST_NAMES]
    return f"and {len(names)} more: {', '.join(shown)}{', ...' if len(shown) < len(names) else ''}" if names else ""


def found(names: Mapping[str, object] | Sequence[str], limit: int = 8) -> str:
    """`a, b, c`: names for a hint, shortened where they are many."""
    ordered = sorted(names)
    return ", ".join(ordered[:limit]) + (", ..." if len(ordered) > limit else "")
