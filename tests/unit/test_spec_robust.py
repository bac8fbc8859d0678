"""Whatever stands in a stack file: a stack comes of it, or an error for the user; never another exception."""

from __future__ import annotations

import copy
import random
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackup.errors import BadInput
from stackup.spec.dump import dump
from stackup.spec.load import load_text
from stackup.spec.nodes import decode, parse
from stackup.spec.report import Report
from stackup.spec.templating import render
from stackup.spec.validate import IMAGE, SERVICE

CASES = Path(__file__).parent / "spec_cases"
SAMPLES = sorted(CASES.glob("*/stack.yaml"))
ODD: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, float("inf"), float("nan"), "", "x", "0", "-1", "a:b", "a=b", ":", "=", "/", "~",
    "..", "x" * 300, "\0", "1" * 50, "é", "${A}", "80-90", "1e400", "64M", [], [[]], [None], ["a", "a"], {}, {"": ""},
    {"a": None}, {"x-a": 1}, [{}], [{"a": []}], "*", "&a", "\ud7ff", "a\nb", {"default": []}, {"true": 1},
]  # fmt: skip


def survives(text: str) -> None:
    file = str(CASES / "service_full" / "stack.yaml")
    try:
        loaded = load_text(text, file, environment={})
    except BadInput as error:
        assert str(error)
        return
    again = load_text(dump(loaded), file, environment={})
    assert (again.stack, again.warned) == (loaded.stack, loaded.warned)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a tree."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [spot for key, item in pairs for spot in ((value, key), *spots(item))]


def mutate(tree: Any, chance: random.Random) -> Any:
    """One to three values of a tree replaced, dropped, wrapped, or put under another key."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.randrange(1, 4)):
        if not (found := spots(tree)):
            break
        container, key = chance.choice(found)
        kind = chance.randrange(5)
        if kind < 2:
            container[key] = copy.deepcopy(chance.choice(ODD))
        elif kind == 2:
            del container[key]
        elif kind == 3:
            container[key] = chance.choice([[container[key]], {"a": container[key]}])
        elif isinstance(container, dict):
            new = chance.choice([*SERVICE.fields, *SERVICE.written, *IMAGE.fields])
            container[new] = container.pop(key)
    return tree


def plain(sample: Path) -> Any:
    root = parse(sample.read_text(), "stack.yaml", Report())
    assert root is not None
    return root.plain()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.parent.name)
def test_mutated_values(sample: Path) -> None:
    chance = random.Random(sample.parent.name)
    tree = plain(sample)
    for _ in range(60):
        survives(yaml.safe_dump(mutate(tree, chance), sort_keys=False, allow_unicode=True))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.parent.name)
def test_mutated_text(sample: Path) -> None:
    chance = random.Random(sample.parent.name)
    text = sample.read_text()
    for _ in range(60):
        made = text
        for _ in range(chance.randrange(1, 4)):
            at, length = chance.randrange(len(made) + 1), chance.randrange(6)
            middle = chance.choice(["", made[at : at + length] * 2, chance.choice(string.printable), "\t", "&a ", "*a"])
            made = made[:at] + middle + made[at + length :]
        survives(made)


KEYS = st.sampled_from([*SERVICE.fields, *SERVICE.written, *SERVICE.unheeded])
VALUES = st.recursive(
    st.sampled_from([v for v in ODD if not isinstance(v, dict | list)]) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_value_under_any_key(service: dict[str, Any]) -> None:
    survives(yaml.safe_dump({"services": {"web": {"image": "debian:12", **service}}}, allow_unicode=True))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        survives(decode(data, "stack.yaml"))
    except BadInput as error:
        assert str(error)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.text(alphabet="{}%#- abvrs.|()[]'\"+*~1,\n", max_size=40),
    st.sampled_from(["{{ vars.a %s }}", "{%% for x in %s %%}", "%s"]),
)
def test_any_template(middle: str, frame: str) -> None:
    try:
        render(frame % middle, {"a": [1, "b"]}, "x.j2")
    except BadInput as error:
        assert str(error)
