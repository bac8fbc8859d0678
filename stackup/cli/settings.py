"""The globals of a command line, and what follows from them: the root, the stack file, the stack's name.

Shared by the quick path and Typer: nothing heavy is imported at the top.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stackup.classes import dataclass
from stackup.cli.output import Color
from stackup.errors import BadInput, NotFound
from stackup.spec.decoding import MAX_BYTES

if TYPE_CHECKING:
    from stackup.spec.discover import File
    from stackup.spec.model import Loaded
    from stackup.spec.project import Project

# The options of stackup itself, and whether a value follows.
GLOBALS = {"-C": True, "-f": True, "--file": True, "-p": True, "--project-name": True, "--root": True,
           "--profile": True, "--env-file": True, "--set": True, "--vars-file": True, "--project-directory": True,
           "--color": True, "-q": False, "--quiet": False, "--debug": False}  # fmt: skip

# A `name:` that needs no YAML to be read: plain or quoted, on a line of its own at the top level.
_NAME_LINE = re.compile(
    r"""name:[ \t]+(?P<quote>["']?)(?P<name>[a-z0-9][a-z0-9_-]{0,62})(?P=quote)(?:[ \t]+#.*|[ \t]*)"""
)
# YAML reads these as numbers, booleans or nothing, or sees more documents, directives, anchors: the loader decides.
_UNSURE = re.compile(r"[0-9.]+|true|false|null|0[xo][0-9a-f]+|[0-9]+e[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`directory` -C, `files` -f, `name` -p, `root` --root, `sets` --set as given; None, (): not given."""

    directory: str | None = None
    files: tuple[str, ...] = ()
    name: str | None = None
    root: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    vars_files: tuple[str, ...] = ()
    project_directory: str | None = None
    color: Color = "auto"
    quiet: bool = False
    debug: bool = False

    def root_path(self) -> str:
        from stackup import paths

        return os.path.abspath(self.root) if self.root else paths.default_root()

    def load(self, services: Sequence[str] = (), *, interpolate: bool = True) -> Loaded:
        """The stack of the files; `services` are the ones that the line names. Its warnings are said at once."""
        from stackup.cli import output
        from stackup.spec.load import load

        loaded = load(
            self.directory or ".", self.files, project_name=self.name, project_directory=self.project_directory,
            env_files=self.env_files, profiles=self.profiles, services=services, variables=self._variables(),
            vars_files=self.vars_files, interpolate=interpolate,
        )  # fmt: skip
        for warning in () if self.quiet else loaded.warnings:
            output.warn(warning)
        return loaded

    def _variables(self) -> dict[str, str]:
        """--set as a mapping; the last one of a name counts."""
        found: dict[str, str] = {}
        for text in self.sets:
            name, equals, value = text.partition("=")
            if not name or not equals:
                raise BadInput(f"--set {text!r} sets nothing", hint="--set KEY=VALUE, for `vars:` of the stack file")
            found[name] = value
        return found

    def project(self, *, quick: bool = False) -> Project | None:
        """The files and what is known without reading them; None where the env files are wrong, which the loader
        tells. BadInput where there is no file. `quick`: env files that say nothing about COMPOSE_* are left alone."""
        from stackup.spec.project import Options, prepare
        from stackup.spec.report import Report

        report = Report()
        found = prepare(
            Options(
                folder=self.directory or ".", files=self.files, project_name=self.name, profiles=self.profiles,
                project_directory=self.project_directory, env_files=self.env_files,
            ),
            report, quick=quick,
        )  # fmt: skip
        return None if report.failed else found

    def stack(self) -> str:
        """The stack's name, for verbs that need no more of the file."""
        return self.quick_stack() or self.load().stack.name

    def has_file(self) -> bool:
        """Is there a stack file, or was there one? Then a word may be a service, folder of that name or not."""
        try:
            self.project(quick=True)
        except BadInput:
            return self._brought_up() is not None
        return True

    def quick_stack(self) -> str | None:
        """The stack's name where it can be read without YAML, None where the loader has to say."""
        from stackup.spec.discover import derived_name
        from stackup.spec.project import NAME

        if self.name is not None:
            return self.name if NAME.fullmatch(self.name) else None
        try:
            project = self.project(quick=True)
        except BadInput:
            if name := self._brought_up():
                return name
            raise
        if project is None:
            return None
        if project.name is not None:
            return project.name
        last = ""
        for file in project.files:
            found = _name_of(file)
            if found is None:
                return None
            last = found or last
        return last or derived_name(project.folder)

    def _brought_up(self) -> str | None:
        """The stack that was brought up from a file that is gone: it can be looked at and taken down all the same."""
        from stackup import paths
        from stackup.engine import verbs

        try:
            start = os.path.abspath(self.directory or ".")
        except FileNotFoundError:  # the current folder is gone
            return None
        folder = os.path.normpath(os.path.join(start, self.project_directory or ""))
        file = os.path.normpath(os.path.join(start, self.files[0])) if self.files else None
        if paths.find_root(self.root_path()) is None:
            return None
        found = [r.name for r in verbs.ls(self.root_path()) if (r.file == file if file else r.folder == folder)]
        return found[0] if len(found) == 1 else None


def _name_of(file: File) -> str | None:
    if file.path == "-":
        return None
    try:
        return name_in(file.read(MAX_BYTES + 1).decode("utf-8-sig"))
    except (BadInput, UnicodeDecodeError):
        return None


def verb_of(argv: Sequence[str]) -> str | None:
    """The verb of a command line: the first word that is neither a global nor its value."""
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            return word
        if GLOBALS.get(word):
            next(words, None)
    return None


def name_in(text: str) -> str | None:
    """The `name:` of a file as the loader would read it, "" where it has none, None where only the loader can tell."""
    lines = text.splitlines()
    names = [line for line in lines if re.match(r"""["'?]?name\b|<<""", line)]
    if any(line[:1] in ("%", "-", "{", "?", "&", "!", "*", "[", "|", ">") for line in lines):
        return None
    if not names:
        return ""
    found = _NAME_LINE.fullmatch(names[0])
    if len(names) > 1 or found is None or (not found["quote"] and _UNSURE.fullmatch(found["name"])):
        return None
    return found["name"]


def refuse_paths(given: Iterable[str], settings: Settings, verb: str, what: str = "services") -> None:
    """BadInput for what can only be a path; before the stack file is looked for, which may be in that other folder."""
    for name in given:
        path = os.path.join(settings.directory or ".", name)
        file = name.endswith((".yaml", ".yml")) and os.path.exists(path)
        if file or "/" in name or name in (".", "..") or (os.path.isdir(path) and not settings.has_file()):
            raise BadInput(f"{name!r} is a path, where {verb} takes {what}", hint=elsewhere(name, verb))


def replica_of(text: str) -> tuple[str, int | None]:
    """`web/2` -> web, 2; `web` -> web, None; anything else as it is: the check of names says what it is."""
    service, slash, number = text.partition("/")
    if not slash:
        return service, None
    if not number.isdigit() or number == "0":
        return text, None
    return service, int(number)


def check_services(given: Iterable[str], known: Iterable[str], settings: Settings, verb: str) -> None:
    """BadInput for a service that does not exist, with what was probably meant.

    `known` is empty where the stack is not up: NotFound then, for nothing else can be said about a name.
    """
    there = sorted(set(known))
    for name in given:
        if name in there:
            continue
        looks_like_path = "/" in name or name in (".", "..") or name.endswith((".yaml", ".yml"))
        if not there and not looks_like_path:
            raise NotFound(f"stack {settings.stack()} is not up", hint="run `stackup up`")
        if looks_like_path or os.path.exists(os.path.join(settings.directory or ".", name)):
            raise BadInput(f"{name!r} is a path, where {verb} takes services", hint=elsewhere(name, verb))
        raise BadInput(f"no service {name!r}", hint=did_you_mean(name, there, "the services are"))


def elsewhere(path: str, verb: str) -> str:
    if path.endswith((".yaml", ".yml")):
        return f"for another stack file: stackup -f {path} {verb}"
    return f"for another folder: stackup -C {path} {verb}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    import difflib

    there = list(known)
    near = difflib.get_close_matches(name, there, 1)
    listed = f"{otherwise} {', '.join(there)}" if there else f"{otherwise} none"
    return f"did you mean {near[0]!r}? {listed}" if near else listed
