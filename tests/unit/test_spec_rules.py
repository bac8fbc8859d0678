"""The service language, rule by rule: `rules/<chapter>/<rule>/` holds what a user writes and what comes of it.

A rule's folder is the project's folder: `stack.yaml` or `compose.yaml` and whatever they name, and
`expected.json` (what `stackup config --format json` prints), or `expected_errors.txt` (all problems), and
`expected_warnings.txt` where there are any. `run.yaml`, where there is one, says how it is called: the keyword
arguments of `spec.load.load`, `folder:` below the rule's. Chapters are those of the service language.

`STACKUP_WRITE_CASES=1 pytest ...` writes the expectations anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackup.errors import BadInput
from stackup.spec.dump import dump
from stackup.spec.load import load

from .test_spec_cases import compare

RULES = Path(__file__).parent / "rules"


@pytest.mark.parametrize("rule", sorted(str(p.relative_to(RULES)) for p in RULES.glob("*/*") if p.is_dir()))
def test_rule(rule: str) -> None:
    folder = RULES / rule
    value = errors = warnings = ""
    try:
        loaded = load(**called(folder))
    except BadInput as error:
        errors = f"{error}\n" + (f"hint: {error.hint}\n" if error.hint else "")
    else:
        value = dump(loaded, "json")
        warnings = "".join(f"{line}\n" for line in loaded.warnings)
    compare(folder / "expected.json", value.replace(str(folder), "<folder>"))
    compare(folder / "expected_errors.txt", errors.replace(str(folder), "<folder>"))
    compare(folder / "expected_warnings.txt", warnings.replace(str(folder), "<folder>"))


def called(folder: Path) -> dict[str, Any]:
    run = folder / "run.yaml"
    given: dict[str, Any] = yaml.safe_load(run.read_text()) if run.exists() else {}
    environment = {"HOME": "/home/me", **given.pop("environment", {})}
    return {**given, "folder": os.path.join(folder, given.get("folder", "")), "environment": environment}
