"""Short -> long: the tree of one document becomes the form that files are merged in.

Nodes in, nodes out: a value keeps its place, its tag and the path it was written at. Syntax inside a text (ports,
mounts, commands) is checked here, because here it is taken apart; types and unknown keys are `validate`'s. What looks
across keys waits for `normalise`, because another file may have the last word.
"""

from __future__ import annotations

from stackup.spec import forms, mounts, ports
from stackup.spec.forms import Context, Form, apply
from stackup.spec.nodes import Node, shorten

_SHARED: dict[str, Form] = {
    "command": forms.argv,
    "entrypoint": forms.argv,
    "environment": forms.pairs,
    "labels": forms.pairs,
    "healthcheck": forms.healthcheck,
    "expose": ports.expose,
}

_SERVICE: dict[str, Form] = _SHARED | {
    "annotations": forms.pairs,
    "networks": forms.keyed,
    "depends_on": forms.dependencies,
    "extra_hosts": forms.hosts,
    "dns": forms.servers,
    "dns_search": forms.made_list,
    "dns_opt": forms.made_list,
    "sysctls": forms.pairs,
    "ulimits": forms.ulimits,
    "security_opt": forms.security_options,
    "volumes": mounts.volumes,
    "ports": ports.ports,
    "tmpfs": forms.made_list,
    "env_file": forms.files,
    "label_file": forms.paths,
    "build": forms.build,
}
# The forms of these lie in `later`, which costs nothing where a file holds none of them.
LATER = frozenset((
    "configs", "credential_spec", "deploy", "develop", "devices", "gpus", "models", "post_start", "pre_start",
    "pre_stop", "secrets",
))  # fmt: skip


def canonical(root: Node, ctx: Context) -> Node:
    """A whole document in canonical form."""
    table: dict[str, Form] = {"images": image, "services": service, "networks": network, "volumes": volume}
    if not LATER.isdisjoint(root.items):
        from stackup.spec import later

        table |= later.SECTIONS
    return root.made(forms.sections(root, table, ctx))


def service(node: Node, ctx: Context) -> Node:
    if not node.is_map:
        return node
    items = dict(node.items)
    apply(items, _SERVICE, ctx)
    if not LATER.isdisjoint(items):
        from stackup.spec import later

        apply(items, later.SERVICE, ctx)
    return node.made(items)


def image(node: Node, ctx: Context) -> Node:
    if not node.is_map:
        return node
    items = dict(node.items)
    layers = items.get("layers")
    if layers is not None and layers.is_list:
        items["layers"] = layers.made([_layer(item, ctx) for item in layers.list])
    config = items.get("config")
    if config is not None and config.is_map:
        inner = dict(config.items)
        apply(inner, _SHARED, ctx)
        items["config"] = config.made(inner)
    return node.made(items)


def _layer(item: Node, ctx: Context) -> Node:
    """The value of `copy: ./web:/app`, `run: make` ... in its long form; the single key is `validate`'s to check."""
    kinds = {kind: value for kind, value in item.items.items() if not kind.startswith("x-")}
    if not item.is_map or len(kinds) != 1:
        return item.made(kinds) if item.is_map else item
    (kind, value), = kinds.items()  # fmt: skip
    if kind in ("copy", "template") and isinstance(value.value, str) and not ctx.unknown(value):
        source, colon, target = value.value.rpartition(":")
        if not (source and colon and target):
            hint = f"write {kind}: SOURCE:TARGET, as in '{kind}: ./web:/app'"
            ctx.report.problem(value, f"{shorten(value.value)!r} has no target", hint)
            source, target = value.value, "/"
        value = value.made({"source": value.made(source), "target": value.made(target)})
    elif kind == "run":
        value = _run(value)
    written = value.get("source") if kind in ("copy", "template") else None
    if written is not None and isinstance(written.value, str):
        value = value.made(value.items | {"source": written.made(ctx.rebased(written.value))})
    return item.made({kind: value})


def _run(value: Node) -> Node:
    if isinstance(value.value, str):
        command = value.made([value.made("/bin/sh"), value.made("-ec"), value.made(value.value)] if value.value else [])
        return value.made({"command": command})
    if value.is_list:
        return value.made({"command": value})
    command = value.items.get("command", value)
    if isinstance(command.value, str):
        return value.made(value.items | {"command": _run(command).items["command"]})
    return value


_LABELLED = forms.mapping({"labels": forms.pairs})


def network(node: Node, ctx: Context) -> Node:
    """null -> {}."""
    return node.made({}) if node.value is None else _LABELLED(node, ctx)


def volume(node: Node, ctx: Context) -> Node:
    """null -> {}; Compose's old form of `external` -> the new one."""
    if (external := node.get("external")) is not None and external.is_map:
        from stackup.spec import later

        node = later.external(node, ctx)
    return node.made({}) if node.value is None else _LABELLED(node, ctx)
