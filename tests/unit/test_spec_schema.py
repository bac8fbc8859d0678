"""The schema for editors: it takes every file that loads, refuses mistakes that can be seen, tells of every key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from stackup.errors import BadInput
from stackup.spec import descriptions, support, unheeded, validate
from stackup.spec.load import load
from stackup.spec.nodes import Node, documents
from stackup.spec.report import Report
from stackup.spec.schema import as_text, schema

from .test_spec_cases import CASES
from .test_spec_cases import ENVIRONMENT as CALLER
from .test_spec_rules import RULES, called
from .test_spec_tables import RECORDS

SAMPLES = Path(__file__).parents[2] / "samples"
SCHEMA = schema()
VALIDATOR = Draft7Validator(SCHEMA)
FOLDERS = [*SAMPLES.glob("*/"), *CASES.glob("*/"), *RULES.glob("*/*/")]


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert json.loads(as_text()) == SCHEMA


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The stack files of a folder that loads, by the name they are shown with."""
    try:
        loaded = load(**called(folder)) if folder.is_relative_to(RULES) else load(str(folder), environment=CALLER)
    except BadInput:
        return
    for name in loaded.files:
        if name.endswith((".yaml", ".yml")):
            yield name, "\n".join(loaded.lines[name])


def tagged(root: Node) -> bool:
    return any(node.tag for node in root.walk())


@pytest.mark.parametrize("folder", [str(f.relative_to(Path(__file__).parents[1].parent)) for f in sorted(FOLDERS)])
def test_it_takes_what_loads(folder: str) -> None:
    for name, text in texts(Path(__file__).parents[2] / folder):
        for root in documents(text, name, Report()):
            if not tagged(root):  # `!reset` and `!override` are for files that are laid over others
                told = [f"{name}: {e.json_path}: {e.message[:200]}" for e in VALIDATOR.iter_errors(root.plain())]
                assert told == []


def test_there_are_files_that_load() -> None:
    assert [name for sample in sorted(SAMPLES.glob("*/")) for name, _text in texts(sample)].count("stack.yaml") >= 4


@pytest.mark.parametrize("case", ["wrong_keys", "wrong_types"])
def test_it_refuses_what_does_not_load(case: str) -> None:
    (root,) = documents((CASES / case / "stack.yaml").read_text(), "stack.yaml", Report())
    assert not VALIDATOR.is_valid(root.plain())
    for name, value in root.plain()["services"].items():
        assert value == {} or not VALIDATOR.is_valid({"services": {name: value}}), name


def service(**keys: Any) -> dict[str, Any]:
    return {"services": {"web": {"image": "debian:12", **keys}}}


@pytest.mark.parametrize(
    "wrong",
    [
        service(imag="x"), service(build="."), service(privileged=True), service(tty="maybe"), service(replicas="many"),
        service(ports="80:80"), service(volumes=[{"type": "bind", "targt": "/x"}]), service(restart="sometimes"),
        service(deploy={"resources": {"limits": {"memry": "5M"}}}), service(healthcheck="curl"), service(init="x"),
        service(resources={"memory": "lots"}), service(depends_on={"db": {"condition": "healthy"}}),
        {"services": []}, {"services": {"web": None}}, {"services": {"a b": {}}}, {"images": {"x": None}},
        {"images": {"x": {"layers": [{"run": "a", "copy": "b:c"}]}}}, {"images": {"x": {"layers": [{"runs": "a"}]}}},
        {"networks": {"x": {"external": True}}}, {"volumes": {"x": {"driver": "nfs"}}}, {"service": {}}, [],
    ],
    ids=str,
)  # fmt: skip
def test_it_refuses_mistakes(wrong: Any) -> None:
    assert not VALIDATOR.is_valid(wrong)


@pytest.mark.parametrize(
    "right",
    [
        service(ports=[80, "80:80/udp", {"target": 80, "published": "8080-8090"}, "${PORT}:80"]),
        service(tty="${TTY:-false}", replicas="${N}", resources={"cpus": "{{ vars.cpus }}"}), service(privileged=False),
        service(environment=["A=1", "B"]), service(environment={"A": 1, "B": None, "C": True}), service(command=None),
        service(**{"x-note": [1]}), {"x-a": 1, "services": {}}, {"volumes": {"data": None}}, service(dns="1.1.1.1"),
        service(secrets=["a", {"source": "b", "mode": 0o440}]), service(gpus="all"), service(restart="on-failure:3"),
        service(deploy={"mode": "global", "placement": {"constraints": ["a"]}}), service(extends="base"),
        service(env_file=["a", {"path": "b", "required": False}]), {"include": ["a.yaml", {"path": ["b", "c"]}]},
    ],
    ids=str,
)  # fmt: skip
def test_it_takes_every_form(right: Any) -> None:
    assert [e.message for e in VALIDATOR.iter_errors(right)] == []


@pytest.mark.parametrize("name", RECORDS)
def test_every_key_has_a_description_and_no_other(name: str) -> None:
    record = RECORDS[name]
    keys = {*record.fields, *record.written, *record.unheeded} - set(record.made)
    assert set(descriptions.DESCRIPTIONS[name]) == keys


def test_descriptions_are_of_records_there_are() -> None:
    told = {*SCHEMA["definitions"]} - {"variable"}
    assert set(descriptions.DESCRIPTIONS) - {"stack"} <= told | {"develop"}
    assert set(descriptions.LAYERS) == set(validate.LAYERS)


def test_a_description_is_one_sentence_without_its_stop() -> None:
    for texts in descriptions.DESCRIPTIONS.values():
        for text in texts.values():
            assert text[0].isupper() or text[0] == "'" or text.startswith("tcp"), text
            assert not text.endswith(".") and ". " not in text


def test_what_has_no_effect_says_so_where_an_editor_shows_it() -> None:
    properties = SCHEMA["definitions"]["service"]["properties"]
    for key in unheeded.SERVICE:
        entry = support.at("services.*", key)
        wanted = "Has no effect" if entry.status == "warned" else "Rejected"
        assert wanted in properties[key]["description"]
