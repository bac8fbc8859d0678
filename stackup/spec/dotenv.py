"""Files of variables: `.env`, --env-file, `env_file`, `label_file`. The format is Compose's.

    # a comment                     NAME=value   NAME: value   export NAME=value
    NAME                            the variable of the same name, where there is one
    A=text $B # comment             up to ` #`, blanks at the end cut off, variables put in
    A="text $B"                     may span lines; \\n \\r \\t \\a \\b \\f \\v \\\\ \\" \\$ \\0ooo; variables put in
    A='text $B'                     may span lines; as it stands, but for \\'

A name is letters, digits and _ . - [ ]. A variable inside is looked up outside first, then among the lines above it,
then in the files before. Two oddities are Compose's: behind a closing quote and a blank another NAME=value may follow;
and a value that begins with `#` is no comment. Both are warned of. `raw` files know neither quotes nor variables:
`NAME=value`, as it stands.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from stackup.classes import dataclass
from stackup.errors import Place
from stackup.spec.interpolate import Lookup, Use, Wrong, interpolate
from stackup.spec.report import Report
from stackup.spec.sources import Source

MAX_VARIABLES = 100_000
MAX_LENGTH = 4 << 20  # characters of all values of a file: a line may repeat the one above it many times
_BLANKS = re.compile(r"\s*")
_EXPORT = re.compile(r"export[^\S\n]+(?=[^\s=:])")
_KEY = re.compile(r"[^=:\n]*")
_NAME = re.compile(r"[\w.\-\[\]]+")
_MARGIN = re.compile(r"[^\S\n]*")
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL),
}
_ESCAPE = re.compile(r"\\(?:0([0-7]{3})|(.))", re.DOTALL)
_ESCAPED = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "$": "$$",
}
_SHORT = 20  # characters of what is no name; of more, only the beginning is told: it may be a line of a key


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable of a file. `where`: `a.env:3`, or where a name without a value found one."""

    value: str
    line: int
    column: int
    where: str
    sources: tuple[Source, ...] = ()


def parse(
    text: str, shown: str, lookup: Lookup, report: Report, *, raw: bool = False, before: Lookup = lambda name: None
) -> dict[str, Entry]:
    """The variables of a file's text; a name that stands alone and is not set outside is left out.

    `lookup`: what is set outside; `before`: what the files before this one say. What is wrong goes to `report`, with
    its place and without its line: the file holds secrets, and messages end up in logs. The rest is read all the same.
    """
    reader = _Reader(text.removeprefix("\ufeff"), shown, lookup, before, report)
    (reader.raw if raw else reader.read)()
    return reader.found


