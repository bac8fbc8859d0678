"""The stack file as a `Stack`: the phases in their order.

    project       which files, folder, variables, name (project.py, discover.py)
    of each document of each file, in order (files.py):
      decode      bytes -> text
      parse       text -> nodes that know their place (nodes.py)
      substitute  variables and vars put in (substitute.py)
      canonical   short forms -> long ones, relative paths to the project's folder (canonical.py)
      include     complete projects laid below it (include.py)
      extends     services completed by those that they extend (extends.py)
      merge       laid over the documents before it; `!reset` and `!override` (merge.py)
    unique        entries that a list has twice (unique.py)
    profiles      which services take part (profiles.py)
    normalise     synonyms become one, what is implied is said (normalise.py)
    environment   env_file and the caller's variables, of services that take part (environment.py)
    inherit       what the files' images say about health (inherit.py)
    validate      nodes -> dataclasses; types, unknown keys, names, sizes (validate.py)
    consistency   references, cycles, duplicates, absent files (consistency.py)

All phases up to `validate` turn nodes into nodes. `extends` comes before the merging of files, as in Compose: a service
is extended as its own file, and what that includes, know it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackup.errors import BadInput, Place
from stackup.spec import consistency, dialects, environment, inherit, normalise, profiles, project, unique, validate
from stackup.spec.discover import File
from stackup.spec.files import Files, Scope
from stackup.spec.forms import Context
from stackup.spec.model import Loaded, Stack
from stackup.spec.nodes import Node
from stackup.spec.origins import Origins
from stackup.spec.project import Options, Project
from stackup.spec.readers import Reading
from stackup.spec.report import Report


def load(
    folder: str = ".",
    files: Sequence[str] = (),
    *,
    project_name: str | None = None,
    project_directory: str | None = None,
    env_files: Sequence[str] = (),
    profiles: Sequence[str] = (),
    services: Sequence[str] = (),
    variables: Mapping[str, str] = {},
    vars_files: Sequence[str] = (),
    interpolate: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The stack of `folder` (or of the nearest folder above that has a stack file), or of `files`, the later ones laid
    over the earlier ones; "-" is the standard input. Reads files, changes nothing.

    `project_name` (-p) wins over COMPOSE_PROJECT_NAME, that over the files' `name`, that over the folder's.
    `environment`: what variables are taken from before all env files, by default the process's own. `profiles` become
    active, and those of `services`, the ones named on the command line. `variables`: --set. Without `interpolate` the
    files are merged and no more: `raw` is the tree as they write it, and the stack has its name and no content.

    Raises SpecErrors with every problem of the files, BadInput where there is no file or no text in it.
    """
    report = Report()
    options = Options(
        folder=folder, files=files, project_name=project_name, project_directory=project_directory,
        env_files=env_files, profiles=profiles, services=services, variables=variables, vars_files=vars_files,
        interpolate=interpolate, environment=environment,
    )  # fmt: skip
    found = project.prepare(options, report)
    return _loaded(found, Files(found, report), report)


def load_text(
    text: str,
    path: str,
    shown: str = "stack.yaml",
    *,
    project_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> Loaded:
    """The stack in `text`, as if it stood in the file `path` (absolute), called `shown` in messages, and nothing else
    beside it but what it names."""
    report = report or Report()
    options = Options(folder=os.path.dirname(path), project_name=project_name, environment=environment)
    found = project.of_text(options, File(path, shown))
    return _loaded(found, Files(found, report, {path: text}), report)


def _loaded(found: Project, files: Files, report: Report) -> Loaded:
    scope, name = _scope(found, files, report)
    tree = files.tree(found.files, scope)
    if tree is None:
        report.finish()
        first = found.files[0]
        hint = f"it needs {dialects.content(first.dialect)}"
        raise BadInput(f"{first.shown} is empty", hint=hint, place=Place(first.shown, 1))
    tree, ousted = unique.unique(tree, report)
    known = profiles.declared(tree)
    for profile, hint in profiles.unknown(known, found.options.profiles).items():
        report.warn_plainly(f"no service has the profile {profile!r}; {hint}")
    if found.options.interpolate:
        off = profiles.inactive(known, found.profiles, found.options.services)
        stack, origins, reading = _stack(tree, name, off, known, found, report)
        validate.entries(ousted, report)
        report.finish()
        loaded = Loaded(
            stack,
            origins.positions(),
            report.warnings,
            sources=origins.sources(),
            warned=reading.warned,
            extensions=reading.extensions,
        )
    else:
        report.finish()
        loaded = Loaded(Stack(name=name, folder=found.folder, file=found.files[0].path), {}, raw=tree.plain())
    return replace(
        loaded, lines=report.lines, variables=found.variables.mentioned(), files=files.names,
        profiles=tuple(sorted({profile for each in known.values() for profile in each})),
        dialect=found.files[0].dialect,
        switched_off={name: known[name] for name in loaded.stack.inactive},
    )  # fmt: skip


def _stack(
    tree: Node, name: str, off: tuple[str, ...], known: Mapping[str, tuple[str, ...]], found: Project, report: Report
) -> tuple[Stack, Origins, Reading]:
    ctx = Context(found.folder, found.environment, report)
    active, inactive = profiles.split(normalise.normalise(tree, ctx, off), off)
    environment.resolve(active, ctx, found.variables)
    inherit.healthchecks(active)
    origins = Origins()
    reading = Reading(report, origins)
    values = validate.validate(active, reading)
    values.pop("name", None)
    with report.without_warnings():
        for service, node in inactive.items():
            validate.SERVICE(node, ("services", service), Reading(report, Origins()))
    stack = Stack(name=name, folder=found.folder, file=found.files[0].path, inactive=off, **values)
    if not (stack.services or stack.images or off or report.failed):
        report.problem(tree, dialects.nothing(found.files[0].dialect))
    consistency.check(stack, origins, ctx, known)
    if reading.warned:
        from stackup.spec import pending

        pending.check(reading.warned, origins, report)
    _without_effect(stack, origins, report)
    return stack, origins, reading


def _scope(found: Project, files: Files, report: Report) -> tuple[Scope, str]:
    """What is known before all else: `vars`, which the name may hold, and the name, which is a variable."""
    said = files.top(found.files, "name")
    vars_first = any("{{" in root.items["name"].text for _, root in said)
    known = files.known(found.files, found.variables, files.given) if vars_first else files.given
    scope = Scope(found.folder, found.variables, known)
    nodes = [files.substituted(root, scope, file, always=True).items["name"] for file, root in said]
    name = project.named(found, nodes, report)
    found.variables.set("COMPOSE_PROJECT_NAME", name, "the stack's name")
    return replace(scope, known=files.known(found.files, found.variables, files.given)), name


def _without_effect(stack: Stack, origins: Origins, report: Report) -> None:
    for name, service in stack.services.items():
        if service.stdin_open and not service.tty:
            node = origins.node("services", name, "stdin_open")
            message = "has no effect yet: the input is empty; 'tty: true' gives a terminal that stays open"
            report.warn_alike(node, message)
