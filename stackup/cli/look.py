"""What the looking verbs do: values from the engine, drawn. Used by Typer and by the quick path alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from stackup.cli import output
from stackup.cli.settings import Settings, check_services, refuse_paths

if TYPE_CHECKING:
    from stackup.engine.views import Replica

Format = Literal["text", "json"]


def ps(settings: Settings, services: Sequence[str], format: Format) -> int:
    """Every wished replica of the stack."""
    from stackup.engine import verbs

    refuse_paths(services, settings, "ps")
    stack = settings.stack()
    replicas = verbs.ps(settings.root_path(), stack)
    check_services(services, (r.service for r in replicas), settings, "ps")
    chosen = [r for r in replicas if not services or r.service in services]
    if format == "json":
        from stackup.cli.render import json

        print(json.dump(chosen))
    elif not chosen:
        output.say(f"{stack} is not up; `stackup up` starts it")
    else:
        from stackup.cli.render import text

        print(text.ps_table(chosen))
    return 0


def ls(settings: Settings, format: Format) -> int:
    """The stacks of the root."""
    from stackup.engine import verbs

    stacks = verbs.ls(settings.root_path())
    if format == "json":
        from stackup.cli.render import json

        print(json.dump(stacks))
    elif not stacks:
        output.say(f"no stack in {settings.root_path()}")
    else:
        from stackup.cli.render import text

        print(text.ls_table(stacks))
    return 0


def version(settings: Settings, format: Format) -> int:
    """What this is and what it runs on."""
    import platform

    from stackup import __version__

    facts = {"stackup": __version__, "python": platform.python_version(), "kernel": platform.release()}
    if format == "json":
        from stackup.cli.render import json

        print(json.dump(facts))
    else:
        print(f"stackup {facts['stackup']} (Python {facts['python']}, {platform.system()} {facts['kernel']})")
    return 0


_COLORS = ("cyan", "yellow", "green", "blue")


def logs(
    settings: Settings, services: Sequence[str], *, follow: bool, since: float | None, tail: int | None
) -> int:  # fmt: skip
    """Lines as `web-1 | text`; Ctrl-C ends following."""
    from stackup.engine import verbs

    refuse_paths(services, settings, "logs")
    root, stack = settings.root_path(), settings.stack()
    replicas = verbs.ps(root, stack)
    check_services(services, (r.service for r in replicas), settings, "logs")
    if not replicas:
        output.say(f"{stack} is not up; `stackup up` starts it")
        return 0
    try:
        follow_logs(root, stack, services, replicas, follow=follow, since=since, tail=tail)
    except KeyboardInterrupt:
        if not follow:
            raise
    return 0


def follow_logs(
    root: str, stack: str, services: Sequence[str], replicas: Sequence[Replica], *, follow: bool,
    since: float | None = None, tail: int | None = None, until_ended: bool = False, without: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write lines to stdout as they come, bytes as the service wrote them."""
    from stackup.engine import verbs

    width = max((len(f"{r.service}-{r.number}") for r in replicas if r.service not in without), default=0)
    heads: dict[str, bytes] = {}
    out = sys.stdout.buffer
    lines = verbs.logs(
        root, stack, services, follow=follow, since=since, tail=tail, until_ended=until_ended, without=without
    )  # fmt: skip
    for line in lines:
        head = heads.get(line.source)
        if head is None:
            color = _COLORS[len(heads) % len(_COLORS)]
            head = heads[line.source] = (output.style(f"{line.source:<{width}} |", color) + " ").encode()
        out.write(head + line.text + b"\n")
        if follow:
            out.flush()
    out.flush()
