"""The stack file as a `Stack`: the phases in their order.

    discover      which file
    decode        bytes -> text
    parse         text -> nodes that know their place (nodes.py)
    canonical     short forms -> long ones (canonical.py)
    normalise     synonyms become one, what is implied is said (normalise.py)
    environment   env_file and the caller's variables (environment.py)
    inherit       what the file's images say about health (inherit.py)
    validate      nodes -> dataclasses; types, unknown keys, names, sizes (validate.py)
    consistency   references, cycles, duplicates, absent files (consistency.py)

All phases up to `validate` turn nodes into nodes. Interpolation, `include`, `extends` and the merging of several files
belong between `parse` and `environment`: canonical trees are what is merged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from stackup.errors import BadInput, Place
from stackup.spec import canonical, consistency, discover, environment, inherit, normalise, validate
from stackup.spec.forms import Context
from stackup.spec.model import Loaded, Stack
from stackup.spec.nodes import MAX_BYTES, Node, decode, parse
from stackup.spec.origins import Origins
from stackup.spec.readers import Reading
from stackup.spec.report import Report

_NAME_HINT = "small letters, digits, _ and -, beginning with a letter or digit, 63 at most"


def load(
    folder: str,
    files: Sequence[str] = (),
    *,
    project_name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The stack of `folder` (or of the nearest folder above that has a stack file), or of the one file in `files`.

    `project_name` (-p) wins over the file's `name`, which wins over the folder's. `environment` is what bare variables
    are taken from, by default the process's own. Reads files, changes nothing.

    Raises SpecErrors with every problem of the file, BadInput where there is no file or no text in it.
    """
    report = Report()
    path, shown = discover.find(folder, files, report)
    text = decode(_read(path, shown), shown)
    return load_text(text, path, shown, project_name=project_name, environment=environment, report=report)


def load_text(
    text: str,
    path: str,
    shown: str = "stack.yaml",
    *,
    project_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> Loaded:
    """The stack in `text`, as if it stood in the file `path` (absolute), called `shown` in messages."""
    report = report or Report()
    folder = os.path.dirname(path)
    ctx = Context(folder, os.environ if environment is None else environment, report)
    root = _document(text, shown, report)
    raw = root.plain()
    _notices(root, report)
    tree = normalise.normalise(canonical.canonical(root, ctx), ctx)
    _resolve(tree, ctx)
    origins = Origins()
    values = validate.validate(tree, Reading(report, origins))
    name = _name(values.pop("name", None), project_name, folder, origins, report)
    stack = Stack(name=name, folder=folder, file=path, **values)
    if not stack.services and not stack.images and not report.failed:
        report.problem(root, "neither 'services' nor 'images': nothing to build or to run")
    consistency.check(stack, origins, ctx)
    _without_effect(stack, origins, report)
    report.finish()
    return Loaded(stack=stack, origins=origins.positions(), warnings=report.warnings, raw=raw, lines=report.lines)


def _read(path: str, shown: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{shown} cannot be read: {error.strerror or error}") from error


def _document(text: str, shown: str, report: Report) -> Node:
    root = parse(text, shown, report)
    if root is None or root.value is None:
        raise BadInput(f"{shown} is empty", hint="it needs 'images' and 'services'", place=Place(shown, 1))
    if not root.is_map:
        report.problem(root, f"expected a mapping with 'images' and 'services', found {root.describe()}")
        report.finish()
    return root


def _notices(root: Node, report: Report) -> None:
    if "version" in root.items:
        report.warn(root.items["version"], "has no effect; it can go", at_key=True)
    for node in root.walk():
        if isinstance(node.value, str) and "${" in node.value:
            report.warn(node, "'${...}' is not replaced by a variable's value yet; it stays as it is written")
            return


def _without_effect(stack: Stack, origins: Origins, report: Report) -> None:
    for name, service in stack.services.items():
        if service.stdin_open and not service.tty:
            node = origins.node("services", name, "stdin_open")
            report.warn(node, "has no effect yet: the input is empty; 'tty: true' gives a terminal that stays open")


def _resolve(tree: Node, ctx: Context) -> None:
    environment.resolve(tree, ctx)
    inherit.healthchecks(tree)


def _name(written: str | None, given: str | None, folder: str, origins: Origins, report: Report) -> str:
    if given is not None:
        if not re.fullmatch(validate.STACK_NAME, given):
            raise BadInput(f"{given!r} is no name of a stack", hint=_NAME_HINT)
        return given
    if written:
        if not re.fullmatch(validate.STACK_NAME, written):
            report.problem(origins.node("name"), f"{written!r} is no name of a stack", _NAME_HINT)
        return written
    return discover.derived_name(folder)
