"""The command line as Typer knows it: globals, verbs loaded when they are called, and what a wrong line is answered.

A verb is a function in the module that `VERBS` names. `stackup --help` is the only thing that loads them all.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Annotated, Any, Literal

import typer
from typer._click.core import Command, Context
from typer._click.exceptions import ClickException, NoArgsIsHelpError, NoSuchOption
from typer.core import TyperGroup
from typer.main import get_group

from stackup.cli import output
from stackup.cli.settings import GLOBALS, Settings, elsewhere
from stackup.errors import BadInput

# verb -> (module below stackup.cli, line of the overview); in the order of the overview
VERBS: dict[str, tuple[str, str]] = {
    "up": ("change", "Build what is missing and make the machine what the file says."),
    "down": ("change", "Stop and take away the stack; volumes stay unless -v."),
    "plan": ("change", "Show what up would do and why. Changes nothing."),
    "build": ("change", "Build images of the file."),
    "ps": ("watch", "Every wished replica, its state, health and ports."),
    "logs": ("watch", "What the services printed."),
    "exec": ("control", "Run a command in a running replica."),
    "stop": ("control", "Stop services and hold them so until start or up."),
    "start": ("control", "Start stopped services."),
    "restart": ("control", "Stop and start services again."),
    "kill": ("control", "Send a signal to services."),
    "inspect": ("watch", "All that is known of a service, as JSON."),
    "stats": ("watch", "Memory, CPU and processes of running replicas."),
    "graph": ("file", "The dependency graph of the file."),
    "config": ("file", "The file as stackup understands it."),
    "check": ("author", "What is legal in the file and unwise."),
    "init": ("author", "Write a first stack.yaml for this folder."),
    "schema": ("author", "The JSON Schema of a stack file; what becomes of each key."),
    "ls": ("watch", "The stacks of this root."),
    "image": ("image", "Images: ls, inspect, rm."),
    "images": ("image", "The same as image ls."),
    "rmi": ("image", "The same as image rm."),
    "doctor": ("system", "What this machine can do; what to type for the rest."),
    "version": ("watch", "The version."),
    "completion": ("system", "A completion script for bash, zsh or fish."),
    "supervise": ("system", "Run the supervisor in the foreground, for an init system."),
    "uninstall": ("system", "End everything of this root and remove the root."),
}


class Verbs(TyperGroup):
    """Loads the module of a verb when the verb is asked for."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"stackup.cli.{VERBS[cmd_name][0]}")
        commands = get_group(module.app).commands
        found: Command = commands[cmd_name]
        found.short_help = VERBS[cmd_name][1]
        return found

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            hint = (f"did you mean {near[0]!r}? " if near else "") + "`stackup --help` lists the verbs"
            if os.path.isdir(args[0]):
                hint = f"for another folder: stackup -C {args[0]} up"
            raise BadInput(f"no verb {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Verbs, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback()
def globals_(
    context: typer.Context,
    directory: Annotated[str | None, typer.Option("-C", metavar="DIR", help="Work in this folder.")] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("-f", "--file", metavar="FILE", help="The stack file; again: what is laid over it. -: stdin."),
    ] = None,
    name: Annotated[str | None, typer.Option("-p", "--project-name", metavar="NAME", help="The stack's name.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option("--profile", metavar="NAME", help="Services of this profile, too; '*': of all.")
    ] = None,
    env_file: Annotated[
        list[str] | None, typer.Option("--env-file", metavar="FILE", help="Variables from it instead of .env.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One of the file's vars.")
    ] = None,
    vars_file: Annotated[
        list[str] | None, typer.Option("--vars-file", metavar="FILE", help="The file's vars from a YAML file.")
    ] = None,
    project_directory: Annotated[
        str | None, typer.Option("--project-directory", metavar="DIR", help="Where relative paths of the file start.")
    ] = None,
    root: Annotated[str | None, typer.Option("--root", metavar="DIR", help="Where stackup keeps all it has.")] = None,
    color: Annotated[Literal["auto", "always", "never"], typer.Option("--color")] = "auto",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only results and troubles.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Build images from layers and run services from one stack.yaml, straight over the Linux kernel."""
    output.configure(color, debug)
    context.obj = Settings(
        directory=directory, files=tuple(file or ()), name=name, root=root, profiles=tuple(profile or ()),
        env_files=tuple(env_file or ()), sets=tuple(set_ or ()), vars_files=tuple(vars_file or ()),
        project_directory=project_directory, color=color, quiet=quiet, debug=debug,
    )  # fmt: skip


def run(argv: list[str]) -> int:
    """Run a command line; the exit status. StackupError and KeyboardInterrupt go to the caller."""
    command = typer.main.get_command(app)
    try:
        status: Any = command.main(args=list(argv), prog_name="stackup", standalone_mode=False)
    except NoSuchOption as error:
        return _usage(error.format_message(), corrected(argv, error.option_name), error)
    except NoArgsIsHelpError as error:
        output.say(error.format_message())
        return 2
    except ClickException as error:
        return _usage(error.format_message(), None, error)
    except SystemExit as error:  # Typer's own answer to a closed pipe
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    except typer.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else 0


def _usage(message: str, line: str | None, error: ClickException) -> int:
    context = getattr(error, "ctx", None)
    if context is not None and (found := _EXTRA.search(message)):
        return _takes_none(context.info_name, found[1].split()[0])
    text = " ".join((message[:1].lower() + message[1:].rstrip(".")).split())  # choices come a line each
    output.say(f"{output.style('error:', 'red', sys.stderr)} {text}")
    top = context is None or context.parent is None
    if top and isinstance(error, NoSuchOption) and error.option_name in ("--version", "-V", "-v"):
        output.say("hint: stackup version")
    elif line:
        output.say(f"hint: options of stackup itself stand before the verb: {line}")
    elif context is not None and context.parent is not None:
        output.say(f"hint: {context.command_path} --help")
    return 2


_EXTRA = re.compile(r"unexpected extra arguments?(?:\(s\))? \(([^)]+)\)")


def _takes_none(verb: str, word: str) -> int:
    """A word behind a verb that takes none: most often a folder, or one service of `down`."""
    hint = f"stackup {verb} --help"
    if os.path.exists(word):
        hint = elsewhere(word, verb)
    elif verb == "down":
        hint = f"down takes the whole stack; one service: stackup stop {word}"
    output.tell_error(BadInput(f"{verb} takes no {word!r}", hint=hint))
    return 2


def corrected(argv: list[str], option: str) -> str | None:
    """The line with a global that stood after the verb put before it; None where that is not what is wrong."""
    if option not in GLOBALS:
        return None
    moved: list[str] = []
    kept: list[str] = []
    verb_at = None
    words = iter(argv)
    for word in words:
        name, equals, _value = word.partition("=")
        if verb_at is None and not word.startswith("-"):
            verb_at = len(kept)
        to = moved if verb_at is not None and name == option else kept
        to.append(word)
        takes = GLOBALS[option] if to is moved else verb_at is None and GLOBALS.get(name)
        if takes and not equals:
            to += [value for value in [next(words, None)] if value is not None]
    kept[verb_at or 0 : verb_at or 0] = moved  # behind those that stood right: the last -p counts, -f are in order
    import shlex

    return shlex.join(["stackup", *kept])
