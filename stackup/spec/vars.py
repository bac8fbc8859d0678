"""`vars:` of stack files: what `{{ vars.x }}` stands for, and what template layers see.

    the file's own, a later file's over an earlier one's  <  --vars-file, in order  <  --set NAME=VALUE, in order

Mappings are laid over each other key by key, everything else is replaced; `!reset` takes a value away, `!override`
replaces a mapping as a whole. `${NAME}` is put into values of a stack file, `{{ }}` never is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stackup.errors import BadInput
from stackup.spec.discover import File
from stackup.spec.nodes import MAX_BYTES, MAX_DEPTH, Node, core_scalar, decode, parse, shorten
from stackup.spec.report import Report, found
from stackup.spec.suggest import did_you_mean

SET = "--set"
Keys = tuple[str, ...]


class Vars:
    """A tree of values, each with the place it was written at. Not changed once it is made."""

    def __init__(self, root: Node | None = None) -> None:
        self.root = root or Node({}, "", 1, 1, ("vars",))

    @functools.cached_property
    def plain(self) -> Mapping[str, Any]:
        """The values alone, for Jinja2."""
        values: dict[str, Any] = self.root.plain()
        return values

    def over(self, below: Vars) -> Vars:
        """These laid over others."""
        return Vars(overlaid(below.root, self.root))

    def get(self, keys: Keys) -> Node | None:
        node: Node | None = self.root
        for key in keys:
            node = node.items.get(key) if node is not None else None
        return node

    def where(self, keys: Keys) -> str | None:
        """Where a value was said: `--set`, `stack.yaml:4`; where it is not there, what holds it. None: nothing does."""
        node = self.root
        for key in keys:
            node = node.items.get(key, node)
        if node is self.root:
            return None
        return SET if node.file == SET else f"{node.file}:{node.line}"

    def absent(self, keys: Keys) -> tuple[str, str]:
        """What to say of a value that is not there, and a hint."""
        node = self.root
        for index, key in enumerate(keys):
            child = node.items.get(key)
            if child is None:
                return _absent(node, ".".join(("vars", *keys[:index])), key)
            node = child
        raise AssertionError("it is there")


def _absent(node: Node, owner: str, key: str) -> tuple[str, str]:
    message = f"no '{shorten(key)}' in {owner}"
    if node.value is not None and not node.is_map:
        return message, f"{owner} is {node.describe()}"
    if not node.items:
        name = "NAME" if owner == "vars" else f"{owner.removeprefix('vars.')}.NAME"
        return message, f"write it under 'vars:', or say --set {name}=VALUE".replace("NAME", shorten(key))
    return message, did_you_mean(key, node.items) or f"there is {found(node.items)}"


def gather(written: Sequence[Node], stronger: Vars) -> Vars:
    """The variables of a project: the `vars` nodes of its documents in order (`${}` put in), and over them what is
    `stronger`: the command line's, or those of the project that includes it.

    A `vars` that is no mapping is left to `validate`.
    """
    merged = Vars()
    for node in written:
        if node.is_map or node.tag:
            merged = Vars(node).over(merged)
    return stronger.over(merged)


def given(settings: Mapping[str, str], files: Sequence[File], report: Report) -> Vars:
    """What the command line says: `files` of --vars-file, then `settings` of --set over them.

    BadInput for a file that cannot be read and for a setting that is none; what is wrong in a file goes to `report`.
    """
    made = Vars()
    for file in files:
        made = _file(file, report).over(made)
    for name, value in settings.items():
        made = _setting(name, value).over(made)
    return made


def _file(file: File, report: Report) -> Vars:
    """JSON is YAML; so one reader does for both."""
    root = parse(decode(file.read(MAX_BYTES + 1), file.shown), file.shown, report)
    if root is None or root.value is None:
        return Vars()
    if not root.is_map:
        report.problem(root, f"expected a mapping of variables, found {root.describe()}")
        return Vars()
    lossy_numbers(root, report)
    return Vars(root)


def lossy_numbers(node: Node, report: Report) -> None:
    """Warn of numbers that come out another way than they are written: `1.10` is 1.1, `0644` is 420."""
    for child in node.walk():
        if type(child.value) in (int, float) and str(child.value) != child.text:
            report.warn(child, f"{child.text} is the number {child.value}; put quotes around it to keep it as it is")


def _setting(name: str, value: str) -> Vars:
    keys = name.removeprefix("vars.").split(".")
    if not all(keys):
        raise BadInput(f"--set {name}={shorten(value)} names no variable", hint="as in --set web.port=8080")
    if len(keys) > MAX_DEPTH:
        raise BadInput(f"--set {shorten(name)}: more than {MAX_DEPTH} parts")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in name + value):
        raise BadInput(f"--set {shorten(name.encode(errors='replace').decode())}: not UTF-8")
    path: tuple[str, ...] = ("vars", *keys)
    node = Node(_cast(value), SET, 1, 1, path, text=value)
    for index in range(len(keys) - 1, -1, -1):
        node = Node({keys[index]: node}, SET, 1, 1, path[: index + 1])
    return Vars(node)


def _cast(text: str) -> object:
    """The text as a scalar of YAML: a number, true or false, nothing, else text. Quotes keep it text."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return core_scalar(text) if text == text.strip() else text


