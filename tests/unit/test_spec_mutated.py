"""Ten thousand projects with a few things changed: the rules, the cases and the samples, their files mutated one at a
time. A stack comes of it, or an error for the user; never another exception, never a hang.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from stackup.errors import BadInput
from stackup.spec.annotate import annotated
from stackup.spec.dump import dump
from stackup.spec.lint import lint
from stackup.spec.load import load

from .test_spec_rules import RULES, called

HERE = Path(__file__).parent
MUTATIONS = 10_000
GROUPS = 20
GUARD = 10.0  # seconds for one project

PROJECTS = sorted(
    p
    for p in (*RULES.glob("*/*"), *(HERE / "spec_cases").iterdir(), *(HERE.parents[1] / "samples").iterdir())
    if p.is_dir()
)
TEXT = (".yaml", ".yml", ".env", ".json", "labels")
PIECES = [
    "", " ", "\n", "\t", ":", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: *a\n", "!reset ", "!override ", "!!int ",
    "---\n", "...\n", "|\n", ">-\n", "'", '"', "#", "$", "${", "${A}", "${A:-", "${A:?no}", "${A:+$A}", "$$",
    "{{ vars.a }}", "{{", "}}", "{% for x in [1] %}", "null", "~", "true", "-1", "0", "1e400", "0o17", "9" * 30, "..",
    "/", "~/", "a:b:c", "80-90", "64M", "1m", "%", "@", "`", "\0", "\ud7ff", "é", "\u2028", "\ufeff", "x" * 300,
    "include: [stack.yaml, compose.yaml]\n", "extends: web\n", "extends: {service: web, file: compose.yaml}\n",
    "env_file: [.env]\n", "profiles: [a]\n", "name: ${A}\n", "x-a: &a [1]\n", "services:\n", "images:\n",
]  # fmt: skip


def mutated(text: str, chance: random.Random) -> str:
    """One to three pieces of a text cut out, doubled, replaced, or lines changed in order or depth."""
    for _ in range(chance.randrange(1, 4)):
        kind = chance.randrange(4)
        if kind < 2:
            at, length = chance.randrange(len(text) + 1), chance.choice((0, 0, 1, 3, 8))
            text = text[:at] + chance.choice([*PIECES, text[at : at + length] * 2]) + text[at + length :]
        else:
            lines = text.split("\n")
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            if kind == 2:
                lines[one], lines[other] = lines[other], lines[one]
            else:
                lines[one] = chance.choice(("  ", "- ", "")) + lines[one].removeprefix("  ")
            text = "\n".join(lines)
    return text


def survives(given: dict[str, Any]) -> None:
    started = time.monotonic()
    try:
        loaded = load(**given)
    except BadInput as error:
        assert str(error)
    else:
        assert annotated(dump(loaded), loaded, None)
        lint(loaded)
    assert time.monotonic() - started < GUARD


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_mutated_project_gives_a_stack_or_an_error(group: int, tmp_path: Path) -> None:
    chance = random.Random(group)
    mine = PROJECTS[group::GROUPS]
    for project in mine:
        folder = tmp_path / project.name
        shutil.copytree(project, folder)
        files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name.endswith(TEXT) and f.name != "run.yaml"]
        files = [f for f in files if not f.name.startswith("expected")]
        for _ in range(-(-MUTATIONS // GROUPS // len(mine)) if files else 0):
            file = chance.choice(files)
            text = file.read_bytes().decode("utf-8", "replace")
            changed = mutated(text, chance)
            file.write_text(changed, encoding="utf-8", errors="replace")
            try:
                survives(called(folder))
            except BaseException:
                print(f"{project.name}: {file.name} as follows\n{changed}")
                raise
            file.write_text(text, encoding="utf-8", errors="replace")
        shutil.rmtree(folder)
