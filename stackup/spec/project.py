"""What a command line and its surroundings say about a project: which files, which folder, which variables, what name.

Read before any YAML is, and cheaply: verbs that need no more than the stack's name start here, too. `Options` are what
was said, `Project` is what follows; `prepare` makes the one from the other.

    start folder     -C, else the current one: -f, --env-file, --vars-file, COMPOSE_FILE and --project-directory are
                     relative to it
    project folder   --project-directory, else the folder of the first file: what is relative in the files starts there
    files            -f, else COMPOSE_FILE, else what is found in --project-directory or the start folder, or above
    variables        the caller's environment, else --env-file (COMPOSE_ENV_FILES), else `.env`: first the one where
                     files are looked for, then the project folder's. COMPOSE_FILE, COMPOSE_PROFILES and
                     COMPOSE_PROJECT_NAME are variables like others; COMPOSE_ENV_FILES and COMPOSE_DISABLE_ENV_FILE
                     count in the environment alone
    name             -p, else COMPOSE_PROJECT_NAME, else the last `name:` of the files, else the project folder's
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stackup.errors import BadInput
from stackup.spec import discover
from stackup.spec.decoding import MAX_BYTES
from stackup.spec.discover import STDIN, File
from stackup.spec.report import Report
from stackup.spec.variables import Variables

if TYPE_CHECKING:
    from stackup.spec.nodes import Node

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_HINT = "small letters, digits, _ and -, beginning with a letter or digit, 63 at most"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


# Tuples and no dataclasses: those take the quick verbs a millisecond each to make.
class Options(NamedTuple):
    """The arguments of `load`, as they were given. `environment` None: the process's own. `variables`: --set."""

    folder: str = "."
    files: Sequence[str] = ()
    project_name: str | None = None
    project_directory: str | None = None
    env_files: Sequence[str] = ()
    profiles: Sequence[str] = ()
    services: Sequence[str] = ()
    variables: Mapping[str, str] = {}
    vars_files: Sequence[str] = ()
    interpolate: bool = True
    environment: Mapping[str, str] | None = None


class Project(NamedTuple):
    """`files` in the order in which they are merged, overrides included; the first one is the stack's file.

    `folder` is absolute. `variables` answers for the environment and the env files. `name` is what -p or
    COMPOSE_PROJECT_NAME say, checked; None: `named` finds it in the files. `profiles`: --profile, else
    COMPOSE_PROFILES; "*" stands for all.
    """

    options: Options
    files: tuple[File, ...]
    folder: str
    vars_files: tuple[File, ...]
    environment: Mapping[str, str]
    variables: Variables
    name: str | None
    profiles: tuple[str, ...]


def prepare(options: Options, report: Report, *, quick: bool = False) -> Project:
    """Find the files and read the env files. BadInput where something that was named is not there.

    `quick`: `variables` need only know what begins with COMPOSE_, so that env files without it are not parsed.
    """
    environment = os.environ if options.environment is None else options.environment
    start = start_folder(options.folder)
    directory = _directory(start, options.project_directory)
    files = discover.given(start, options.files)
    base = directory or _folder_of(files) or start
    env_files = _env_files(options.env_files, start, environment)
    defaults = env_files is None and not _disabled(environment)
    first = _default(base, start) if defaults else env_files or ()
    variables = Variables(environment, () if quick and not _telling(first) else first, report)
    if not files and (named := _value(variables, "COMPOSE_FILE")):
        separator = _value(variables, "COMPOSE_PATH_SEPARATOR") or os.pathsep
        names = [name for name in named.split(separator) if name]
        files = discover.given(start, names, "COMPOSE_FILE", by_caller="COMPOSE_FILE" in environment)
    if not files:
        files = discover.upward(directory or start, report, start)
    folder = directory or _folder_of(files) or start
    if defaults and folder != base:
        # What stands where the search began wins: it may be what led to the project's folder.
        second = _default(folder, start)
        if quick and _telling(second):
            return prepare(options, report)
        variables = variables.beneath(() if quick else second, report)
    return Project(
        options=options, files=files, folder=folder, environment=environment, variables=variables,
        vars_files=tuple(_named(start, name, "--vars-file") for name in options.vars_files),
        name=_given_name(options.project_name, variables), profiles=_profiles(options.profiles, variables),
    )  # fmt: skip


