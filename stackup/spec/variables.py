"""The variables that `$NAME` stands for: the caller's environment, then the env files, each with where it was said.

No YAML is needed for it: a verb that only wants the stack's name reads `.env` as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stackup.errors import BadInput, Place
from stackup.spec.decoding import MAX_BYTES, decode
from stackup.spec.discover import File
from stackup.spec.report import Report

if TYPE_CHECKING:
    from stackup.spec.expressions import Expressions
    from stackup.spec.interpolate import Use
    from stackup.spec.sources import Variable

ENVIRONMENT = "the environment"
MAX_READ = 16 << 20  # characters of all env files of all projects, each time one is read; a line costs 32 more
MAX_MADE = 16 << 20  # characters that all texts of a stack may become by their variables


class Variables:
    """`environment` wins over `files`, a later file over an earlier one. `beneath` adds what an included project's own
    files say, which is weaker. What files mention is kept, for `mentioned`."""

    def __init__(
        self, environment: Mapping[str, str], files: Sequence[File] = (), report: Report | None = None
    ) -> None:
        self._environment = environment
        self._said: dict[str, tuple[str, str]] = {}  # by us, as COMPOSE_PROJECT_NAME
        self._above: Variables | None = None
        self._files: dict[str, tuple[str, str]] = {}
        self._used: dict[str, Variable] = {}
        self.account = Account(MAX_MADE)
        for file in files:
            self._read(file, report or Report())

    def _read(self, file: File, report: Report) -> None:
        from stackup.spec import dotenv  # where there is no such file, its price is not paid

        text = decode(file.read(MAX_BYTES + 1), file.shown)
        self.account.unread -= len(text) + 32 * text.count("\n")
        if self.account.unread < 0:
            raise BadInput(f"{file.shown}: the env files of all projects are too many, or too long")
        entries = dotenv.parse(text, file.shown, self._outside, report, before=self._files.get)
        self._files |= {name: (entry.value, entry.where) for name, entry in entries.items()}

    def get(self, name: str) -> tuple[str, str] | None:
        """The value, and where it was said: `the environment`, `.env:3`. None where it is not set."""
        return self._outside(name) or self._files.get(name)

    def _outside(self, name: str) -> tuple[str, str] | None:
        """What is stronger than the files."""
        if (said := self._said.get(name)) is not None:
            return said
        if self._above is not None:
            return self._above.get(name)
        value = self._environment.get(name)
        return None if value is None else (value, ENVIRONMENT)

    def set(self, name: str, value: str, where: str) -> None:
        """A variable that follows from something else, stronger than all."""
        self._said[name] = (value, where)

    def beneath(self, files: Sequence[File], report: Report) -> Variables:
        """The variables of an included project: these, and where they say nothing, `files`."""
        made = Variables({})
        made._above, made._used, made.account = self, self._used, self.account
        for file in files:
            made._read(file, report)
        return made

    def in_files(self) -> Iterable[str]:
        """The names that env files set: what a misspelt name was probably meant to be."""
        return self._files if self._above is None else {**dict.fromkeys(self._above.in_files()), **self._files}

    def mention(self, use: Use) -> None:
        """Remember that a file uses a variable. The first default and the first alternative that are seen stay."""
        from stackup.spec.sources import Variable

        known = self._used.get(use.name)
        if known is None:
            value, where = self.get(use.name) or (None, None)
            known = self._used[use.name] = Variable(name=use.name, value=value, where=where)
        kind = use.operator[-1:]
        if kind == "-" and known.default is None:
            self._used[use.name] = replace(known, default=use.operand)
        elif kind == "+" and known.alternative is None:
            self._used[use.name] = replace(known, alternative=use.operand)
        elif kind == "?" and not known.required:
            self._used[use.name] = replace(known, required=True)

    def mentioned(self) -> dict[str, Variable]:
        """Every variable that the files use, by name, in the order in which they were met."""
        return dict(self._used)


class Account:
    """Shared by all that load one stack: how many characters more may be made, what evaluates expressions, and which
    variables were told not to be set at which places."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.unread = MAX_READ
        self.expressions: Expressions | None = None
        self.told: set[tuple[str, Place]] = set()


def not_utf_8(value: str) -> bool:
    """A value of the environment may hold bytes that are no text."""
    if value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
