"""`include`: other projects, each complete in itself, whose services, volumes and so on become part of this one.

The file that includes has the last word: what it says is laid over what it includes. Two projects that it includes must
not say two things under one name.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from stackup.spec.discover import File
from stackup.spec.merge import merge
from stackup.spec.nodes import Node, shorten
from stackup.spec.sources import Source
from stackup.spec.suggest import did_you_mean
from stackup.spec.variables import Variables, not_utf_8

if TYPE_CHECKING:
    from stackup.spec.files import Files, Scope

SECTIONS = ("images", "services", "networks", "volumes", "secrets", "configs", "models")
_KEYS = ("path", "project_directory", "env_file")
_NOTHING = "/dev/null"
MAX_DEPTH = 50


def resolve(document: Node, scope: Scope, files: Files) -> Node:
    """The document laid over what it includes; `scope.way` ends with its own file."""
    entries = document.items["include"]
    own = document.made({key: child for key, child in document.items.items() if key != "include"})
    if entries.value is None:
        return own
    if not entries.is_list:
        hint = (
            f"write include: [{shorten(entries.text)}]" if isinstance(entries.value, str) else "each begins with '- '"
        )
        files.report.problem(entries, f"expected a list, found {entries.describe()}", hint)
        return own
    work = _Work(scope, files)
    for entry in entries.list:
        work.include(entry)
    return merge(own.made(work.sections()), own, files.report)


class _Work:
    def __init__(self, scope: Scope, files: Files) -> None:
        self.scope = scope
        self.files = files
        self.report = files.report
        self.found: dict[str, dict[str, Node]] = {section: {} for section in SECTIONS}
        self.first: dict[str, Node] = {}  # the sections as they are written in what is included first
        self.owners: dict[tuple[str, str], Node] = {}  # section and name -> the entry that brought it

    def sections(self) -> dict[str, Node]:
        return {section: self.first[section].made(nodes) for section, nodes in self.found.items() if nodes}

    def include(self, entry: Node) -> None:
        paths, folder, env_files = self.read(entry)
        found = [self.files.found(path, self.scope.folder) for path in paths]
        there = [file for file in found if file is not None]
        if not paths or len(there) < len(found) or self.circle(there, paths) or self.too_deep(entry):
            return
        if folder is None:
            start = os.path.dirname(there[0].path)
        else:
            start = os.path.normpath(os.path.join(self.scope.folder, folder.value))
            if not os.path.isdir(start):
                self.report.problem(folder, f"no folder {shorten(folder.value)!r}", f"looked for {start}")
                return
        variables = self.files.within(self.scope.variables, self.env_files(env_files, start))
        known = self.files.known(there, variables, self.scope.known)
        inner = replace(self.scope, folder=start, variables=variables, known=known, entry=entry)
        tree = self.files.model(there, inner)
        if tree is not None:
            self.take(tree, entry)

    def read(self, entry: Node) -> tuple[list[Node], Node | None, list[Node] | None]:
        """The nodes of `path`, of `project_directory` and of `env_file`."""
        if isinstance(entry.value, str):
            return [entry], None, None
        if not entry.is_map:
            self.report.problem(entry, f"expected a file, found {entry.describe()}", "or {path: ..., env_file: ...}")
            return [], None, None
        meant = False
        for key, child in entry.items.items():
            if key not in _KEYS and not key.startswith("x-"):
                near = did_you_mean(key, _KEYS)
                meant = meant or (near is not None and "'path'" in near)
                self.report.problem(child, "unknown key", near or f"known here: {', '.join(_KEYS)}", at_key=True)
        path, folder, env_file = (entry.get(key) for key in _KEYS)
        if (path is None and not meant) or (path is not None and path.value == []):
            self.report.problem(entry, "'path' is missing", "it names the file to include")
        if folder is not None and (not isinstance(folder.value, str) or not folder.value or "\0" in folder.value):
            self.report.problem(folder, f"expected a folder, found {folder.describe()}")
            folder = None
        listed = None if env_file is None else env_file.list if env_file.is_list else [env_file]
        return [] if path is None else path.list if path.is_list else [path], folder, listed

    def env_files(self, named: list[Node] | None, folder: str) -> list[File]:
        """Those that are named, else `.env` of the included project."""
        if named is None:
            default = os.path.join(folder, ".env")
            self.files.looked_for.setdefault(default, "")
            return [File(default, self.files.shown(default))] if os.path.isfile(default) else []
        found = [self.files.found(node, self.scope.folder) for node in named if node.value != _NOTHING]
        return [file for file in found if file is not None]

    def too_deep(self, entry: Node) -> bool:
        deep = len(self.scope.way) > MAX_DEPTH
        if deep:
            self.report.problem(entry, f"files include each other more than {MAX_DEPTH} deep")
        return deep

    def circle(self, there: list[File], paths: list[Node]) -> bool:
        way = self.scope.way
        steps = [file.path for file, _ in way]
        for file, node in zip(there, paths, strict=True):
            if file.path in steps:
                rest = way[steps.index(file.path) :]
                names = [rest[0][0].shown, *(f"{f.shown} ({e.place if e else ''})" for f, e in rest[1:])]
                chain = " -> ".join([*names, f"{file.shown} ({node.place})"])
                self.report.problem(node, f"files include each other: {chain}", "take one of them out")
                return True
        return False

    def take(self, tree: Node, entry: Node) -> None:
        for section, taken in self.found.items():
            nodes = tree.items.get(section)
            if nodes is None:
                continue
            self.first.setdefault(section, nodes)
            for name, node in nodes.items.items():
                first = taken.setdefault(name, node)
                owner = self.owners.setdefault((section, name), entry)
                if first is not node and first.plain() != node.plain():
                    self.two_things(name, first, node, owner, entry)

    def two_things(self, name: str, first: Node, node: Node, owner: Node, entry: Node) -> None:
        if first.key_place == node.key_place:  # of one file
            message = f"'{shorten(name)}' ({node.key_place}) comes out unlike what is included at {owner.place}"
            self.report.problem(entry, message, "its variables differ; include the file once")
            return
        message = f"'{shorten(name)}' is something else at {first.key_place}, which is included too"
        self.report.problem(node, message, "rename one of them, or include one of the two", at_key=True)


def with_environment(tree: Node, variables: Variables) -> Node:
    """An included project's tree with the variables that its services name without a value: they are its own."""
    services = tree.items.get("services")
    if services is None or not services.is_map:
        return tree
    made = {name: _service(service, variables) for name, service in services.items.items()}
    return tree.made(tree.items | {"services": services.made(made)})


def _service(service: Node, variables: Variables) -> Node:
    environment = service.items.get("environment")
    if environment is None or not any(value.value is None for value in environment.items.values()):
        return service
    made = dict(environment.items)
    for name, value in environment.items.items():
        found = variables.get(name) if value.value is None else None
        if found is not None and not not_utf_8(found[0]):
            made[name] = value.made(found[0])
            made[name].sources = (Source(name, found[1]),)
    return service.made(service.items | {"environment": environment.made(made)})
