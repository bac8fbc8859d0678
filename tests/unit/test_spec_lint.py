"""`stackup check`, rule by rule: `lint_cases/<rule>/` holds a file with what the rule tells, beside what it leaves
alone, and expected.txt, what is said of it.

`STACKUP_WRITE_CASES=1 pytest ...` writes the expectations anew; read the difference before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stackup.spec.lint import lint, rules
from stackup.spec.load import load

from .test_spec_cases import compare

CASES = Path(__file__).parent / "lint_cases"
SAMPLES = Path(__file__).parents[2] / "samples"
ENVIRONMENT = {"HOME": "/home/me", "FROM_CALLER_TOKEN": "the caller's"}
NAMES = sorted(p.name for p in CASES.iterdir())


@pytest.mark.parametrize("case", NAMES)
def test_case(case: str) -> None:
    files = ["compose.yaml"] if (CASES / case / "compose.yaml").exists() else []
    loaded = load(str(CASES / case), files, environment=ENVIRONMENT)
    compare(CASES / case / "expected.txt", "".join(f"{finding}\n" for finding in lint(loaded)))


@pytest.mark.parametrize("rule", sorted(set(rules()) - {"unknown-rule"}))
def test_every_rule_has_a_case_that_it_alone_tells(rule: str) -> None:
    loaded = load(str(CASES / rule), environment=ENVIRONMENT)
    assert {finding.rule for finding in lint(loaded)} == {rule}


@pytest.mark.parametrize("sample", sorted(p.parent.name for p in SAMPLES.glob("*/stack.yaml")))
def test_nothing_is_told_of_the_samples(sample: str) -> None:
    loaded = load(str(SAMPLES / sample), environment={})
    assert (loaded.warnings, lint(loaded)) == ((), ())


def test_a_secret_is_not_printed() -> None:
    told = "".join(map(str, lint(load(str(CASES / "secret-in-environment"), environment=ENVIRONMENT))))
    for secret in ("hunter2", "0123abcd", "s3cret", "not-for-all", "from-a-file", "the caller's"):
        assert secret not in told


def test_the_documentation_has_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs/stack-file.md").read_text()
    section = page.partition("## What check tells")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == list(rules())
