"""What looks across keys, once all files are one tree: several words for one thing become one, what is implied is said.

Nodes in, nodes out, as in `canonical`; a value keeps its place wherever it is moved. Done after merging, so that an
override may use another word than what it overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from stackup.spec import forms, mounts, units
from stackup.spec.forms import Context, Form, apply, prune, take
from stackup.spec.implied import implied
from stackup.spec.nodes import Node, shorten

_SERVICE: dict[str, Form] = {"healthcheck": forms.disabled, "security_opt": forms.obeyed_security}
_CONFIG: dict[str, Form] = {"healthcheck": forms.disabled}


def normalise(root: Node, ctx: Context, inactive: Collection[str] = ()) -> Node:
    """The whole tree as `validate` knows it. `inactive`: the services that do not take part."""
    table: dict[str, Form] = {"images": _image, "services": _service, "networks": _network, "volumes": _volume}
    items = forms.sections(root, table, ctx)
    services = items.get("services")
    if services is not None and services.is_map:
        items["services"] = services.made(implied(services.items, inactive, ctx))
        _default_network(root, items, inactive)
    return root.made(items)


def _default_network(root: Node, items: dict[str, Node], inactive: Collection[str]) -> None:
    """Services without `networks` stand on `default`, which exists where it is used."""
    active = (service for name, service in items["services"].items.items() if name not in inactive)
    first = next((s for s in active if "networks" in s.items and "default" in s.items["networks"].items), None)
    if first is not None:
        networks = items.get("networks") or root.implying({})
        if networks.value is None:
            networks = networks.made({})
        if networks.is_map:
            items["networks"] = networks.made({"default": first.implying({}), **networks.items})


def _service(node: Node, ctx: Context) -> Node:
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
    prune(made, "deploy", "resources", "reservations")
    apply(items, _SERVICE, ctx)
    if (temporary := take(made, "tmpfs")) is not None:
        _add_tmpfs(items, temporary, ctx)
    _join_default(made)
    return made


_ELSEWHERE = ("none", "host", "service:", "container:")  # modes of the network in which there is none to join


def _join_default(made: Node) -> None:
    mode = made.get("network_mode")
    networks = made.items.get("networks")
    empty = networks is None or networks.value is None or networks.value == {}
    if empty and (mode is None or not str(mode.value).startswith(_ELSEWHERE)):
        made.items["networks"] = (networks or made.implying({})).made({"default": made.implying({})})


def _add_tmpfs(items: dict[str, Node], temporary: Node, ctx: Context) -> None:
    volumes = items.get("volumes")
    if volumes is None or volumes.value is None:
        volumes = temporary.made([])
    if volumes.is_list:
        items["volumes"] = volumes.made(volumes.list + mounts.tmpfs(temporary, ctx))


# Two words for one thing: where a value may stand, the canonical place first, and how equality is judged.
_SYNONYMS: tuple[tuple[tuple[tuple[str, ...], ...], Callable[[str], object]], ...] = (
    ((("replicas",), ("scale",), ("deploy", "replicas")), int),
    ((("resources", "memory"), ("deploy", "resources", "limits", "memory"), ("mem_limit",)), units.size),
    ((("resources", "cpus"), ("deploy", "resources", "limits", "cpus"), ("cpus",)), float),
    ((("mem_reservation",), ("deploy", "resources", "reservations", "memory")), units.size),
    ((("resources", "pids"), ("deploy", "resources", "limits", "pids"), ("pids_limit",)), int),
)


def _synonyms(made: Node, ctx: Context) -> None:
    for places, meaning in _SYNONYMS:
        if isinstance(made.items.get("resources"), Node) and places[0][0] == "resources":
            made.items["resources"] = _fresh(made.items["resources"])
        found = [node for path in places if (node := take(made, *path)) is not None]
        if not found:
            continue
        _same(found, meaning, ctx)
        if len(places[0]) == 1:
            made.items[places[0][0]] = found[0]
        else:
            parent = made.items.get("resources")
            if parent is None or parent.value is None:
                parent = made.items["resources"] = found[0].made({})
            if parent.is_map:
                parent.items[places[0][1]] = found[0]


def _same(found: list[Node], meaning: Callable[[str], object], ctx: Context) -> None:
    for other in found[1:]:
        if _meaning(other, meaning) != _meaning(found[0], meaning):
            first = found[0]
            message = (
                f"{shorten(other.text)} here, but {shorten(first.text)} at {ctx.report.dotted(first.path)} "
                f"({first.place}): they mean the same"
            )
            ctx.report.problem(other, message, "write it once")


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
        items["policy"] = policy.implying("always")
        if condition is not None and isinstance(condition.value, str):
            if condition.value not in _CONDITIONS:
                message = f"{shorten(condition.value)!r} is no condition"
                ctx.report.problem(condition, message, "write none, on-failure or any")
            items["policy"] = condition.made(_CONDITIONS.get(condition.value, "no"))
        made.items["restart"] = policy.made(items) if policy.is_map else policy
    elif word is not None and word.value == "":  # as in Compose: a variable may be empty
        del made.items["restart"]
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


def _image(node: Node, ctx: Context) -> Node:
    config = node.items.get("config")
    if config is None or not config.is_map:
        return node
    inner = dict(config.items)
    apply(inner, _CONFIG, ctx)
    return node.made(node.items | {"config": config.made(inner)})


def _network(node: Node, ctx: Context) -> Node:
    """`ipam.config[0].subnet` -> `subnet`, as `ip_range` and `gateway`."""
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
                continue
            if subnet is not None:
                _subnet(made, subnet, ctx)
            for key in ("ip_range", "gateway"):
                if (said := take(entry, key)) is not None:
                    made.items[key] = said
        if not any(entry.items for entry in config.list):
            take(ipam, "config")
    driver = ipam.items.get("driver") if ipam is not None else None
    if ipam is not None and driver is not None and driver.value == "default":
        take(ipam, "driver")
    prune(made, "ipam")
    driver = made.items.get("driver")
    if driver is not None and driver.value in (None, "bridge"):
        del made.items["driver"]
    return made


def _subnet(made: Node, subnet: Node, ctx: Context) -> None:
    first = made.get("subnet")
    if first is not None and first.value != subnet.value:
        where = f"{ctx.report.dotted(first.path)} ({first.place})"
        message = f"{shorten(subnet.text)} here, but {shorten(first.text)} at {where}: they mean the same"
        ctx.report.problem(subnet, message, "write it once")
    made.items["subnet"] = first or subnet


def _volume(node: Node, ctx: Context) -> Node:
    if not node.is_map:
        return node
    items = dict(node.items)
    external = items.get("external")
    if external is not None and units.truth(external.value):
        for key in items:
            if key not in ("external", "name") and not key.startswith("x-"):
                hint = "remove it, or 'external: true'"
                ctx.report.problem(items[key], "an external volume is described where it was made", hint, at_key=True)
    driver = items.get("driver")
    if driver is not None and driver.value in (None, "local"):
        del items["driver"]
    return node.made(items)
