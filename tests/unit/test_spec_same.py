"""Several ways to say one thing give one stack: two files, two documents of a file, a file that includes the other, and
what `config` prints."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Literal

import pytest

from stackup.spec.dump import dump
from stackup.spec.load import load
from stackup.spec.model import Loaded

from .test_spec_rules import RULES, called

PAIRS = sorted(
    str(rule.relative_to(RULES))
    for rule in RULES.glob("3.[4-8]_*/*")
    if (rule / "compose.override.yaml").exists() and (rule / "expected.json").exists() and "files" not in called(rule)
)


READ = sorted(
    str(rule.relative_to(RULES))
    for rule in RULES.glob("*/*")
    if (rule / "expected.json").exists() and called(rule).get("interpolate", True)
)


def loaded(folder: Path, rule: str) -> Loaded:
    given = called(RULES / rule)
    return load(**{**given, "folder": given["folder"].replace(str(RULES / rule), str(folder), 1)})


def copied(tmp_path: Path, rule: str) -> Path:
    folder = tmp_path / Path(rule).name
    shutil.copytree(RULES / rule, folder)
    return folder


def test_there_are_pairs() -> None:
    assert len(PAIRS) > 30


@pytest.mark.parametrize("rule", PAIRS)
def test_two_documents_are_two_files(rule: str, tmp_path: Path) -> None:
    folder = copied(tmp_path, rule)
    before = loaded(folder, rule)
    over = folder / "compose.override.yaml"
    (folder / "compose.yaml").write_text(f"{(folder / 'compose.yaml').read_text()}---\n{over.read_text()}")
    over.unlink()
    assert loaded(folder, rule).stack == before.stack


@pytest.mark.parametrize("rule", PAIRS)
def test_what_is_included_lies_below(rule: str, tmp_path: Path) -> None:
    """As a file below an override, but for what no project takes from one that it includes."""
    folder = copied(tmp_path, rule)
    before = loaded(folder, rule)
    over = (folder / "compose.override.yaml").read_text()
    if "include:" in over or "extends:" in over:
        pytest.skip("one include is enough")
    (folder / "below.compose.yaml").write_text((folder / "compose.yaml").read_text())
    (folder / "compose.yaml").write_text(f"include: [below.compose.yaml]\n{over}")
    (folder / "compose.override.yaml").unlink()
    assert plain(loaded(folder, rule)) == plain(before)


@pytest.mark.parametrize("format", ["yaml", "json"])
@pytest.mark.parametrize("rule", READ)
def test_what_config_prints_is_the_same_stack(rule: str, format: Literal["yaml", "json"], tmp_path: Path) -> None:
    """Under the name of the first file; a Compose file has no words of ours, so it is read as one again."""
    folder = copied(tmp_path, rule)
    before = loaded(folder, rule)
    if not before.stack.services and not before.stack.images:
        pytest.skip("all services are off, and a file without services is an error")
    first = "with_images.yaml" if before.stack.images else Path(before.stack.file).name
    printed = tmp_path / first
    printed.write_text(dump(before, format))
    again = load(str(folder), [str(printed)], project_directory=before.stack.folder, environment={})
    assert again.stack == dataclasses.replace(before.stack, file=str(printed), inactive=())
    assert again.warned == before.warned
    assert dump(again, format) == dump(before, format)


def plain(stack: Loaded) -> object:
    return json.loads(dump(stack, "json"))
