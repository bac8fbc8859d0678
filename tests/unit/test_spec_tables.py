"""The tables are complete: every field of the model has a key, every key of the language has one status."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackup.spec import support, unheeded, validate
from stackup.spec.load import load_text
from stackup.spec.readers import Reader
from stackup.spec.records import Record

from .test_spec_cases import compare

COMPOSE = tuple((Path(__file__).parent / "compose_keys.txt").read_text().split())
RECORDS = {
    value.name: value
    for module in (validate, unheeded)
    for value in (*vars(module).values(), *validate.LAYERS.values())
    if isinstance(value, Record)
}
OF_COMPOSE = {name: record for name, record in RECORDS.items() if record.place or name == "stack"}
FILLED_LATER = {"mount": {"name"}}  # by the planner
PLACED = {  # where a record that has no place of its own stands
    "healthcheck": "services.*.healthcheck",
}


@pytest.mark.parametrize("name", [n for n, r in RECORDS.items() if dataclasses.is_dataclass(r.make)])
def test_every_field_of_the_model_has_a_key(name: str) -> None:
    record = RECORDS[name]
    fields = {f.name for f in dataclasses.fields(record.make)}  # type: ignore[arg-type]
    keys = {record.stored.get(key, key) for key in record.fields if key not in record.checked}
    assert keys | ({"name"} if record.named else set()) == fields - FILLED_LATER.get(name, set())


@pytest.mark.parametrize("name", RECORDS)
def test_every_key_is_read_in_one_way(name: str) -> None:
    record = RECORDS[name]
    assert not set(record.fields) & set(record.unheeded)
    assert not set(record.fields) & set(record.written)
    assert not set(record.written) & set(record.unheeded)
    assert set(record.made) <= set(record.fields)
    assert not set(record.words) & {*record.fields, *record.written}, "a hint for a key that is obeyed"


@pytest.mark.parametrize("key", COMPOSE)
def test_every_key_of_compose_has_a_status(key: str) -> None:
    assert support.status(key) is not None


def test_no_status_is_for_a_key_that_there_is_not() -> None:
    ours = {support.below(place, key) for place, keys in support.OURS.items() for key in keys.split()}
    assert set(support.table()) - ours <= set(COMPOSE)
    assert not ours & set(COMPOSE)


def test_a_warned_or_rejected_key_says_why() -> None:
    for key, entry in support.table().items():
        assert entry.status == "obeyed" or entry.why, key
        assert not entry.why.endswith(".")


@pytest.mark.parametrize("name", OF_COMPOSE)
def test_what_is_read_and_what_has_a_status_are_the_same(name: str) -> None:
    """The tables of types against the table of statuses, both ways."""
    record = OF_COMPOSE[name]
    table = support.table()
    here = {
        key.removeprefix(f"{record.place}." if record.place else ""): entry.status
        for key, entry in table.items()
        if support.below(record.place, key.rpartition(".")[2]) == key
    }
    read = dict.fromkeys(record.known, "obeyed")
    read |= {key: support.at(record.place, key).status for key in record.unheeded}
    assert read == here


def test_what_a_key_without_effect_holds_needs_no_status_of_its_own() -> None:
    """Below a warned key nothing warns again: its records have neither a place nor keys without effect."""
    for record in vars(unheeded).values():
        if isinstance(record, Record):
            assert not record.place and not record.unheeded and not record.written


def below(reader: Any) -> Iterator[Record]:
    """The records that a reader's schema names."""
    if isinstance(reader, Record):
        yield reader
    elif isinstance(reader, Reader):
        yield from below(reader.schema)
    elif isinstance(reader, dict):
        for value in reader.values():
            yield from below(value)
    elif isinstance(reader, list | tuple):
        for value in reader:
            yield from below(value)


@pytest.mark.parametrize("name", OF_COMPOSE)
def test_records_stand_where_they_say(name: str) -> None:
    record = OF_COMPOSE[name]
    for key, reader in (record.fields | record.written).items():
        path = support.below(record.place, key)
        for inner in below(reader):
            assert inner.name in PLACED or not inner.place or inner.place in (
                path, f"{path}[]", f"{path}.*",
            )  # fmt: skip


PAGE = Path(__file__).parents[2] / "docs" / "compose-keys.md"


def page() -> str:
    """docs/compose-keys.md: what stands above the first table is written by hand."""
    places: dict[str, list[str]] = {}
    for key, entry in support.table().items():
        place, _, name = key.rpartition(".")
        why = "; ".join(filter(None, (entry.why, entry.hint))).replace("|", "\\|")
        places.setdefault(place, []).append(f"| `{name}` | {entry.status} | {why} |\n")
    parts = [
        f"\n## {f'`{place}`' if place else 'Top level'}\n\n| key | status | |\n|---|---|---|\n{''.join(rows)}"
        for place, rows in sorted(places.items())
    ]
    return PAGE.read_text().partition("\n## ")[0] + "".join(parts)


def test_the_page_says_the_same() -> None:
    compare(PAGE, page())


@pytest.mark.parametrize("sample", sorted((Path(__file__).parents[2] / "samples").glob("*/stack.yaml")), ids=str)
def test_the_samples_load_without_a_warning(sample: Path) -> None:
    assert load_text(sample.read_text(), str(sample), environment={}).warnings == ()