def overlaid(below: Node, above: Node) -> Node:
    """`above` laid over `below`: mappings key by key, unless it says `!override`; `!reset` leaves nothing."""
    if not (above.is_map and below.is_map) or above.tag == "!override":
        return _settled(above)
    items = dict(below.items)
    for key, child in above.items.items():
        if child.tag == "!reset":
            items.pop(key, None)
        else:
            items[key] = overlaid(items[key], child) if key in items else _settled(child)
    return Node(items, above.file, above.line, above.column, above.path, above.key)


def _settled(node: Node) -> Node:
    """Without what `!reset` marks."""
    if node.tag == "!reset":
        return Node({} if node.is_map else None, node.file, node.line, node.column, node.path, node.key)
    if not node.is_map:
        return node
    items = {key: _settled(child) for key, child in node.items.items() if child.tag != "!reset"}
    return Node(items, node.file, node.line, node.column, node.path, node.key)


def into_layers(tree: Node, known: Vars) -> Node:
    """The document with what its template layers say under `vars` laid over `known`. `tree` is canonical."""
    images = tree.items.get("images")
    if not known.root.items or images is None or not images.is_map:
        return tree
    return with_value(tree, tree.items | {"images": _each(images, lambda image: _image(image, known))})


def _image(image: Node, known: Vars) -> Node:
    layers = image.items.get("layers")
    if layers is None or not any("template" in layer.items for layer in layers.list):
        return image
    return with_value(image, image.items | {"layers": _each(layers, lambda layer: _layer(layer, known))})


def _layer(layer: Node, known: Vars) -> Node:
    template = layer.items.get("template")
    if template is None or not template.is_map:
        return layer
    own = template.items.get("vars")
    if own is None or own.value is None:
        own = known.root
    elif own.is_map:
        own = overlaid(known.root, own)
    return with_value(layer, layer.items | {"template": with_value(template, template.items | {"vars": own})})


def _each(node: Node, change: Callable[[Node], Node]) -> Node:
    if node.is_list:
        return with_value(node, [change(item) for item in node.list])
    return with_value(node, {key: change(child) for key, child in node.items.items()})


def with_value(node: Node, value: Any) -> Node:
    """The node with other children, its tag kept."""
    return Node(value, node.file, node.line, node.column, node.path, node.key, node.text, node.tag, node.sources)


TEXTLESS = {
    "nothing": "give it a value, or write {{ vars.x or '' }}",
    "a list": "as in {{ vars.x | join(' ') }}",
    "a mapping": "name one of its keys",
}


def as_text(value: Any) -> tuple[str | None, str]:
    """A value as YAML writes it, or None and what it is."""
    if isinstance(value, str):
        return value, ""
    if isinstance(value, bool):
        return ("true" if value else "false"), ""
    if isinstance(value, int | float):
        return str(value), ""
    if value is None:
        return None, "nothing"
    if isinstance(value, Mapping):
        return None, "a mapping"
    return None, "a list" if isinstance(value, list) else f"a {type(value).__name__}"
