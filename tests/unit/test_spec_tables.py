"""The tables are complete: every field of the model has a key, every key of the language one verdict."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from stackup.errors import SpecErrors
from stackup.spec import support, validate
from stackup.spec.load import load_text
from stackup.spec.readers import Record

RECORDS = {name: value for name, value in vars(validate).items() if isinstance(value, Record)}


@pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if dataclasses.is_dataclass(r.make)])
def test_every_field_of_the_model_has_a_key(name: str) -> None:
    record = RECORDS[name]
    fields = {f.name for f in dataclasses.fields(record.make)}
    keys = {record.stored.get(key, key) for key in record.fields if key not in record.checked}
    assert keys | ({"name"} if record.named else set()) == fields


@pytest.mark.parametrize("name", RECORDS)
def test_every_key_has_one_verdict(name: str) -> None:
    record = RECORDS[name]
    assert not set(record.fields) & set(record.not_built) - set(record.checked)
    assert not set(record.words) & set(record.fields), "a hint for a key that is obeyed"


def test_keys_not_built_yet_are_refused_by_name() -> None:
    service: dict[str, Any] = dict.fromkeys(support.SERVICE_NOT_BUILT, "x")
    text = json.dumps({"services": {"web": {"image": "debian:12", **service}}}, indent=0)
    with pytest.raises(SpecErrors) as raised:
        load_text(text, "/stacks/demo/stack.yaml", environment={})
    told = {p.path.rsplit(".", 1)[1]: p.message for p in raised.value.problems}
    assert told == dict.fromkeys(support.SERVICE_NOT_BUILT, "not built yet")


@pytest.mark.parametrize("sample", sorted((Path(__file__).parents[2] / "samples").glob("*/stack.yaml")), ids=str)
def test_the_samples_load_without_a_warning(sample: Path) -> None:
    assert load_text(sample.read_text(), str(sample), environment={}).warnings == ()
