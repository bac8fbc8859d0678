"""Short -> long: the tree of a file becomes the one form that `validate` knows, and that files are merged in.

Nodes in, nodes out: a value keeps its place and the path it was written at wherever it is moved. Syntax inside a text
(ports, mounts, commands) is checked here, because here it is taken apart; types and unknown keys are `validate`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from stackup.spec import forms, mounts, ports, units
from stackup.spec.forms import Context, Form, prune, take
from stackup.spec.nodes import Node, shorten

_SHARED: dict[str, Form] = {
    "command": forms.argv,
    "entrypoint": forms.argv,
    "environment": forms.pairs,
    "labels": forms.pairs,
    "healthcheck": forms.healthcheck,
}

_SERVICE: dict[str, Form] = _SHARED | {
    "networks": forms.keyed,
    "depends_on": forms.keyed,
    "extra_hosts": forms.hosts,
    "dns": forms.made_list,
    "dns_search": forms.made_list,
    "sysctls": forms.pairs,
    "ulimits": forms.ulimits,
    "security_opt": forms.security_options,
    "volumes": mounts.volumes,
}


def canonical(root: Node, ctx: Context) -> Node:
    """The whole file in canonical form."""
    sections: dict[str, Form] = {"images": image, "services": service, "networks": network, "volumes": volume}
    items = dict(root.items)
    for section, form in sections.items():
        node = items.get(section)
        if node is not None and node.is_map:
            items[section] = node.made({name: form(child, ctx) for name, child in node.items.items()})
    _default_network(root, items)
    return root.made(items)


def _default_network(root: Node, items: dict[str, Node]) -> None:
    """Services without `networks` stand on `default`, which exists where it is used."""
    services = items["services"].items if "services" in items else {}
    used = any("default" in s.items["networks"].items for s in services.values() if "networks" in s.items)
    if used:
        networks = items.get("networks") or root.made({})
        if networks.value is None:
            networks = networks.made({})
        if networks.is_map:
            first = next(iter(services.values()))
            items["networks"] = networks.made({"default": first.made({}), **networks.items})


def service(node: Node, ctx: Context) -> Node:
    if not node.is_map:
        return node
    made = node.made(dict(node.items))
    items = made.items
    _synonyms(made, ctx)
    _restart(made, ctx)
    if (endpoint := take(made, "deploy", "endpoint_mode")) is not None:
        items["endpoint_mode"] = endpoint
    mode = made.items.get("deploy", made).get("mode") if "deploy" in items else None
    if mode is not None and mode.value == "replicated":
        take(made, "deploy", "mode")
    prune(made, "deploy", "resources", "limits")
    _apply(items, _SERVICE, ctx)
    if (published := items.get("ports")) is not None:
        items["ports"] = ports.ports(published, ctx)
    if (exposed := items.get("expose")) is not None:
        items["expose"] = ports.expose(exposed, ctx)
    if (temporary := take(made, "tmpfs")) is not None:
        _add_tmpfs(items, temporary, ctx)
    if (env_file := items.get("env_file")) is not None:
        items["env_file"] = _env_files(env_file)
    _join_default(made)
    return made


def _apply(items: dict[str, Node], table: dict[str, Form], ctx: Context) -> None:
    for key, form in table.items():
        node = items.get(key)
        if node is not None and node.value is not None:
            items[key] = form(node, ctx)


def _join_default(made: Node) -> None:
    mode = made.get("network_mode")
    networks = made.items.get("networks")
    empty = networks is None or networks.value is None or networks.value == {}
    if empty and (mode is None or mode.value not in ("none", "host")):
        made.items["networks"] = (networks or made).made({"default": made.made({})})


def _add_tmpfs(items: dict[str, Node], temporary: Node, ctx: Context) -> None:
    volumes = items.get("volumes")
    if volumes is None or volumes.value is None:
        volumes = temporary.made([])
    if volumes.is_list:
        items["volumes"] = volumes.made(volumes.list + mounts.tmpfs(temporary, ctx))


def _env_files(node: Node) -> Node:
    def long(item: Node) -> Node:
        return item.made({"path": item}) if isinstance(item.value, str) else item

    return node.made([long(item) for item in (node.list if node.is_list else [node])])


# Two words for one thing: where a value may stand, the canonical place first, and how equality is judged.
_SYNONYMS: tuple[tuple[tuple[tuple[str, ...], ...], Callable[[str], object]], ...] = (
    ((("replicas",), ("scale",), ("deploy", "replicas")), int),
    ((("resources", "memory"), ("deploy", "resources", "limits", "memory"), ("mem_limit",)), units.size),
    ((("resources", "cpus"), ("deploy", "resources", "limits", "cpus"), ("cpus",)), float),
    ((("resources", "pids"), ("deploy", "resources", "limits", "pids"), ("pids_limit",)), int),
)


def _synonyms(made: Node, ctx: Context) -> None:
    for places, meaning in _SYNONYMS:
        if isinstance(made.items.get("resources"), Node) and places[0][0] == "resources":
            made.items["resources"] = _fresh(made.items["resources"])
        found = [node for path in places if (node := take(made, *path)) is not None]
        if not found:
            continue
        for other in found[1:]:
            if _meaning(other, meaning) != _meaning(found[0], meaning):
                first = found[0]
                ctx.report.problem(
                    other,
                    f"{shorten(other.text)} here, but {shorten(first.text)} at {ctx.report.dotted(first.path)} "
                    f"({first.place}): they mean the same",
                    "write it once",
                )
        if len(places[0]) == 1:
            made.items[places[0][0]] = found[0]
        else:
            parent = made.items.get("resources")
            if parent is None or parent.value is None:
                parent = made.items["resources"] = found[0].made({})
            if parent.is_map:
                parent.items[places[0][1]] = found[0]


def _fresh(node: Node) -> Node:
    return node.made(dict(node.items)) if node.is_map else node


def _meaning(node: Node, meaning: Callable[[str], object]) -> object:
    try:
        return meaning(node.text)
    except ValueError:
        return node.text


_CONDITIONS = {"none": "no", "on-failure": "on-failure", "any": "always"}


def _restart(made: Node, ctx: Context) -> None:
    """`restart: on-failure:5` or `deploy.restart_policy`, which wins, -> `{policy, max_attempts, delay, window}`."""
    word = made.items.get("restart")
    policy = take(made, "deploy", "restart_policy")
    if policy is not None:
        items = dict(policy.items)
        condition = items.pop("condition", None)
        items["policy"] = policy.made("always")
        if condition is not None and isinstance(condition.value, str):
            if condition.value not in _CONDITIONS:
                message = f"{shorten(condition.value)!r} is no condition"
                ctx.report.problem(condition, message, "write none, on-failure or any")
            items["policy"] = condition.made(_CONDITIONS.get(condition.value, "no"))
        made.items["restart"] = policy.made(items) if policy.is_map else policy
    elif word is not None and isinstance(word.value, str):
        name, colon, count = word.value.partition(":")
        items = {"policy": word.made(name)}
        if colon:
            if name == "on-failure" and count.isdecimal() and len(count) < 10:
                items["max_attempts"] = word.made(int(count))
            else:
                ctx.report.problem(word, f"{shorten(word.value)!r} is no restart policy", "write on-failure:5")
        made.items["restart"] = word.made(items)
    elif word is not None and word.value is not None:
        hint = "put quotes around no" if word.value is False else None
        ctx.report.problem(word, f"expected no, always, on-failure or unless-stopped, found {word.describe()}", hint)
        del made.items["restart"]


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
        _apply(inner, _SHARED, ctx)
        if (exposed := inner.get("expose")) is not None:
            inner["expose"] = ports.expose(exposed, ctx)
        items["config"] = config.made(inner)
    return node.made(items)


def _layer(item: Node, ctx: Context) -> Node:
    """The value of `copy: ./web:/app`, `run: make` ... in its long form; the single key is `validate`'s to check."""
    if not item.is_map or len(item.items) != 1:
        return item
    (kind, value), = item.items.items()  # fmt: skip
    if kind in ("copy", "template") and isinstance(value.value, str):
        source, colon, target = value.value.rpartition(":")
        if not (source and colon and target):
            hint = f"write {kind}: SOURCE:TARGET, as in '{kind}: ./web:/app'"
            ctx.report.problem(value, f"{shorten(value.value)!r} has no target", hint)
            source, target = value.value, "/"
        value = value.made({"source": value.made(source), "target": value.made(target)})
    elif kind == "run":
        value = _run(value)
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


