"""Arguments and options that several verbs take, as types for their signatures."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from stackup.cli.settings import Settings

Services = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE]...", show_default=False)]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print.")]


def new_app() -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def settings_of(context: typer.Context) -> Settings:
    found = context.find_object(Settings)
    assert found is not None
    return found
