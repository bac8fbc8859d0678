"""Verbs that act on what runs: exec, stop, start, restart, kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from stackup.cli import execute, output
from stackup.cli.arguments import Services, new_app, settings_of
from stackup.cli.settings import Settings, check_services, refuse_paths
from stackup.errors import BadInput
from stackup.events import Reporter

app = new_app()


# Everything after SERVICE is the command's, options too.
@app.command("exec", context_settings={"allow_interspersed_args": False})
def exec_(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE[/N]", help="N: which replica.", show_default=False)],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND [ARGUMENT]...", show_default=False)],
    interactive: Annotated[bool, typer.Option("-i", "--interactive", help="Give it this input.")] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Give it a terminal.")] = False,
    env: Annotated[list[str] | None, typer.Option("-e", "--env", metavar="NAME=VALUE", show_default=False)] = None,
    user: Annotated[str | None, typer.Option("-u", "--user", metavar="USER", help="Name or id.")] = None,
    workdir: Annotated[str | None, typer.Option("-w", "--workdir", metavar="DIR")] = None,
) -> int:
    """Run a command in a running replica (the first one, unless /N says which) and return its status.

    125: stackup failed, 126: the command cannot be executed, 127: it was not found, 128+n: signal n ended it.
    """
    return execute.run(
        settings_of(context), service, command, interactive=interactive, tty=tty, env=_environment(env or []),
        user=user, workdir=workdir,
    )  # fmt: skip


def _environment(pairs: Sequence[str]) -> dict[str, str] | None:
    import os

    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name:
            raise BadInput(f"-e {pair!r} names no variable", hint="-e NAME=VALUE, or -e NAME for this shell's value")
        if equals or name in os.environ:
            values[name] = value if equals else os.environ[name]
    return values or None


@app.command()
def stop(context: typer.Context, services: Services = None) -> int:
    """Stop services (all where none is named) and hold them so until start or up."""
    from stackup.engine import verbs

    return _act(settings_of(context), services, "stop", "nothing runs", verbs.stop)


@app.command()
def start(context: typer.Context, services: Services = None) -> int:
    """Start stopped services on their old root file systems."""
    from stackup.engine import verbs

    return _act(settings_of(context), services, "start", "nothing is stopped", verbs.start)


@app.command()
def restart(context: typer.Context, services: Services = None) -> int:
    """Stop and start services again, on their old root file systems and addresses."""
    from stackup.engine import verbs

    return _act(settings_of(context), services, "restart", "there is nothing to restart", verbs.restart)


@app.command()
def kill(
    context: typer.Context,
    services: Services = None,
    signal: Annotated[str, typer.Option("-s", "--signal", metavar="SIGNAL")] = "SIGKILL",
) -> int:
    """Send a signal to the first process of each replica; one that ends it also holds it, as stop does."""
    from stackup.engine import verbs

    def act(root: str, stack: str, services: Sequence[str], *, report: Reporter) -> int:
        return verbs.kill(root, stack, services, signal=signal, report=report)

    return _act(settings_of(context), services, "kill", "nothing runs", act)


def _act(
    settings: Settings, services: Sequence[str] | None, verb: str, nothing: str, act: Callable[..., int]
) -> int:  # fmt: skip
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    refuse_paths(services or (), settings, verb)
    root, stack, chosen = settings.root_path(), settings.stack(), services or []
    if chosen:
        check_services(chosen, (r.service for r in verbs.ps(root, stack)), settings, verb)
    with reporter(settings.quiet) as report:
        count = act(root, stack, chosen, report=report)
    if not count and not settings.quiet:
        output.say(f"{stack}: {nothing}")
    return 0
