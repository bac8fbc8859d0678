"""Verbs about the stack file alone: config, graph. They touch no root and work on any system."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stackup.cli.arguments import new_app, settings_of

app = new_app()


@app.command()
def config(
    context: typer.Context,
    services: Annotated[bool, typer.Option("--services", help="Only the names of the services.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Only the keys of the images.")] = False,
    format: Annotated[Literal["yaml", "json"], typer.Option("--format", help="How to print.")] = "yaml",
) -> int:
    """Check the file and print it as stackup understands it: every short form written out, defaults left out."""
    settings = settings_of(context)
    stack = settings.load().stack
    if services or images:
        for name in sorted(stack.services if services else stack.images):
            print(name)
        return 0
    from stackup.spec.dump import dump

    print(dump(stack, format), end="")
    return 0


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
