"""Verbs about the stack file alone: config, graph. They touch no root and work on any system."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stackup.cli import output
from stackup.cli.arguments import new_app, settings_of
from stackup.cli.settings import Settings, did_you_mean
from stackup.errors import BadInput

if TYPE_CHECKING:
    from stackup.spec.model import Loaded

app = new_app()


@app.command()
def config(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
    services: Annotated[bool, typer.Option("--services", help="Only the names of the services.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Only the keys of the images.")] = False,
    networks: Annotated[bool, typer.Option("--networks", help="Only the names of the networks.")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", help="Only the names of the volumes.")] = False,
    profiles: Annotated[bool, typer.Option("--profiles", help="Only the names of the profiles.")] = False,
    variables: Annotated[bool, typer.Option("--variables", help="The variables that the files mention.")] = False,
    hash: Annotated[
        str | None, typer.Option("--hash", metavar="SERVICE", help="A digest of these services (a,b); '*': of all.")
    ] = None,
    no_interpolate: Annotated[bool, typer.Option("--no-interpolate", help="Leave ${...} as it is.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only check the files, print nothing.")] = False,
    to: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.")] = None,
    format: Annotated[Literal["yaml", "json"], typer.Option("--format", help="How to print.")] = "yaml",
) -> int:
    """Check the files and print the stack as stackup understands it.

    Files are merged, variables put in, every short form is written out, defaults are left out.
    """
    asked = [services, images, networks, volumes, profiles, variables, hash is not None, origin]
    if sum(asked) > 1:
        raise BadInput("only one of these at a time: --origin, --services, --images, --networks, --volumes, "
                       "--profiles, --variables, --hash")  # fmt: skip
    if no_interpolate and (origin or hash is not None):
        raise BadInput("--origin and --hash are about values, --no-interpolate leaves them open")
    settings = settings_of(context)
    loaded = settings.load(interpolate=not no_interpolate)
    if quiet:
        return 0
    if variables:
        text = _variables(loaded, format)
    elif hash is not None:
        text = _names(_digests(loaded, hash), format)
    elif any(asked[:-2]):
        text = _names(_named(loaded, asked), format)
    else:
        text = _stack(loaded, format, settings if origin else None)
    _write(text, os.path.join(settings.directory or "", to) if to else None)
    return 0


def _stack(loaded: Loaded, format: Literal["yaml", "json"], origins_of: Settings | None) -> str:
    from stackup.spec.dump import document, dump

    if origins_of is None:
        return dump(loaded, format)
    from stackup.spec import annotate

    name_from = _name_from(origins_of)
    if format == "json":
        from stackup.cli.render import json

        return json.dump(annotate.listed(document(loaded), loaded, name_from)) + "\n"
    return annotate.annotated(dump(loaded), loaded, name_from)


def _name_from(settings: Settings) -> str | None:
    """What gives the stack its name where it is no file."""
    if settings.name is not None:
        return "-p"
    project = settings.project()
    return "COMPOSE_PROJECT_NAME" if project is not None and project.name is not None else None


def _named(loaded: Loaded, asked: Sequence[bool]) -> list[str]:
    """The names of the one thing that is asked for; `asked` is in the order of the options."""
    from stackup.spec.dump import document

    made = document(loaded)
    sections = [made.get(section) or {} for section in ("services", "images", "networks", "volumes")]
    return next(sorted(names) for names, wanted in zip((*sections, loaded.profiles), asked, strict=False) if wanted)


def _names(names: Iterable[str], format: Literal["yaml", "json"]) -> str:
    if format == "json":
        from stackup.cli.render import json

        return json.dump(list(names)) + "\n"
    return "".join(f"{name}\n" for name in names)


def _digests(loaded: Loaded, wanted: str) -> list[str]:
    """`web 3f2a...`: the SHA-256 of the service's canonical value, defaults left out."""
    from stackup import oci
    from stackup.values import to_plain

    there = loaded.stack.services
    names = sorted(there) if wanted == "*" else [name.strip() for name in wanted.split(",")]
    for name in names:
        if behind := loaded.switched_off.get(name):
            hint = f"--profile {behind[0]} switches it on"
            raise BadInput(f"service {name!r} is switched off by its profile", hint=hint)
        if name not in there:
            raise BadInput(f"no service {name!r}", hint=did_you_mean(name, sorted(there), "the services are"))
    digests = {name: oci.digest(oci.canonical_json(to_plain(there[name]))) for name in names}
    return [f"{name} {digest.removeprefix('sha256:')}" for name, digest in digests.items()]


def _variables(loaded: Loaded, format: Literal["yaml", "json"]) -> str:
    found = [loaded.variables[name] for name in sorted(loaded.variables)]
    if format == "json":
        from stackup.cli.render import json

        return json.dump(found) + "\n"
    from stackup.cli.render import text

    rows = [
        (v.name, "yes" if v.required else "no", *map(_or_dash, (v.default, v.alternative, v.value, v.where)))
        for v in found
    ]
    return text.table(("NAME", "REQUIRED", "DEFAULT", "ALTERNATIVE", "VALUE", "FROM"), rows) + "\n"


def _or_dash(text: str | None) -> str:
    """On one line; quotes show what would not be seen."""
    if text is None:
        return "-"
    return text if text.isprintable() and text.strip() == text != "" and text != "-" else repr(text)


def _write(text: str, path: str | None) -> None:
    if path is None:
        print(text, end="")
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
    output.say(f"written to {path}")


@app.command()
def graph(
    context: typer.Context,
    dot: Annotated[bool, typer.Option("--dot", help="In the language of graphviz.")] = False,
) -> int:
    """The dependency graph of the file: images, networks, volumes, services."""
    from stackup.planner import graph as drawn

    picture = drawn.graph(settings_of(context).load().stack)
    print(drawn.to_dot(picture) if dot else drawn.to_text(picture))
    return 0