class _Reader:
    def __init__(self, text: str, shown: str, lookup: Lookup, before: Lookup, report: Report) -> None:
        self.text = text
        self.shown = shown
        self.outside = lookup
        self.before = before
        self.report = report
        self.found: dict[str, Entry] = {}
        self.left = MAX_LENGTH
        self.lines: list[int] = []  # where each begins
        self.seen = 0

    # --- where

    def place(self, offset: int) -> Place:
        if not self.lines:
            self.lines = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect.bisect_right(self.lines, offset)
        return Place(self.shown, line, offset - self.lines[line - 1] + 1)

    def problem(self, offset: int, message: str, hint: str | None = None) -> None:
        self.report.problem_at(self.place(offset), "", message, hint)

    def warn(self, offset: int, message: str) -> None:
        self.report.warn_at(self.place(offset), "", message)

    # --- statements

    def read(self) -> None:
        position: int | None = 0
        while position is not None and (position := self.next(position)) < len(self.text):
            if self.too_many(position):
                return
            position = self.statement(position)

    def too_many(self, position: int) -> bool:
        self.seen += 1
        if self.seen > MAX_VARIABLES:
            self.problem(position, f"more than {MAX_VARIABLES} variables in one file")
        return self.seen > MAX_VARIABLES

    def next(self, position: int) -> int:
        """Where the next statement begins: behind blanks, empty lines and comments."""
        while True:
            position = self.end_of(_BLANKS, position)
            if not self.text.startswith("#", position):
                return position
            position = self.end_of_line(position)

    def end_of(self, pattern: re.Pattern[str], position: int) -> int:
        match = pattern.match(self.text, position)
        return match.end() if match else position

    def end_of_line(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def statement(self, position: int) -> int | None:
        """One variable; where to go on, or None where the rest cannot be understood."""
        start = self.end_of(_EXPORT, position)
        place = self.place(start)
        end = self.end_of(_KEY, start)
        name = self.text[start:end].rstrip()
        if not _NAME.fullmatch(name):
            self.bad_name(start, name, self.text[end : end + 1])
            return self.end_of_line(end)
        if self.text[end : end + 1] in ("", "\n"):
            if (found := self.outside(name)) is not None:
                self.found[name] = Entry(found[0], place.line, place.column, found[1], (Source(name, found[1]),))
            return end
        return self.value(name, place, self.end_of(_MARGIN, end + 1))

    def bad_name(self, start: int, name: str, mark: str) -> None:
        shown = _begins(name)
        hint = "write NAME=value"
        if not name:
            self.problem(start, f"no name before '{mark}'", hint)
        elif mark in ("", "\n"):
            self.problem(start, f"{shown!r} is no variable", hint)
        else:
            good = _NAME.match(name)
            self.problem(start + (good.end() if good else 0), f"{shown!r} is no name of a variable",
                         "letters, digits and _ . - [ ], no blanks")  # fmt: skip

    def value(self, name: str, place: Place, start: int) -> int | None:
        quote = self.text[start : start + 1]
        if quote not in _QUOTED:
            end = self.end_of_line(start)
            value = self.text[start:end].partition(" #")[0].rstrip()
            if value.startswith("#"):
                self.warn(start, f"'{name}' begins with '#': a comment needs a value before it, or its own line")
            self.put(name, place, value, start, end)
            return end
        match = _QUOTED[quote].match(self.text, start)
        if match is None:
            self.problem(start, f"the quote in the value of '{name}' is not closed")
            return None
        if quote == "'":
            self.add(name, place, match[1].replace("\\'", "'") if "\\'" in match[1] else match[1])
        else:
            value = _ESCAPE.sub(_unescaped, match[1]) if "\\" in match[1] else match[1]
            self.put(name, place, value, start, match.end())
        return self.behind(match.end())

    def behind(self, end: int) -> int:
        """What follows a closing quote: nothing, a comment, or another variable."""
        following = self.end_of(_MARGIN, end)
        if self.text[following : following + 1] in ("", "\n", "#"):
            return following
        if following == end or not _NAME.match(self.text, following):
            self.problem(end, "text behind the closing quote", "put the whole value into the quotes")
            return self.end_of_line(following)
        self.warn(following, "what stands behind the closing quote is read as another variable")
        return following

    def put(self, name: str, place: Place, text: str, start: int, end: int) -> None:
        """Add a value with its variables put in."""
        if "$" not in text:
            self.add(name, place, text)
            return
        made = interpolate(text, self.lookup, self.left)
        for use, where in zip(made.unset, self.places(made.unset, text, start, end), strict=True):
            self.report.warn_at(where, "", f"the variable {use.name} is not set: nothing stands for it")
        for wrong, where in zip(made.wrong, self.places(made.wrong, text, start, end), strict=True):
            self.report.problem_at(where, "", f"{wrong.message} (in the value of '{name}')", wrong.hint)
        self.add(name, place, made.text, made.sources)

    def lookup(self, name: str) -> tuple[str, str] | None:
        if (outside := self.outside(name)) is not None:
            return outside
        if (above := self.found.get(name)) is not None:
            return above.value, above.where
        return self.before(name)

    def places(self, mentions: Sequence[Use | Wrong], text: str, start: int, end: int) -> list[Place]:
        """Where mentions stand in the file; escapes may have moved them, so what is written there is looked for."""
        found = []
        for mention in mentions:
            written = text[mention.offset : mention.offset + 8].partition("\n")[0]
            at = self.text.find(written, start, end)
            start = at if at >= 0 else start
            found.append(self.place(start))
        return found

    def add(self, name: str, place: Place, value: str, sources: tuple[Source, ...] = ()) -> None:
        self.left = max(self.left - len(value), 0)
        if "\0" in value:
            self.report.problem_at(place, "", f"a zero byte in the value of '{name}'")
            value = value.replace("\0", "")
        where = f"{self.shown}:{place.line}"
        self.found[name] = Entry(value, place.line, place.column, where, sources)

    # --- raw

    def raw(self) -> None:
        position = 0
        while position < len(self.text):
            end = self.end_of_line(position)
            start = self.end_of(_MARGIN, position)
            line = self.text[start:end].removesuffix("\r")
            if line and not line.startswith("#"):
                if self.too_many(start):
                    return
                self.raw_line(line, start)
            position = end + 1

    def raw_line(self, line: str, start: int) -> None:
        name, equals, value = line.partition("=")
        place = self.place(start)
        if not name:
            self.problem(start, "no name before '='", "write NAME=value")
        elif name.split() != [name]:
            self.problem(start, f"{_begins(name)!r} is no name of a variable: it has a blank in it")
        elif equals:
            self.add(name, place, value)
        elif (found := self.outside(name)) is not None:
            self.found[name] = Entry(found[0], place.line, place.column, found[1], (Source(name, found[1]),))


def _begins(name: str) -> str:
    return name if len(name) <= _SHORT else name[:8] + "..."


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        code = int(match[1], 8)
        return chr(code) if code < 256 else match[0]
    return _ESCAPED.get(match[2], match[0])
