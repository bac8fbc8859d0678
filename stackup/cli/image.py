"""Images of the store: image ls, inspect, rm, and Docker's words for the first and the last."""

from __future__ import annotations

from typing import Annotated

import typer

from stackup.cli import output
from stackup.cli.arguments import Format, new_app, settings_of

app = new_app()
image = typer.Typer(
    name="image", rich_markup_mode=None, no_args_is_help=True, help="Images: ls, inspect, rm."
)  # fmt: skip
app.add_typer(image)


@app.command("images")
@image.command("ls")
def ls(context: typer.Context, format: Format = "text") -> int:
    """The images of this root's store."""
    from stackup.cli.render import json, text
    from stackup.engine import verbs

    root = settings_of(context).root_path()
    found = verbs.images(root)
    if format == "json":
        print(json.dump(found))
    elif found:
        print(text.image_table(found))
    else:
        output.say(f"no image in {root}")
    return 0


@image.command("inspect")
def inspect(
    context: typer.Context, reference: Annotated[str, typer.Argument(metavar="IMAGE", show_default=False)]
) -> int:
    """All that is known of an image, as JSON: layers, history, configuration, what it is tied to."""
    from stackup.cli.render import json
    from stackup.engine import verbs

    print(json.dump(verbs.image_inspect(settings_of(context).root_path(), reference)))
    return 0


@app.command("rmi")
@image.command("rm")
def rm(
    context: typer.Context,
    references: Annotated[list[str], typer.Argument(metavar="IMAGE...", show_default=False)],
    force: Annotated[bool, typer.Option("-f", "--force", help="Names of an image in use, too.")] = False,
) -> int:
    """Remove names of images, and layers that nothing uses any more."""
    from stackup.cli.render.progress import reporter
    from stackup.engine import verbs

    settings = settings_of(context)
    for reference in references:  # one at a time: what went before a failure is told
        with reporter(settings.quiet) as report:
            removed = verbs.image_rm(settings.root_path(), reference, force=force, report=report)
        print("\n".join(removed))
    return 0
