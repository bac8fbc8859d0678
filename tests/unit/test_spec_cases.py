"""Small stack files and what comes of them: `spec_cases/<case>/` holds stack.yaml and either expected.json (the stack)
or expected_errors.txt (all problems), and expected_warnings.txt where there are any.

`STACKUP_WRITE_CASES=1 pytest ...` writes the expectations anew; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stackup.errors import SpecErrors
from stackup.spec.dump import dump
from stackup.spec.load import load, load_text
from stackup.values import to_plain

CASES = Path(__file__).parent / "spec_cases"
ENVIRONMENT = {"FROM_CALLER": "the caller's", "HOME": "/home/me"}


def compare(file: Path, text: str) -> None:
    if os.environ.get("STACKUP_WRITE_CASES"):
        if text:
            file.write_text(text)
        else:
            file.unlink(missing_ok=True)
    assert text == (file.read_text() if file.exists() else "")


@pytest.mark.parametrize("case", sorted(p.name for p in CASES.iterdir()))
def test_case(case: str) -> None:
    folder = CASES / case
    value = errors = warnings = ""
    try:
        loaded = load(str(folder), environment=ENVIRONMENT)
    except SpecErrors as error:
        errors = str(error) + "\n"
    else:
        value = json.dumps(to_plain(loaded.stack), indent=1, ensure_ascii=False) + "\n"
        warnings = "".join(f"{line}\n" for line in loaded.warnings)
        for format in ("yaml", "json"):
            again = load_text(dump(loaded, format), loaded.stack.file, environment={})
            assert again.stack == loaded.stack, f"what {format} writes is read back as another stack"
    compare(folder / "expected.json", value.replace(str(folder), "<folder>"))
    compare(folder / "expected_errors.txt", errors.replace(str(folder), "<folder>"))
    compare(folder / "expected_warnings.txt", warnings)
