"""Verbs that make the machine what the file says: up, down, plan, build."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stackup.cli import output
from stackup.cli.arguments import Format, Services, new_app, settings_of
from stackup.cli.settings import Settings, check_services, did_you_mean, refuse_paths
from stackup.errors import BadInput, Interrupted, Unsupported

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
    from stackup.cli.render import text
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    refuse_paths(services or (), settings, "up")
    loaded = settings.load()
    if os.geteuid() != 0:
        raise Unsupported(
            "only root can run services yet",
            hint="sudo stackup up; any user may plan, config, graph, and build images whose layers run no command",
        )
    stack, chosen = loaded.stack, services or []
    check_services(chosen, stack.services, settings, "up")
    began = time.time()
    try:
        with reporter(settings.quiet) as report:
            result = verbs.up(settings.root_path(), loaded, chosen, wait=wait, report=report)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what was done stands", hint="`stackup up` goes on from here, `stackup down` takes it away"
        ) from None
    if not result.changed and not settings.quiet:
        output.say("nothing to do")
    for port in result.published:
        print(text.published_line(port))
    if foreground:
        return _foreground(settings, stack.name, chosen, began)
    return 0


def _foreground(settings: Settings, stack: str, services: Sequence[str], since: float) -> int:
    """Follow logs until Ctrl-C, then stop; Ctrl-C again kills."""
    from stackup.cli.look import follow_logs
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    root = settings.root_path()
    try:
        follow_logs(root, stack, services, verbs.ps(root, stack), follow=True, since=since)
        return 0
    except KeyboardInterrupt:
        output.say("stopping; Ctrl-C again kills")
    try:
        with reporter(settings.quiet) as report:
            verbs.stop(root, stack, services, report=report)
    except KeyboardInterrupt:
        output.say("killing")
        with reporter(settings.quiet) as report:
            verbs.kill(root, stack, services, report=report)
    return 130


@app.command()
def down(
    context: typer.Context,
    volumes: Annotated[
        bool, typer.Option("-v", "--volumes", help="Delete the stack's volumes and their data.")
    ] = False,
) -> int:
    """Stop and take away the stack. Volumes stay unless -v is given."""
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    stack = settings.stack()
    try:
        with reporter(settings.quiet) as report:
            count = verbs.down(settings.root_path(), stack, volumes=volumes, report=report)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what was taken away stays away",
            hint="`stackup down` goes on from here, `stackup kill` ends what does not stop",
        ) from None
    if not count and not settings.quiet:
        output.say(f"{stack} is not up")
    return 0


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
    from stackup.engine import verbs

    settings = settings_of(context)
    refuse_paths(services or (), settings, "plan")
    loaded = settings.load()
    chosen = services or []
    check_services(chosen, loaded.stack.services, settings, "plan")
    found = verbs.plan(settings.root_path(), loaded, chosen)
    if format == "json":
        from stackup.cli.render import json

        print(json.dump(found))
    else:
        print(found.text() or f"nothing to do: {loaded.stack.name} is as the file says")
        for note in found.notes:
            print(f"note: {note}")
    return found.detailed_status if detailed else 0


@app.command()
def build(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", show_default=False)] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step again.")] = False,
) -> int:
    """Build images of the file (all where none is named) and print their digests. Needs no running supervisor."""
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    loaded = settings.load()
    keys = _image_keys(loaded.stack, images or [])
    try:
        with reporter(settings.quiet) as report:
            built = verbs.build(settings.root_path(), loaded, keys, no_cache=no_cache, report=report)
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
