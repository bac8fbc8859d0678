"""Verbs about this machine and this installation: doctor, completion, supervise, uninstall."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Literal

import typer

from stackup.cli import output
from stackup.cli.arguments import Format, new_app, settings_of
from stackup.errors import BadInput, Unsupported

app = new_app()


@app.command()
def doctor(context: typer.Context, format: Format = "text") -> int:
    """What this kernel, user and root can do: what is missing, what works less well for it, what to type."""
    from stackup.cli.render import json, text
    from stackup.engine import verbs

    features = verbs.doctor(settings_of(context).root_path())
    print(json.dump(features) if format == "json" else text.doctor_lines(features))
    return 3 if any(not f.present and f.needed for f in features) else 0


@app.command()
def completion(
    context: typer.Context, shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(show_default=False)]
) -> int:
    """Print a completion script. For bash: eval "$(stackup completion bash)"."""
    from stackup.cli.completion import script

    parent = context.parent
    assert parent is not None
    print(script(shell, parent), end="")
    return 0


@app.command()
def supervise(context: typer.Context) -> int:
    """Run spawner and supervisor in the foreground until SIGTERM; containers run on."""
    from stackup.engine import verbs

    if os.geteuid() != 0:
        raise Unsupported("only root can run services yet", hint="sudo stackup supervise")
    return verbs.supervise(settings_of(context).root_path())


@app.command()
def uninstall(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """End every stack of this root and remove the root: containers, images, volumes and their data."""
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    root = settings.root_path()
    if not (held := verbs.holdings(root)):
        output.say(f"there is nothing at {root}")
        return 0
    if not yes:
        output.say("this removes\n" + "\n".join(f"    {line}" for line in held))
        if not sys.stdin.isatty():
            raise BadInput("nobody is here to say yes to that", hint="stackup uninstall --yes")
        if not typer.confirm("remove all of it?", err=True):
            return 1
    with reporter(settings.quiet) as report:
        removed = verbs.uninstall(root, report=report)
    print("\n".join(f"removed {line}" for line in removed))
    return 0
