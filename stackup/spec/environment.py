"""What services take from outside their file: `env_file`, `label_file`, and variables named without a value.

Order of strength, weakest first: the image's own, earlier `env_file`, later `env_file`, `environment`. A name without a
value is taken from the project's variables; where those have none, it is taken away from the image's (`None` in the
model). A variable inside an `env_file` is looked up among the project's, then in the service's `environment`, then in
the lines above it, then in the files before; one inside a `label_file` in the files before, then in the lines above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackup.errors import BadInput
from stackup.spec import units
from stackup.spec.decoding import MAX_BYTES, decode, regular
from stackup.spec.forms import Context
from stackup.spec.nodes import Node, shorten
from stackup.spec.sources import Source
from stackup.spec.variables import Variables, not_utf_8

if TYPE_CHECKING:
    from stackup.spec.dotenv import Entry
    from stackup.spec.interpolate import Lookup

MOST_READ = 32 << 20  # characters, a file counted as often as it has to be read
MOST_VARIABLES = 300_000
_MOST_ANSWERS = 4


def resolve(root: Node, ctx: Context, variables: Variables) -> None:
    """Fill `environment` and `labels` of every service, in place. Values from a file have their place in that file.

    `root` holds the services that take part: the files of others may be missing.
    """
    work = _Work(ctx, variables)
    services = root.items.get("services")
    for service in services.items.values() if services is not None else ():
        if service.is_map:
            work.environment(service)
            work.labels(service)
    images = root.items.get("images")
    for image in images.items.values() if images is not None else ():
        config = image.items.get("config")
        environment = config.items.get("environment") if config is not None else None
        for name, value in environment.items.items() if environment is not None else ():
            if value.value is None:
                hint = "write its value: an image must not depend on who builds it"
                ctx.report.problem(value, f"'{shorten(name)}' has no value", hint)


class _Work:
    def __init__(self, ctx: Context, variables: Variables) -> None:
        self.ctx = ctx
        self.variables = variables
        self.texts: dict[str, str | None] = {}
        self.left = MOST_READ
        self.variables_left = MOST_VARIABLES
        # What a file asked for, the answers, and what it made of them; the last time first.
        self.answered: dict[tuple[str, bool], list[tuple[tuple[_Asked, _Asked], dict[str, Entry]]]] = {}

    def environment(self, service: Node) -> None:
        own = service.items.get("environment")
        if own is not None and not own.is_map and own.value is not None:
            return  # told by `validate`
        written = {name: self.taken(name, node) for name, node in own.items.items()} if own is not None else {}

        def lookup(name: str) -> tuple[str, str] | None:
            if (found := self.variables.get(name)) is not None:
                return found
            node = written.get(name)
            return None if node is None or node.value is None else _told(node)

        merged: dict[str, Node] = {}
        files = service.items.get("env_file")
        for entry in files.list if files is not None else ():
            path, required, form = (entry.get(key) for key in ("path", "required", "format"))
            if path is not None and isinstance(path.value, str):
                raw = form is not None and form.value == "raw"
                merged |= self.read(path, _wanted(required), raw, lookup, _of(merged), (*service.path, "environment"))
        if merged or written:
            service.items["environment"] = (own or files or service).made(merged | written)

    def taken(self, name: str, node: Node) -> Node:
        """A name without a value gets the project's."""
        found = self.variables.get(name) if node.value is None else None
        if found is None:
            return node
        value, where = found
        made = node.made(value)
        made.sources = (Source(name, where),)
        if not_utf_8(value):
            self.ctx.report.problem(node, f"the value of '{shorten(name)}' in your environment is not UTF-8")
        return made

    def labels(self, service: Node) -> None:
        files, own = service.items.get("label_file"), service.items.get("labels")
        if files is None or (own is not None and not own.is_map and own.value is not None):
            return
        merged: dict[str, Node] = {}
        for path in files.list if files.is_list else [files]:
            if isinstance(path.value, str):
                merged |= self.read(path, True, False, _of(merged), _nothing, (*service.path, "labels"))
        if merged:
            service.items["labels"] = (own or files).made(merged | (own.items if own is not None else {}))

    # --- files

    def read(
        self, node: Node, required: bool, raw: bool, lookup: Lookup, before: Lookup, path: tuple[str | int, ...]
    ) -> dict[str, Node]:
        text = self.text(node, required)
        if text is None:
            return {}
        nodes: dict[str, Node] = {}
        found = self.parsed(node, text, raw, lookup, before)
        self.variables_left -= len(found)
        if self.variables_left < 0:
            self.ctx.report.problem(node, f"the env files give all services more than {MOST_VARIABLES} variables")
            return {}
        for name, entry in found.items():
            at = (entry.line, entry.column)
            made = Node(entry.value, node.value, *at, (*path, name), at, entry.value, None, entry.sources)
            nodes[name] = made
        return nodes

    def text(self, node: Node, required: bool) -> str | None:
        path = self.ctx.absolute(node.value)
        if path in self.texts:
            return self.texts[path]
        self.texts[path] = None
        problem = self.ctx.report.problem
        try:
            self.texts[path] = decode(regular(path, MAX_BYTES + 1), node.value)
        except FileNotFoundError:
            del self.texts[path]  # the next service may ask for it, too
            if required:
                problem(node, f"no file {shorten(node.value)!r}", _HINTS.get(_key(node)))
        except BadInput as error:
            problem(node, error.message, error.hint)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            problem(node, f"{shorten(node.value)!r} cannot be read: {reason}")
        return self.texts.get(path)

    def parsed(self, node: Node, text: str, raw: bool, lookup: Lookup, before: Lookup) -> Mapping[str, Entry]:
        """The variables of a file. Many services may name it: it is read again only where it asks for something outside
        and is told something else than before."""
        known = self.answered.setdefault((node.value, raw), [])
        for answers, entries in known:
            if all(ask(name) == answer for ask, told in zip((lookup, before), answers, strict=True)
                   for name, answer in told.items()):  # fmt: skip
                return entries
        self.left -= len(text)
        if self.left < 0:
            self.ctx.report.problem(node, f"the env files of all services have more than {MOST_READ} characters")
            return {}
        asked = _Asked(lookup), _Asked(before)
        from stackup.spec import dotenv  # where no service names a file, its price is not paid

        found = dotenv.parse(
            text, node.value, asked[0].__getitem__, self.ctx.report, raw=raw, before=asked[1].__getitem__
        )
        known.insert(0, (asked, found))
        del known[_MOST_ANSWERS:]
        return found


class _Asked(dict[str, tuple[str, str] | None]):
    """Asks, and remembers the answers."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__()
        self.lookup = lookup

    def __missing__(self, name: str) -> tuple[str, str] | None:
        answer = self[name] = self.lookup(name)
        return answer


def _told(node: Node) -> tuple[str, str]:
    return node.text, f"{node.file}:{node.line}"


def _of(nodes: Mapping[str, Node]) -> Lookup:
    """Asks what is in `nodes` at that time."""
    return lambda name: _told(nodes[name]) if name in nodes else None


def _nothing(name: str) -> None:
    return None


_HINTS = {"env_file": "or write {path: ..., required: false}"}


def _key(node: Node) -> str:
    return next((part for part in reversed(node.path) if isinstance(part, str) and part.endswith("_file")), "")


def _wanted(required: Node | None) -> bool:
    return required is None or units.truth(required.value) is not False
