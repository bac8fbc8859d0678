"""Verbs that make the machine what the file says: up, down, plan, build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stackup.cli import bring
from stackup.cli.arguments import Format, Services, new_app, settings_of
from stackup.cli.settings import did_you_mean, refuse_paths
from stackup.errors import BadInput, Interrupted

if TYPE_CHECKING:
    from stackup.spec.model import Stack

app = new_app()


@app.command()
def up(
    context: typer.Context,
    services: Services = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until all are healthy or ended well.")] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Follow the logs; Ctrl-C stops the services, a second one kills them.")
    ] = False,
) -> int:
    """Build what is missing and make the machine what the file says.

    Returns when all operations are done, what depends_on asks for included. Only what changed is touched.
    """
    return bring.up(settings_of(context), services or (), wait=wait, foreground=foreground)


@app.command()
def down(
    context: typer.Context,
    volumes: Annotated[
        bool, typer.Option("-v", "--volumes", help="Delete the stack's volumes and their data.")
    ] = False,
) -> int:
    """Stop and take away the stack. Volumes stay unless -v is given."""
    return bring.down(settings_of(context), volumes=volumes)


@app.command()
def plan(
    context: typer.Context,
    services: Services = None,
    detailed: Annotated[
        bool, typer.Option("--detailed-exitcode", help="0: nothing to do, 4: there are changes.")
    ] = False,
    format: Format = "text",
) -> int:
    """Show what up would do and why: every change with its field, its line and what it means. Changes nothing."""
    return bring.plan(settings_of(context), services or (), format, detailed=detailed)


@app.command()
def build(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", show_default=False)] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step again.")] = False,
) -> int:
    """Build images of the file (all where none is named) and print their digests. Needs no running supervisor."""
    from stackup.cli import conduct
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    refuse_paths(images or (), settings, "build", "images")
    loaded = settings.load(images or ())
    keys = _image_keys(loaded.stack, images or [])
    try:
        with reporter(settings.quiet) as report:
            built = verbs.build(
                settings.root_path(), loaded, keys, no_cache=no_cache, conduct=conduct.of(settings), report=report
            )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted("interrupted; finished layers are kept", hint="`stackup build` goes on from here") from None
    for key, digest in built.items():
        print(f"{loaded.stack.name}/{key} {digest}")
    return 0


def _image_keys(stack: Stack, names: Sequence[str]) -> list[str]:
    """Keys of `images:`; the name of a service stands for the image it runs."""
    keys: list[str] = []
    for name in names:
        if name in stack.images:
            keys.append(name)
        elif name in stack.services and stack.services[name].image in stack.images:
            keys.append(stack.services[name].image)
        else:
            raise BadInput(f"no image {name!r} in the file", hint=did_you_mean(name, stack.images, "its images are"))
    return list(dict.fromkeys(keys))
