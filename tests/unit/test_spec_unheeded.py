"""Keys without effect: kept for `config` with their place, and checked all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackup.errors import SpecErrors
from stackup.spec import annotate, support, unheeded
from stackup.spec.dump import document
from stackup.spec.load import load_text
from stackup.spec.model import Loaded


def loaded(text: str) -> Loaded:
    return load_text(text, "/stacks/demo/stack.yaml", environment={})


SERVICE = "services: {web: {image: 'debian:12', %s}}"


def test_what_they_say_is_kept_by_its_path_and_printed() -> None:
    made = loaded(SERVICE % "volumes: ['/a:/b:z,rshared'], pids_limit: 5, storage_opt: {size: 1G}")
    assert made.warned == {
        ("services", "web", "volumes", 0, "bind", "selinux"): "z",
        ("services", "web", "volumes", 0, "bind", "propagation"): "rshared",
        ("services", "web", "storage_opt"): {"size": "1G"},
    }
    web = document(made)["services"]["web"]
    assert web["volumes"][0]["bind"] == {"selinux": "z", "propagation": "rshared"}
    assert web["storage_opt"] == {"size": "1G"}


def test_they_have_their_places() -> None:
    made = loaded(SERVICE % "\n volumes: ['/a:/b:z'], \n storage_opt: {size: 1G}")
    lines = {
        path[2:]: place.line
        for path in (*made.warned, ("services", "web", "storage_opt", "size"))
        if (place := annotate.origin(made, path, None).place)
    }
    assert lines == {("volumes", 0, "bind", "selinux"): 2, ("storage_opt",): 3, ("storage_opt", "size"): 3}


def test_a_list_that_nothing_else_fills_is_made() -> None:
    made = loaded("services: {web: {image: a}}\nnetworks: {default: {ipam: {config: [{gateway: 10.0.0.1}]}}}")
    assert document(made)["networks"]["default"] == {"ipam": {"config": [{"gateway": "10.0.0.1"}]}}


@pytest.mark.parametrize("key", [k for k, u in unheeded.SERVICE.items() if u.unless])
def test_what_is_so_anyway_brings_no_warning(key: str) -> None:
    for value in unheeded.SERVICE[key].unless:
        made = loaded(SERVICE % f"{key}: {json.dumps(value)}")
        assert (made.warnings, made.warned) == ((), {})


@pytest.mark.parametrize("key", [k for k in unheeded.SERVICE if support.at("services.*", k).status == "warned"])
def test_nothing_said_brings_no_warning(key: str) -> None:
    made = loaded(SERVICE % f"{key}: ")
    assert (made.warnings, made.warned) == ((), {})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("develop: {watch: [{path: a, action: sync}]}", ["'target' is missing: where do files go with 'sync'?"]),
        ("develop: {watch: [{path: a, action: rebuild}]}", []),
        ("pre_start: [{user: root}, {image: b}]", ["a step needs 'command', or an 'image' that brings one"]),
        ("models: [llm]", ["no 'llm' in 'models'"]),
        ("gpus: [{count: 1}, {device_ids: ['1']}]", []),
        ("post_start: [{command: [], privileged: maybe}]", ["expected true or false, found the text 'maybe'"]),
        ("privileged: maybe", ["expected true or false, found the text 'maybe'"]),
    ],
)
def test_they_are_checked(said: str, told: list[str]) -> None:
    found: list[Any] = []
    try:
        loaded(SERVICE % said)
    except SpecErrors as error:
        found = [problem.message for problem in error.problems]
    assert found == told
