"""Every error that reaches a user, in one tree.

    StackupError            1   something failed
    ├── BadInput            2   the stack file or the command line is wrong; nothing was touched
    │   └── SpecErrors      2   all problems of the stack file at once
    ├── Unsupported         3   this kernel, user or platform lacks something that is needed
    ├── KernelError         1   a system call refused; carries errno
    ├── ProgramFailed       1   a program that we ran ended badly
    ├── NotFound            1   no such image, service, container
    ├── Conflict            1   somebody else holds it: a taken port, a lock, a changed state
    ├── Damaged             1   what is on disk is not what was written
    └── Interrupted       130   the user pressed Ctrl-C

The number is the exit code. A message is lower-case, has no final stop and names the path or value concerned;
the hint says what to do about it. Errors cross process borders as plain values (`to_plain`, `from_plain`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from stackup.classes import dataclass

_UNUSUAL = re.compile(r"[^\x20-\x7e]")


def printable(text: str, keep: str = "", written: Callable[[str], str] = ascii) -> str:
    """`text` as a terminal may get it: what a name from a file would make it do (colours, other lines, the order of
    letters) stands there as an escape sequence. `keep`: characters that stay, as line feeds of our own. `written`: a
    character as its escape sequence in quotes."""
    if text.isprintable():
        return text

    def shown(match: re.Match[str]) -> str:
        return match[0] if match[0].isprintable() or match[0] in keep else written(match[0])[1:-1]

    return _UNUSUAL.sub(shown, text)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file the user wrote: line and column count from 1, in characters."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class StackupError(Exception):
    """Base of all errors a user can meet. `resource` is an address such as `service:web`."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, resource: str | None = None, place: Place | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.resource = resource
        self.place = place

    def to_plain(self) -> dict[str, Any]:
        place = self.place
        return {
            "type": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "resource": self.resource,
            "place": [place.file, place.line, place.column] if place else None,
            "errno": getattr(self, "errno", None),
        }


class BadInput(StackupError):
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a stack file: where, at which key (`services.web.resorces`), what, and what to do."""

    place: Place
    path: str
    message: str
    hint: str | None = None
    source: str | None = None  # the text of that line, for the caret

    def __str__(self) -> str:
        head = f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"
        head = printable(f"{head}; {self.hint}" if self.hint else head)
        if self.source is None:
            return head
        # A tab stays a tab under a tab, so that the caret stands below its column on any terminal.
        indent = "".join("\t" if c == "\t" else " " for c in self.source[: self.place.column - 1])
        return f"{head}\n    {self.source}\n    {indent}^"


class SpecErrors(BadInput):
    """All problems of a stack file, in the order of the file. The message tells the first `most_shown` of them."""

    most_shown: ClassVar[int] = 500

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: p.place))
        shown = [str(problem) for problem in self.problems[: self.most_shown]]
        if more := len(self.problems) - len(shown):
            shown.append(f"... and {more} more problems like these")
        super().__init__("\n".join(shown))


class Unsupported(StackupError):
    exit_code = 3


class KernelError(StackupError):
    """A system call refused. `message` tells the operation and its object, for example
    `mount overlay on /rootfs: No space left on device`."""

    def __init__(
        self, message: str, errno: int | None = None, *, hint: str | None = None, resource: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, resource=resource)
        self.errno = errno

    @classmethod
    def of(cls, doing: str, error: OSError, hint: str | None = None) -> KernelError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return cls(f"{doing}: {reason}", error.errno, hint=hint)


class ProgramFailed(StackupError):
    pass


class NotFound(StackupError):
    pass


class Conflict(StackupError):
    pass


class Damaged(StackupError):
    pass


class Interrupted(StackupError):
    exit_code = 130


def _tree(root: type[StackupError]) -> dict[str, type[StackupError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_plain(value: dict[str, Any]) -> StackupError:
    """The error that another process sent as `to_plain()`; an unknown type becomes a plain StackupError."""
    kind = _tree(StackupError).get(str(value.get("type")), StackupError)
    if kind is SpecErrors:
        kind = BadInput
    message = str(value.get("message"))
    hint, resource = value.get("hint"), value.get("resource")
    if kind is KernelError:
        return KernelError(message, value.get("errno"), hint=hint, resource=resource)
    where = value.get("place")
    return kind(message, hint=hint, resource=resource, place=Place(*where) if where else None)
