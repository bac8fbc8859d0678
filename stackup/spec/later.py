"""Short -> long for the keys that are checked and not obeyed yet: so they merge and are printed in one form."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from stackup.spec import forms
from stackup.spec.forms import Context, Form, mapping
from stackup.spec.nodes import Node

SECRETS = "/run/secrets"


def each(form: Form) -> Form:
    """The form of a list whose items have one; a single item stands for a list of it only where `form` says so."""

    def long(node: Node, ctx: Context) -> Node:
        return node.made([form(item, ctx) for item in node.list]) if node.is_list else node

    return long


def path(node: Node, ctx: Context) -> Node:
    """A path of the file as the project's folder would write it."""
    return node.made(ctx.rebased(node.value)) if isinstance(node.value, str) else node


def granted(folder: str) -> Form:
    """`name` -> `{source: name, target: /folder/name}`; a relative target lies below the folder too."""

    def long(item: Node, ctx: Context) -> Node:
        made = item.made({"source": item.made(item.value)}) if isinstance(item.value, str) else item
        source, target = made.get("source"), made.get("target")
        named = target or source
        if named is None or not isinstance(named.value, str) or not named.value or ctx.unknown(named):
            return made
        full = named.made(posixpath.join(folder, named.value))
        return made.made(made.items | {"target": full})

    return long


def device(item: Node, ctx: Context) -> Node:
    """`SRC[:DST[:rwm]]`, or the name of a device in CDI's way -> `{source, target, permissions}`."""
    if not isinstance(item.value, str) or ctx.unknown(item):
        return item
    source, _colon, rest = item.value.partition(":")
    if not source.startswith("/") and "=" in item.value:
        source, rest = item.value, ""
    target, _colon, permissions = rest.partition(":")
    if target and not permissions and not target.startswith("/"):
        target, permissions = "", target
    made = {"source": source, "target": target or source, "permissions": permissions or "rwm"}
    return item.made({key: item.made(value) for key, value in made.items()})


def graphics(node: Node, _: Context) -> Node:
    """`all` -> `[{count: all}]`."""
    return node.made([node.made({"count": node.made("all")})]) if node.value == "all" else node


def external(node: Node, ctx: Context) -> Node:
    """A definition's old `external: {name: x}` -> `external: true, name: x`; nothing -> `{}`."""
    if node.value is None:
        return node.made({})
    found = node.items.get("external")
    if found is None or not found.is_map:
        return node
    items = dict(node.items) | {"external": found.made(True)}
    if (name := found.get("name")) is not None and items.setdefault("name", name) is not name:
        ctx.report.problem(name, "'external.name' together with 'name'", "write 'name' only", at_key=True)
    for key, value in found.items.items():
        if key != "name" and not key.startswith("x-"):
            ctx.report.problem(value, "unknown key", "known here: name", at_key=True)
    return node.made(items)


def definition(node: Node, ctx: Context) -> Node:
    """A definition under the top-level `secrets` or `configs`."""
    return mapping({"labels": forms.pairs, "file": path})(external(node, ctx), ctx)


_HOOK = mapping({"command": forms.argv, "environment": forms.pairs})
_REQUESTS = each(mapping({"options": forms.pairs}))
_WATCH = mapping({"path": path, "ignore": forms.made_list, "include": forms.made_list, "exec": _HOOK})

SERVICE: Mapping[str, Form] = {
    "configs": each(granted("/")),
    "credential_spec": mapping({"file": path}),
    "deploy": mapping(
        {
            "labels": forms.pairs,
            "resources": mapping({"reservations": mapping({"devices": _REQUESTS})}),
        }
    ),
    "develop": mapping({"watch": each(_WATCH)}),
    "devices": each(device),
    "gpus": lambda node, ctx: _REQUESTS(graphics(node, ctx), ctx),
    "models": forms.keyed,
    "post_start": each(_HOOK),
    "pre_start": each(_HOOK),
    "pre_stop": each(_HOOK),
    "secrets": each(granted(SECRETS)),
}
SECTIONS: Mapping[str, Form] = {"secrets": definition, "configs": definition}
