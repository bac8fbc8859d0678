"""Which files: the ones that were named, or what is found here or in a folder above; and a name from a folder's."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import Literal, NamedTuple

from stackup.errors import BadInput
from stackup.spec.decoding import regular
from stackup.spec.report import Report

# Per kind: names of the file, and of what is laid over it where no file was named. The first name there wins.
NAMES = ("stack.yaml", "stack.yml")
OVERRIDES = ("stack.override.yaml", "stack.override.yml")
COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
COMPOSE_OVERRIDES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)  # fmt: skip
STDIN = "-"
Dialect = Literal["stack", "compose"]

_HINT = "`stackup init` writes a first one for what lies in the folder; -C names another folder, -f a file"


class File(NamedTuple):
    """A file of the project: where it lies (absolute; "-" is the standard input) and what messages call it. `any_kind`:
    the caller named it, so it may be a pipe, as `<(...)` of a shell is; what a project names must be a regular file."""

    path: str
    shown: str
    any_kind: bool = False

    @property
    def dialect(self) -> Dialect:
        return dialect_of(self.path)

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of it. BadInput where it cannot be read."""
        known = _read_once.get(self.path)
        return self._read(limit) if known is None else known

    def _read(self, limit: int) -> bytes:
        try:
            if not self.any_kind and self.path != STDIN:
                return regular(self.path, limit)
            with open(0 if self.path == STDIN else self.path, "rb", closefd=self.path != STDIN) as file:
                data = file.read(limit)
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or self.path == STDIN:
                    _read_once[self.path] = data
                return data
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.shown} cannot be read: {getattr(error, 'strerror', None) or error}") from error


# What can be read only once (the standard input, `<(...)` of a shell); a verb may look at its files twice.
_read_once: dict[str, bytes] = {}


def dialect_of(path: str) -> Dialect:
    """A file whose base name has `compose` in it is a Compose file; every other is ours."""
    return "compose" if "compose" in os.path.basename(path) else "stack"


def given(folder: str, names: Sequence[str], said_by: str = "-f", *, by_caller: bool = True) -> tuple[File, ...]:
    """The files that somebody named, relative to `folder`. BadInput where one is not there. `by_caller`: not by a file
    of the project."""
    if names.count(STDIN) > 1:
        raise BadInput("the standard input can be read once", hint="name '-' once")
    if STDIN in names and not by_caller:
        raise BadInput(f"{said_by} in a file names the standard input", hint="-f - reads it")
    return tuple(File(STDIN, "stdin") if n == STDIN else _given(folder, n, said_by, by_caller) for n in names)


def _given(folder: str, name: str, said_by: str, by_caller: bool) -> File:
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.isdir(path):
        hint = f"for another folder: stackup -C {name} ..." if said_by == "-f" else None
        raise BadInput(f"{name or path} is a folder", hint=hint or f"{said_by} names files")
    if not os.path.exists(path):
        raise BadInput(f"no file {name}", hint=f"{near(name, path)}{said_by} names a stack file; looked for {path}")
    return File(path, name, by_caller)


def near(name: str, path: str) -> str:
    """`did you mean 'stack.yaml'? ` where a file of nearly this name lies in the folder of `path`, else nothing."""
    from stackup.spec.suggest import file_meant  # only for this

    meant = file_meant(name, path)
    return f"{meant} " if meant else ""


def upward(folder: str, report: Report, shown_from: str | None = None) -> tuple[File, ...]:
    """The stack file of `folder`, else of the nearest folder above, and its override. BadInput where there is none."""
    here = folder
    while True:
        there = [name for name in (*NAMES, *COMPOSE_NAMES) if os.path.isfile(os.path.join(here, name))]
        if there:
            return _chosen(here, there, shown_from or folder, report)
        above = os.path.dirname(here)
        if above == here:
            break
        here = above
    names = f"{', '.join((*NAMES, *COMPOSE_NAMES[:-1]))} and {COMPOSE_NAMES[-1]}"
    raise BadInput(f"no stack file: looked for {names} in {folder} and in every folder above it", hint=_HINT)


def _chosen(folder: str, there: Sequence[str], shown_from: str, report: Report) -> tuple[File, ...]:
    first, *others = (_file(folder, name, shown_from) for name in there)
    if others:
        is_, them = ("is", "it") if len(others) == 1 else ("are", "them")
        listed = ", ".join(os.path.basename(file.path) for file in others)
        report.warn_plainly(f"{first.shown} is used, {listed} beside it {is_} not; -f takes {them}")
    names = OVERRIDES if first.dialect == "stack" else COMPOSE_OVERRIDES
    overrides = [_file(folder, n, shown_from) for n in names if os.path.isfile(os.path.join(folder, n))]
    if overrides[1:]:
        listed = ", ".join(os.path.basename(file.path) for file in overrides[1:])
        report.warn_plainly(f"{overrides[0].shown} is used, {listed} beside it is not; -f takes several files")
    return (first, *overrides[:1])


def _file(folder: str, name: str, shown_from: str) -> File:
    path = os.path.join(folder, name)
    return File(path, os.path.relpath(path, shown_from))


def derived_name(folder: str) -> str:
    """A stack name from the folder's: small letters, other characters dropped. BadInput where nothing is left."""
    name = re.sub(r"[^a-z0-9_-]", "", os.path.basename(folder).lower()).lstrip("_-")[:63]
    if not name:
        raise BadInput(
            f"the folder {folder} gives the stack no name", hint="write 'name: ...' in the stack file, or use -p"
        )
    return name
