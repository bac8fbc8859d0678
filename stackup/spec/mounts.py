"""`volumes` and `tmpfs` of a service: short and long -> one flat mapping a mount, as `model.VolumeMount` is."""

from __future__ import annotations

import posixpath
import re

from stackup.spec.forms import Context, take
from stackup.spec.nodes import Node, shorten

_NESTED = {"bind": ("create_host_path",), "volume": ("nocopy",), "tmpfs": ("size", "mode")}
_BIND_OPTIONS = {
    **dict.fromkeys(("private", "rprivate", "shared", "rshared", "slave", "rslave"), "propagation"),
    "z": "selinux", "Z": "selinux",
}  # fmt: skip
_CONSISTENCY = ("cached", "consistent", "delegated")
_HARMLESS = ("noexec", "nosuid", "nodev", "rw")
_BIND_MARKS = (".", "/", "~")
_WINDOWS = re.compile(r"[A-Za-z]:\\|\\\\|[A-Za-z]:/[^:]*:/")


def volumes(node: Node, ctx: Context) -> Node:
    if not node.is_list:
        return node
    made = [_mount(item, ctx) for item in node.list]
    return node.made([m for m in made if m is not None])


def _mount(item: Node, ctx: Context) -> Node | None:
    if item.is_map:
        return _long(item, ctx)
    if isinstance(item.value, str):
        if ctx.unknown(item):
            return item.made(ctx.rebased(item.value)) if item.value.startswith(".") else item
        return _short(item, ctx)
    ctx.report.problem(item, f"expected a volume as in 'data:/data', found {item.describe()}")
    return None


def _short(item: Node, ctx: Context) -> Node | None:
    if _WINDOWS.match(item.value):
        ctx.report.problem(item, f"{shorten(item.value)!r} begins with a path of Windows", "as in './src:/app'")
        return None
    parts = item.value.split(":")
    source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    if len(parts) > 3 or not target or (len(parts) > 1 and not source):
        message = f"{shorten(item.value)!r} is no volume"
        ctx.report.problem(item, message, "write [SOURCE:]TARGET[:ro], as in 'data:/data' or './src:/app:ro'")
        return None
    if not source and not target.startswith("/"):
        message = f"{shorten(item.value)!r} says no place in the container"
        ctx.report.problem(item, message, f"write '{shorten(item.value)}:/PATH'")
        return None
    made: dict[str, object] = {"type": "volume", "source": source, "target": target}
    if source.startswith("~") and source != "~" and not source.startswith("~/"):
        message = f"{shorten(source)!r} is the home of somebody else"
        ctx.report.problem(item, message, f"'~/' is your own; for a folder of this name write './{shorten(source)}'")
    if source.startswith(_BIND_MARKS):
        made |= {"type": "bind", "source": ctx.absolute(source)}
    bind: dict[str, Node] = {}
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in ("ro", "nocopy"):
            made["read_only" if option == "ro" else "nocopy"] = True
        elif option in _BIND_OPTIONS:
            bind[_BIND_OPTIONS[option]] = item.made(option)
        elif option in _CONSISTENCY:
            made["consistency"] = option
        elif option != "rw":
            ctx.report.warn(item, f"the option '{shorten(option)}' is unknown and ignored")
    nodes = {key: item.made(value) for key, value in made.items()}
    return item.made(nodes | ({"bind": item.made(bind)} if bind else {}))


def _long(item: Node, ctx: Context) -> Node:
    items = dict(item.items)
    kind = items.get("type")
    if kind is None:
        source = item.get("source")
        path = source is not None and isinstance(source.value, str) and source.value.startswith(_BIND_MARKS)
        items["type"] = item.implying("bind" if path else "volume")
    for nested, keys in _NESTED.items():
        if not (inner := items.get(nested)) or not inner.is_map:
            continue
        for key in keys:
            if (value := take(inner, key)) is not None:
                items[key] = value
        if not inner.items:
            del items[nested]
    source = items.get("source")
    if items["type"].value == "bind" and source is not None and isinstance(source.value, str):
        items["source"] = source.made(ctx.absolute(source.value))
    return item.made(items)


def tmpfs(node: Node, ctx: Context) -> list[Node]:
    """`/run:size=64m,mode=1777` -> a mount of type tmpfs."""
    found: list[Node] = []
    for item in node.list if node.is_list else [node]:
        if not isinstance(item.value, str):
            ctx.report.problem(item, f"expected a path as in '/run:size=64m', found {item.describe()}")
            continue
        target, _, options = item.value.partition(":")
        made: dict[str, object] = {"type": "tmpfs", "target": target}
        for option in filter(None, options.split(",")):
            name, _, value = option.partition("=")
            if name in ("size", "mode") and value:
                made[name] = value
            elif option == "ro":
                made["read_only"] = True
            elif name in ("uid", "gid"):
                ctx.report.problem(item, f"the tmpfs option '{name}' is not built yet", "leave it out")
            elif option not in _HARMLESS:
                ctx.report.warn(item, f"the tmpfs option '{shorten(option)}' is unknown and ignored")
        found.append(item.made({key: item.made(value) for key, value in made.items()}))
    return found


def clean(path: str) -> str:
    """A path inside a container: no `//`, no `.`, no final `/`."""
    return "/" + posixpath.normpath(path).lstrip("/")