def start_folder(folder: str) -> str:
    """-C as an absolute path. BadInput where it is none, or gone."""
    try:
        found = os.path.abspath(folder)
    except FileNotFoundError:
        raise BadInput("the current folder is gone", hint="cd to another one, or name it with -C") from None
    if not os.path.isdir(found):
        raise BadInput(f"no folder {found}", hint="-C names the folder of the stack file")
    return found


def _directory(start: str, given: str | None) -> str | None:
    if not given:
        return None
    found = os.path.normpath(os.path.join(start, given))
    if not os.path.isdir(found):
        raise BadInput(f"no folder {given}", hint="--project-directory names the folder where relative paths start")
    return found


def _folder_of(files: Sequence[File]) -> str | None:
    return next((os.path.dirname(file.path) for file in files if file.path != STDIN), None)


def _env_files(given: Sequence[str], start: str, environment: Mapping[str, str]) -> tuple[File, ...] | None:
    said_by = "--env-file"
    if not given and (listed := environment.get("COMPOSE_ENV_FILES")):
        given, said_by = [name for name in listed.split(",") if name], "COMPOSE_ENV_FILES"
    return tuple(_named(start, name, said_by) for name in given) if given else None


def _named(start: str, name: str, said_by: str) -> File:
    path = os.path.normpath(os.path.join(start, name))
    if not os.path.exists(path):
        raise BadInput(f"no file {name}", hint=f"{discover.near(name, path)}{said_by} names it; looked for {path}")
    if os.path.isdir(path):
        raise BadInput(f"{name} is a folder", hint=f"{said_by} names a file")
    return File(path, name, any_kind=True)


def _default(folder: str, start: str) -> tuple[File, ...]:
    path = os.path.join(folder, ".env")
    return (File(path, os.path.relpath(path, start)),) if os.path.isfile(path) else ()


def _telling(files: Sequence[File]) -> bool:
    return any(b"COMPOSE_" in file.read(MAX_BYTES + 1) for file in files)


def _disabled(environment: Mapping[str, str]) -> bool:
    said = environment.get("COMPOSE_DISABLE_ENV_FILE")
    if said and said not in _TRUE + _FALSE:
        raise BadInput(f"COMPOSE_DISABLE_ENV_FILE is {said!r}", hint="it is true or false")
    return said in _TRUE


def _value(variables: Variables, name: str) -> str | None:
    found = variables.get(name)
    return found[0] if found else None


def _profiles(given: Sequence[str], variables: Variables) -> tuple[str, ...]:
    listed = given or (_value(variables, "COMPOSE_PROFILES") or "").split(",")
    return tuple(dict.fromkeys(name for name in (text.strip() for text in listed) if name))


# --- the stack's name


def _given_name(given: str | None, variables: Variables) -> str | None:
    if given is not None:
        if not NAME.fullmatch(given):
            raise BadInput(f"{given!r} is no name of a stack", hint=NAME_HINT)
        return given
    found = variables.get("COMPOSE_PROJECT_NAME")
    if not found or not found[0]:
        return None
    if not NAME.fullmatch(found[0]):
        raise BadInput(f"{found[0]!r} is no name of a stack (COMPOSE_PROJECT_NAME from {found[1]})", hint=NAME_HINT)
    return found[0]


def named(project: Project, written: Sequence[Node], report: Report) -> str:
    """The stack's name. `written`: the `name:` nodes of the files and documents in order, variables put in.

    A name that no stack can have is a problem of its node, and is given back all the same. BadInput where the folder
    has to give the name and cannot.
    """
    if project.name is not None:
        return project.name
    said = [node for node in written if isinstance(node.value, str) and node.value]
    if not said:
        return discover.derived_name(project.folder)
    name = str(said[-1].value)
    if not NAME.fullmatch(name):
        report.problem(said[-1], f"{name!r} is no name of a stack", NAME_HINT)
    return name


def of_text(options: Options, file: File) -> Project:
    """A project of one file whose text is known, and of nothing beside it: no override, no `.env`."""
    environment = os.environ if options.environment is None else options.environment
    variables = Variables(environment)
    return Project(
        options=options, files=(file,), folder=os.path.dirname(file.path), vars_files=(), environment=environment,
        variables=variables, name=_given_name(options.project_name, variables), profiles=tuple(options.profiles),
    )  # fmt: skip
