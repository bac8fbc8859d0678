"""The layers of an image, one frozen dataclass a kind, in canonical (long) form. Stdlib only.

`source` is as the user wrote it, relative to the stack file's folder; nothing is resolved here. Owners are `uid:gid`
in digits or names of the image's passwd; modes are octal text such as "0644", None: 0644, and 0755 for folders and
files that are executable at the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Literal

from stackup.classes import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A folder's contents, or a file. A target that ends in `/` keeps a file's name."""

    kind: ClassVar[str] = "copy"
    source: str
    target: str
    owner: str = "0:0"
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file with the content written in the stack file."""

    kind: ClassVar[str] = "file"
    target: str
    content: str
    owner: str = "0:0"
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A Jinja2 file, rendered with `vars` (sandboxed, strict)."""

    kind: ClassVar[str] = "template"
    source: str
    target: str
    vars: Mapping[str, Any] = field(default_factory=dict)
    owner: str = "0:0"
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command in a sandbox on the layers so far. A string in the file is stored as `/bin/sh -ec STRING`."""

    kind: ClassVar[str] = "run"
    command: tuple[str, ...]
    network: Literal["none", "host"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPrograms:
    """This machine's programs with what they need to run. Ties the image to this machine."""

    kind: ClassVar[str] = "host"
    programs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


Layer = Copy | File | Template | Run | HostPrograms


def describe(layer: Layer) -> str:
    """One line for plans, progress and history, in the file's own words: `run python3 -m compileall -q /app`."""
    match layer:
        case Copy():
            return f"copy {layer.source} -> {layer.target}"
        case File():
            return f"file {layer.target}"
        case Template():
            return f"template {layer.source} -> {layer.target}"
        case Run():
            shell = layer.command[:2] == ("/bin/sh", "-ec")
            return "run " + _line(layer.command[2] if shell else " ".join(layer.command))
        case HostPrograms():
            return " ".join(("host", *layer.programs, *layer.files))


_LONGEST = 120  # characters


def _line(text: str) -> str:
    """The first line of a script, `...` where there is more."""
    first, _, rest = text.strip().partition("\n")
    more = bool(rest) or len(first) > _LONGEST
    return first[:_LONGEST].rstrip() + " ..." * more
