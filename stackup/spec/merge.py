"""One canonical tree laid over another: mappings grow together, lists are appended, scalars give way to the later one.

What differs from that stands in `RULES`, by the path of the value. Nodes are never changed, only made anew where two
meet; a value keeps the place where it was written, a mapping or list the one where it was written first.

`!override` replaces, `!reset` removes: of a mapping the key, of a list the entry like it. Both stay in the tree as
tags, because what is laid over a base that is extended may be laid over another file afterwards; `settled` ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackup.spec import unique
from stackup.spec.nodes import OVERRIDE, RESET, Budget, Node
from stackup.spec.report import Report

Merger = Callable[[Node, Node, Report], Node]
Rules = Mapping[str, "Merger | Rules"]


def merge(base: Node, over: Node, report: Report, rules: Merger | Rules | None = None) -> Node:
    """`base` with `over` laid over it: whole trees, or what stands at one path, then with the `rules` of that path."""
    if rules is None:
        rules = RULES
    if over.tag in (RESET, OVERRIDE):
        return over
    if over.value is None:
        return over if rules is _even_by_nothing else base
    if base.value is None or base.tag == RESET:
        return over
    if callable(rules):
        return rules(base, over, report)
    if base.is_map and over.is_map:
        return mappings(base, over, report, rules)
    if base.is_list and over.is_list:
        return _appended(base, over, report)
    if isinstance(base.value, dict | list):
        kind = "mapping" if base.is_map else "list"
        report.problem(over, f"cannot override the {kind} at {base.place} with {over.describe()}")
    return over


def mappings(base: Node, over: Node, report: Report, rules: Rules) -> Node:
    found = dict(base.items)
    every = rules.get("*")  # where keys are the user's own, `x-` has no meaning
    for key, child in over.items.items():
        below = found.get(key)
        if below is None:
            found[key] = child
        else:
            rule = _anything if every is None and key.startswith("x-") else rules.get(key, every or {})
            found[key] = merge(below, child, report, rule)
    return base.made(found)


def _appended(base: Node, over: Node, _: Report) -> Node:
    removed = {repr(item.plain()) for item in over.list if item.tag == RESET}
    kept = [i for i in base.list if repr(i.plain()) not in removed] if removed else base.list
    return base.made(kept + over.list)


# --- rules


def _anything(base: Node, over: Node, report: Report) -> Node:
    """Where keys are the user's own, anything may take the place of anything."""
    if base.is_map and over.is_map:
        return mappings(base, over, report, {"*": _anything})
    return _appended(base, over, report) if base.is_list and over.is_list else over


def _replaced(_base: Node, over: Node, _: Report) -> Node:
    return over


def _even_by_nothing(_base: Node, over: Node, _: Report) -> Node:
    """Where nothing has a meaning of its own: a command is the image's, a variable the caller's, a label empty."""
    return over


def _listed(key: unique.Key, alike: unique.Alike | None = None) -> Merger:
    """Entries that are each other's override by `key`."""

    def merger(base: Node, over: Node, report: Report) -> Node:
        if not (base.is_list and over.is_list):
            return merge(base, over, report, {})
        return base.made(unique.joined(base.list, over.list, key, alike))

    return merger


def _addresses(base: Node, over: Node, report: Report) -> Node:
    """Those of one name in `extra_hosts`: appended, but for exact duplicates."""
    return _listed(unique.text)(base, over, report)


def _logging(base: Node, over: Node, report: Report) -> Node:
    """Options belong to a driver: those of another one are no base."""
    one, other = base.get("driver"), over.get("driver")
    if one is not None and other is not None and one.value != other.value:
        return over
    return merge(base, over, report, {})


def _subnets(base: Node, over: Node, report: Report) -> Node:
    """`ipam.config`: entries of one subnet grow together."""
    if not (base.is_list and over.is_list):
        return merge(base, over, report, {})
    found = list(base.list)
    index = {_subnet(item): i for i, item in enumerate(found)}
    for item in over.list:
        at = index.get(_subnet(item))
        if at is None:
            found.append(item)
        else:
            found[at] = merge(found[at], item, report, {})
    return base.made(found)


def _subnet(item: Node) -> object:
    subnet = item.get("subnet")
    return None if subnet is None else str(subnet.value)


def _lists(keys: Mapping[str, unique.Key]) -> Rules:
    return {name: _listed(key) for name, key in keys.items()}


_PAIRS: Rules = {"*": _even_by_nothing}
_LABELS: Rules = {"labels": _PAIRS}
_RUN: Rules = {
    "command": _even_by_nothing, "entrypoint": _even_by_nothing, "environment": _PAIRS, **_LABELS,
    "healthcheck": {"test": _replaced},
}  # fmt: skip

SERVICE: Rules = {
    **_RUN, "annotations": _PAIRS, "sysctls": _PAIRS, "deploy": _LABELS, **_lists(unique.SERVICE),
    "ports": _listed(unique.port, unique.alike_ports), "logging": _logging, "ulimits": {"*": _replaced},
    "extra_hosts": {"*": _addresses}, "networks": {"*": _lists(unique.NETWORK)}, "build": _lists(unique.BUILD),
}  # fmt: skip
RULES: Rules = {
    "images": {"*": {"config": {**_RUN, **_lists(unique.IMAGE_CONFIG)}}},
    "services": {"*": SERVICE},
    "networks": {"*": {"ipam": {"config": _subnets}, **_LABELS}},
    "volumes": {"*": _LABELS},
    "vars": _anything,
}


# --- afterwards


def settled(node: Node) -> Node:
    """The tree without what was to be removed, and without the tags that said so."""
    return _settled(node, None)


def cloned(node: Node, budget: Budget) -> Node:
    """A settled copy that shares nothing with the original."""
    return _settled(node, budget)


def _settled(node: Node, budget: Budget | None) -> Node:
    if budget is not None:
        budget.spend(node)
    value = node.value
    if isinstance(value, dict):
        value = {k: _settled(v, budget) for k, v in value.items() if v.tag != RESET}
    elif isinstance(value, list):
        value = [_settled(v, budget) for v in value if v.tag != RESET]
    made = node.made(value)
    made.text, made.tag = node.text, None
    return made
