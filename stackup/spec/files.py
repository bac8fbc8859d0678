"""Files -> one canonical tree. Each document of each file, in order: parsed, its variables put in, made long, what it
includes laid below it, what its services extend resolved; then laid over the documents before it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stackup.classes import dataclass
from stackup.errors import BadInput
from stackup.spec import canonical, dialects, vars
from stackup.spec.discover import File
from stackup.spec.forms import Context, Room
from stackup.spec.merge import merge, settled
from stackup.spec.nodes import MAX_BYTES, MAX_NODES, Node, decode, documents
from stackup.spec.project import Project
from stackup.spec.report import Report
from stackup.spec.substitute import substitute
from stackup.spec.variables import Variables
from stackup.spec.vars import Vars

MAX_FILES = 1000
MAX_VALUES = 5 * MAX_NODES  # of all files, one that is included several times counted as often


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What the files of one project share; an included project has its own.

    `folder`: where their relative paths start. `known`: what `vars` stands for in its stack files; in those of an
    included project, the `vars` of the one that includes it are laid over its own. `entry`: what includes it. `way`:
    the files that include each other down to here, each with the entry that includes it.
    """

    folder: str
    variables: Variables
    known: Vars
    entry: Node | None = None
    way: tuple[tuple[File, Node | None], ...] = ()


