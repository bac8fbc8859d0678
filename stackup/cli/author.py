"""Verbs for who writes a stack file: check, init, schema. They look at files alone, and work on any system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from stackup.cli import output
from stackup.cli.arguments import Format, new_app, settings_of
from stackup.cli.settings import Settings
from stackup.errors import BadInput, SpecErrors

if TYPE_CHECKING:
    from stackup.spec.lint import Finding

app = new_app()


@app.command()
def check(
    context: typer.Context,
    list_rules: Annotated[bool, typer.Option("--rules", help="List the rules, and why each is one.")] = False,
    format: Format = "text",
) -> int:
    """Tell what is legal in the file and unwise; status 1 where there is something to tell.

    Services of every profile are looked at. A comment switches a rule off: `# stackup: off=RULE` behind a line, above
    it, or at the top for the whole file.
    """
    from stackup.cli.render import json
    from stackup.spec import lint

    if list_rules:
        known = lint.rules()
        width = max(map(len, known))
        print(json.dump(known) if format == "json" else "\n".join(f"{n:<{width}}  {why}" for n, why in known.items()))
        return 0
    settings = settings_of(context)
    findings = _findings(settings)
    if format == "json":
        print(json.dump([finding.to_plain() for finding in findings]))
    elif findings:
        print("\n".join(map(str, findings)))
    if not settings.quiet and format == "text":
        output.say(f"{len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
    return 1 if findings else 0


def _findings(settings: Settings) -> Sequence[Finding]:
    """Of services of all profiles. Where these exclude each other (two publish one port), of one after the other."""
    from stackup.spec.lint import lint

    try:
        return lint(replace(settings, profiles=("*",)).load())
    except SpecErrors:
        loaded = settings.load()
    found = set(lint(loaded))
    for profile in loaded.profiles:
        try:
            found.update(lint(replace(settings, profiles=(profile,), quiet=True).load()))
        except SpecErrors:
            output.warn(f"profile {profile} is not looked at; `stackup --profile {profile} config -q` says why")
    return sorted(found, key=lambda finding: (finding.place, finding.rule))


@app.command()
def init(context: typer.Context) -> int:
    """Write a small stack.yaml for what lies in the folder: a program, a site, a script, or an example to start from.

    Nothing is overwritten: where there is a stack file already, that is an error. A Compose file is read as it is.
    """
    from stackup.spec import init as drawing

    settings = settings_of(context)
    if settings.files:
        raise BadInput(f"init writes {drawing.NAME}, and takes no -f", hint="for another folder: stackup -C DIR init")
    folder = os.path.abspath(settings.directory or ".")
    if compose := drawing.read_as_it_is(folder):
        print(f"{compose} is read as it is; nothing was written")
        output.say("`stackup config` shows how it is understood, `stackup check` what is unwise in it")
        return 0
    drawn = drawing.write(folder)
    print(f"{os.path.join(settings.directory or '', drawing.NAME)}: {drawn.what}")
    if drawn.missing:
        output.say(f"first: {drawn.missing}; then take the '#' off the line of the file that copies what it brings")
    output.say("`stackup plan` shows what `stackup up` would do")
    return 0


@app.command()
def schema(
    support: Annotated[bool, typer.Option("--support", help="What stackup does with each key of Compose.")] = False,
    format: Format = "text",
) -> int:
    """Print the JSON Schema of a stack file, which an editor completes and checks by.

    Save it and name it in the file's first line: `# yaml-language-server: $schema=stack.schema.json`.
    """
    if not support:
        from stackup.spec import schema as made

        print(made.as_text(), end="")
        return 0
    from stackup.cli.render import json
    from stackup.cli.render import support as drawn
    from stackup.spec.support import table

    known = table()
    if format == "json":
        print(json.dump([{"key": key, **entry._asdict()} for key, entry in known.items()]))
    else:
        print(drawn.text(known))
    return 0
