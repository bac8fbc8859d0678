"""Which stack file, and what the stack is called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from stackup.errors import BadInput
from stackup.spec.report import Report

NAMES = ("stack.yaml", "stack.yml")
_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_EXAMPLE = """write one, for example:
    images: {hello: {layers: [{host: {programs: [sh, echo, sleep]}}]}}
    services:
      hello: {image: hello, command: [sh, -c, "echo hello; sleep 1000"]}"""


def find(folder: str, files: Sequence[str], report: Report) -> tuple[str, str]:
    """(absolute path, name to show) of the stack file: the one given, else stack.yaml or stack.yml here or above.

    BadInput where there is none.
    """
    try:
        folder = os.path.abspath(folder)
    except FileNotFoundError:
        raise BadInput("the current folder is gone", hint="cd to another one, or name it with -C") from None
    if len(files) > 1:
        raise BadInput("more than one -f is not built yet", hint="put it all in one file")
    if files:
        path = os.path.normpath(os.path.join(folder, files[0]))
        if os.path.isdir(path):
            raise BadInput(f"{files[0]} is a folder", hint=f"for another folder: stackup -C {files[0]} ...")
        if not os.path.exists(path):
            raise BadInput(f"no file {files[0]}", hint=f"-f names a stack file; looked for {path}")
        return path, files[0]
    if not os.path.isdir(folder):
        raise BadInput(f"no folder {folder}", hint="-C names the folder of the stack file")
    return _upward(folder, report)


def _upward(folder: str, report: Report) -> tuple[str, str]:
    here = folder
    while True:
        there = [name for name in NAMES if os.path.isfile(os.path.join(here, name))]
        if there:
            path = os.path.join(here, there[0])
            shown = os.path.relpath(path, folder)
            if len(there) > 1:
                report.warn_plainly(f"{shown} is used, {there[1]} beside it is not")
            return path, shown
        above = os.path.dirname(here)
        if above == here:
            break
        here = above
    hint = _EXAMPLE
    for name in _COMPOSE:
        if os.path.isfile(os.path.join(folder, name)):
            hint = f"there is a {name}: stackup -f {name} ... reads it as far as its keys are built"
            break
    raise BadInput(
        f"no stack file: looked for {' and '.join(NAMES)} in {folder} and in every folder above it", hint=hint
    )


def derived_name(folder: str) -> str:
    """A stack name from the folder's: small letters, other characters dropped. BadInput where nothing is left."""
    name = re.sub(r"[^a-z0-9_-]", "", os.path.basename(folder).lower()).lstrip("_-")[:63]
    if not name:
        raise BadInput(
            f"the folder {folder} gives the stack no name", hint="write 'name: ...' in the stack file, or use -p"
        )
    return name