class Files:
    """Reads the files of a project, each once, and remembers which.

    `texts`: what is in a file, by path, where that is known already. `looked_for`: every path that was asked for, and
    what it is called; nothing where it was not there.
    """

    def __init__(self, project: Project, report: Report, texts: Mapping[str, str] | None = None) -> None:
        self.project = project
        self.report = report
        self.texts = texts or {}
        self.looked_for: dict[str, str] = {}
        self.given = vars.given(project.options.variables, project.vars_files, report)
        self._start = os.path.abspath(project.options.folder)
        self._parsed: dict[str, list[Node]] = {}
        self._extended: dict[tuple[object, ...], Node | None] = {}
        self._models: dict[tuple[object, ...], Node | None] = {}
        self._variables: dict[tuple[object, ...], Variables] = {}
        self._includes = 0
        self._values: int | None = None
        self._room = Room()

    def parsed(self, file: File) -> list[Node]:
        """The documents of a file as they are written, each a mapping. BadInput where it cannot be read."""
        known = self._parsed.get(file.path)
        if known is not None:
            return known
        if len(self._parsed) >= MAX_FILES:
            raise BadInput(f"{file.shown}: more than {MAX_FILES} files make one stack")
        self.looked_for[file.path] = file.shown
        text = self.texts.get(file.path)
        if text is None:
            text = decode(file.read(MAX_BYTES + 1), file.shown)
        roots = documents(text, file.shown, self.report)
        for root in roots:
            if not root.is_map:
                message = f"expected a mapping with {dialects.content(file.dialect)}, found {root.describe()}"
                self.report.problem(root, message)
        self._parsed[file.path] = roots = [root for root in roots if root.is_map]
        return roots

    def documents(self, file: File, scope: Scope) -> list[Node]:
        """The documents of a file in canonical form; its relative paths start at the scope's folder."""
        project = self.project
        literal = not project.options.interpolate
        context = Context(
            scope.folder,
            project.environment,
            self.report,
            project.folder,
            file.dialect,
            literal=literal,
            room=self._room,
        )
        found = []
        roots = self.parsed(file)
        self._count(file, roots)
        for root in roots:
            if (version := root.items.get("version")) is not None:
                from stackup.spec import support  # only for this

                self.report.warn(version, support.told(support.at("", "version")), at_key=True)
                root = root.made({key: node for key, node in root.items.items() if key != "version"})
            dialects.inner(root, self.report)
            if file.dialect == "compose":
                dialects.check(root, self.report)
            made = canonical.canonical(self.substituted(root, scope, file), context)
            found.append(made if literal else vars.into_layers(made, scope.known))
        return found

    def _count(self, file: File, roots: Sequence[Node]) -> None:
        """Hold the bound on all that is read; the first file has its own."""
        if self._values is None:
            self._values = MAX_VALUES
            return
        self._values -= sum(map(_size, roots))
        if self._values < 0:
            raise BadInput(f"{file.shown}: the files of this stack have more than {MAX_VALUES} values")

    def top(self, files: Sequence[File], key: str) -> list[tuple[File, Node]]:
        """The documents that say something under a top-level `key`, and no more of them than that."""
        return [
            (file, root.made({key: root.items[key]}))
            for file in files
            for root in self.parsed(file)
            if key in root.items
        ]

    def substituted(self, root: Node, scope: Scope, file: File, *, always: bool = False) -> Node:
        """A document with variables put in; `always`, also where they are left as they are written."""
        if not (always or self.project.options.interpolate):
            return root
        return substitute(root, scope.variables, scope.known, self.report, file.dialect)

    def known(self, files: Sequence[File], variables: Variables, stronger: Vars) -> Vars:
        """What `{{ vars.x }}` stands for in the files of one project: their own `vars`, and over them what is
        `stronger`."""
        said = [(file, root) for file, root in self.top(files, "vars") if file.dialect == "stack"]
        if self.project.options.interpolate:
            said = [(file, substitute(root, variables, None, self.report, file.dialect)) for file, root in said]
        return vars.gather([root.items["vars"] for _, root in said], stronger) if said else stronger

    def tree(self, files: Sequence[File], scope: Scope) -> Node | None:
        """The files laid over each other, without `!reset` and `!override`; None where nothing is in them."""
        below: Node | None = None
        for file in files:
            inner = replace(scope, way=(*scope.way, (file, scope.entry)))
            for document in self.documents(file, scope):
                whole = self._with_extended(self._with_included(document, inner), below, file, scope)
                below = whole if below is None else merge(below, whole, self.report)
        return None if below is None else settled(below)

    def _with_included(self, document: Node, scope: Scope) -> Node:
        if "include" not in document.items:
            return document
        from stackup.spec import include  # few files do, and only they pay for it

        return include.resolve(document, scope, self)

    def _with_extended(self, document: Node, below: Node | None, file: File, scope: Scope) -> Node:
        services = document.items.get("services")
        if services is None or not any("extends" in service.items for service in services.items.values()):
            return document
        from stackup.spec import extends  # as above

        return extends.resolve(document, below, file, scope, self)

    def model(self, files: Sequence[File], scope: Scope) -> Node | None:
        """The tree of an included project. One that is included from several places is one tree."""
        key = (tuple(file.path for file in files), scope.folder, id(scope.variables), id(scope.known))
        if key not in self._models:
            self._includes += 1
            if self._includes > MAX_FILES:
                raise BadInput(f"{files[0].shown}: more than {MAX_FILES} includes make one stack")
            from stackup.spec import include  # as above

            tree = self.tree(files, scope)
            self._models[key] = None if tree is None else include.with_environment(tree, scope.variables)
        return self._models[key]

    def within(self, above: Variables, files: Sequence[File]) -> Variables:
        """The variables of an included project: those of the one that includes it, then its own env files."""
        if not files:
            return above
        key = (id(above), tuple(file.path for file in files))
        if key not in self._variables:
            self._variables[key] = above.beneath(files, self.report)
            self.looked_for |= {file.path: file.shown for file in files}
        return self._variables[key]

    def extended(self, file: File, scope: Scope) -> Node | None:
        """A file that a service extends a service of: its documents, with nothing included and nothing extended. The
        `vars` of the project are laid over its own, as what extends is laid over what is extended."""
        key = (file.path, id(scope.variables), id(scope.known))
        if key not in self._extended:
            below: Node | None = None
            known = self.known([file], scope.variables, scope.known)
            inner = replace(scope, folder=os.path.dirname(file.path), known=known)
            for document in self.documents(file, inner):
                below = document if below is None else merge(below, document, self.report)
            self._extended[key] = None if below is None else settled(below)
        return self._extended[key]

    def found(self, node: Node, folder: str) -> File | None:
        """The file that `node` names from `folder`; a problem, and None, where there is none."""
        name = node.value
        if not isinstance(name, str) or not name or "\0" in name:
            what = f"expected the name of a file, found {node.describe()}" if name != "" else "names no file"
            self.report.problem(node, what)
            return None
        if name.startswith(("git@", "github.com/")) or "://" in name:
            self.report.problem(node, f"{name!r} is not on this machine", "only local files can be named here")
            return None
        if "$" in name and not self.project.options.interpolate:
            self.report.problem(node, f"{name!r} is not known while variables are left as they are written")
            return None
        if name.startswith("~/"):
            name = (self.project.environment.get("HOME") or "/root") + name[1:]
        path = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(path):
            return File(path, self.shown(path))
        self.looked_for.setdefault(path, "")
        self.report.problem(node, *self._absent(name, path))
        return None

    def _absent(self, name: str, path: str) -> tuple[str, str | None]:
        from stackup.spec.suggest import file_meant

        if os.path.isdir(path):
            return f"{name!r} is a folder", "name a file in it"
        if os.path.exists(path):
            return f"{name!r} is no regular file", None
        return f"no file {name!r}", file_meant(name, path) or f"looked for {path}"

    def shown(self, path: str) -> str:
        """A path as messages call it: from the folder where we were called, unless that is the longer way."""
        near = os.path.relpath(path, self._start)
        return near if len(near) < len(path) else path

    @property
    def names(self) -> tuple[str, ...]:
        """Every file that was read, as it is shown."""
        return tuple(shown for shown in self.looked_for.values() if shown)


def _size(node: Node) -> int:
    return 1 + sum(map(_size, node.items.values())) + sum(map(_size, node.list))
