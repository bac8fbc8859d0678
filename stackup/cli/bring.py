"""What up, down and plan do: load the file, call the engine, tell what it answers. Used by Typer and by the quick path
alike."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackup.cli import output
from stackup.cli.look import Format
from stackup.cli.settings import Settings, check_services, refuse_paths
from stackup.errors import Interrupted, Unsupported

if TYPE_CHECKING:
    from stackup.engine.views import Published
    from stackup.spec.model import Loaded, Stack


def up(settings: Settings, services: Sequence[str], *, wait: bool = False, foreground: bool = False) -> int:
    """Returns when all operations are done; with `foreground` after Ctrl-C."""
    from stackup.cli import conduct
    from stackup.cli.render import text
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    refuse_paths(services, settings, "up")
    loaded = settings.load(services)
    if os.geteuid() != 0:
        raise Unsupported(
            "only root can run services yet",
            hint="sudo stackup up; any user may plan, config, graph, and build images whose layers run no command",
        )
    stack = loaded.stack
    check_services(services, stack.services, settings, "up")
    began = time.time()
    try:
        with reporter(settings.quiet) as report:
            result = verbs.up(
                settings.root_path(), loaded, services, wait=wait, conduct=conduct.of(settings), report=report
            )  # fmt: skip
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what was done stands", hint="`stackup up` goes on from here, `stackup down` takes it away"
        ) from None
    if not result.changed and not settings.quiet:
        output.say("nothing to do")
    for port in result.published:
        print(text.published_line(port, _assumed(loaded, port)))
    if foreground:
        return _foreground(settings, stack, services or tuple(stack.services), began)
    return 0


def _assumed(loaded: Loaded, port: Published) -> str | None:
    """Which other address would have been meant elsewhere, where the file names none for a port."""
    from stackup.spec.discover import dialect_of

    service = loaded.stack.services.get(port.service)
    for index, one in enumerate(service.ports if service else ()):
        same = (one.host_ip, one.target, one.protocol) == (port.host_ip, port.target, port.protocol)
        if same and one.published in (0, port.published):
            path = ("services", port.service, "ports", index)
            if (*path, "host_ip") in loaded.origins:
                return None
            file = loaded.origins[path][0] if path in loaded.origins else loaded.stack.file
            elsewhere = ", where Compose opens it to others" if dialect_of(file) == "compose" else ""
            return f"this machine only{elsewhere}"
    return "this machine only"


def _foreground(settings: Settings, of: Stack, services: Sequence[str], since: float) -> int:
    """Follow logs until these have ended (the worst end is the status), or Ctrl-C: stop them; Ctrl-C again kills."""
    from stackup.cli.look import follow_logs
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    root, stack = settings.root_path(), of.name
    silent = [name for name, service in of.services.items() if not service.attach]
    rows = [r for r in verbs.ps(root, stack) if r.service in services and r.id is not None]
    services = tuple(dict.fromkeys(r.service for r in rows))
    if not services:
        return 0
    try:
        follow_logs(root, stack, services, rows, follow=True, since=since, until_ended=True, without=silent)
        ends = [r.exit_code for r in verbs.ps(root, stack) if r.service in services]
        if ends and not settings.quiet:
            output.say("all services have ended")
        return 1 if any(ends) else 0
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


def down(settings: Settings, *, volumes: bool = False) -> int:
    """Take the stack away."""
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

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


def plan(settings: Settings, services: Sequence[str], format: Format = "text", *, detailed: bool = False) -> int:
    """Show what `up` would do."""
    from stackup.cli import conduct
    from stackup.engine import verbs

    refuse_paths(services, settings, "plan")
    loaded = settings.load(services)
    check_services(services, loaded.stack.services, settings, "plan")
    found = verbs.plan(settings.root_path(), loaded, services, conduct.of(settings))
    if format == "json":
        from stackup.cli.render import json

        print(json.dump(found))
    else:
        print(found.text() or f"nothing to do: {loaded.stack.name} is as the file says")
        for note in found.notes:
            print(f"note: {note}")
        for address, why in found.left_alone.items():
            print(output.style(f"left alone: {address} ({why})", "dim"))
    return found.detailed_status if detailed else 0
