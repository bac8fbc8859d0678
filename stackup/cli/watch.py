"""Verbs that look and change nothing: ps, logs, inspect, stats, ls, version."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Annotated

import typer

from stackup.cli import look, output
from stackup.cli.arguments import Format, Services, new_app, settings_of
from stackup.cli.settings import check_services, refuse_paths, replica_of
from stackup.errors import BadInput, NotFound

app = new_app()


@app.command()
def ps(context: typer.Context, services: Services = None, format: Format = "text") -> int:
    """Every wished replica: its state and the cause of its last end, its health, its ports."""
    return look.ps(settings_of(context), services or (), format)


@app.command()
def ls(context: typer.Context, format: Format = "text") -> int:
    """The stacks of this root."""
    return look.ls(settings_of(context), format)


@app.command()
def version(context: typer.Context, format: Format = "text") -> int:
    """The version of stackup, of Python and of the kernel."""
    return look.version(settings_of(context), format)


@app.command()
def logs(
    context: typer.Context,
    services: Services = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="10m, 1h30m, or 2026-01-31T12:00:00.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("-n", "--tail", min=0, metavar="N", help="The last N lines of each replica.")
    ] = None,
) -> int:
    """What the services printed, merged by time."""
    moment = since_time(since, time.time()) if since is not None else None
    return look.logs(settings_of(context), services or (), follow=follow, since=moment, tail=tail)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def since_time(text: str, now: float) -> float:
    """Seconds since the epoch of `10m`, `1h30m`, `90` (seconds ago) or an ISO 8601 time (local unless it says)."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return now - float(text)
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNITS[unit] for number, unit in parts)
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadInput(
            f"--since {text!r} is no time", hint="10m, 1h30m, 90 (seconds), or 2026-01-31T12:00:00"
        ) from None


@app.command()
def inspect(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="SERVICE[/N]", help="Or a container's name or id.", show_default=False)
    ],
) -> int:
    """All that is known of a service, as JSON: the wish, replicas, runtime specs, addresses, ports, health."""
    from stackup.cli.render import json
    from stackup.engine import verbs

    settings = settings_of(context)
    service, number = replica_of(target)
    refuse_paths([service], settings, "inspect")
    root, stack = settings.root_path(), settings.stack()
    rows = verbs.ps(root, stack)
    for row in rows:
        if target in (row.name, row.id):
            service, number = row.service, row.number
    check_services([service], (r.service for r in rows), settings, "inspect")
    found = verbs.inspect(root, stack, service)
    if number is not None:
        found = replace(found, replicas=tuple(r for r in found.replicas if r.number == number))
        if not found.replicas:
            raise NotFound(f"service:{service} has no replica {number}", hint="`stackup ps` lists what there is")
    print(json.dump(found))
    return 0


@app.command()
def stats(context: typer.Context, services: Services = None, format: Format = "text") -> int:
    """Memory, CPU (over one second, of one core) and processes of every running replica."""
    from stackup.cli.render import json, text
    from stackup.engine import verbs

    settings = settings_of(context)
    refuse_paths(services or (), settings, "stats")
    root, stack = settings.root_path(), settings.stack()
    check_services(services or (), (r.service for r in verbs.ps(root, stack)), settings, "stats")
    rows = [r for r in verbs.stats(root, stack, interval=1.0) if not services or r.service in services]
    if format == "json":
        print(json.dump(rows))
    elif rows:
        print(text.stats_table(rows))
    else:
        output.say(f"nothing of {stack} runs")
    return 0