def network(node: Node, ctx: Context) -> Node:
    """`ipam.config[0].subnet` -> `subnet`; null -> {}."""
    if node.value is None:
        return node.made({})
    if not node.is_map:
        return node
    made = node.made(dict(node.items))
    ipam = made.items.get("ipam")
    config = ipam.items.get("config") if ipam is not None else None
    if ipam is not None and config is not None and config.is_list:
        for index, entry in enumerate(config.list):
            subnet = take(entry, "subnet")
            if index:
                ctx.report.problem(entry, "a second subnet is not built yet")
            elif subnet is not None:
                _subnet(made, subnet, ctx)
        if not any(entry.items for entry in config.list):
            take(ipam, "config")
    driver = ipam.items.get("driver") if ipam is not None else None
    if ipam is not None and driver is not None and driver.value == "default":
        take(ipam, "driver")
    prune(made, "ipam")
    driver = made.items.get("driver")
    if driver is not None and driver.value in (None, "bridge"):
        del made.items["driver"]
    _apply(made.items, {"labels": forms.pairs}, ctx)
    return made


def _subnet(made: Node, subnet: Node, ctx: Context) -> None:
    first = made.get("subnet")
    if first is not None and first.value != subnet.value:
        where = f"{ctx.report.dotted(first.path)} ({first.place})"
        message = f"{shorten(subnet.text)} here, but {shorten(first.text)} at {where}: they mean the same"
        ctx.report.problem(subnet, message, "write it once")
    made.items["subnet"] = first or subnet


def volume(node: Node, ctx: Context) -> Node:
    if node.value is None:
        return node.made({})
    if not node.is_map:
        return node
    items = dict(node.items)
    driver = items.get("driver")
    if driver is not None and driver.value in (None, "local"):
        del items["driver"]
    external = items.get("external")
    if external is not None and external.is_map:  # Compose's old form: {external: {name: x}}
        items["external"] = external.made(True)
        if (name := external.get("name")) is not None:
            items.setdefault("name", name)
    given = items.get("name")
    if given is not None and given.value is not None and ("external" not in items or items["external"].value is False):
        ctx.report.problem(given, "not built yet without 'external: true'", at_key=True)
    _apply(items, {"labels": forms.pairs}, ctx)
    return node.made(items)
