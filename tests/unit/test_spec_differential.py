"""The same files, read by Docker Compose and by stackup: both refuse, or both mean the same by them.

What differs on purpose stands in `compose_differences.DIFFERENCES`; what is a matter of notation in `compose_meaning`.
Compared are all rules that are written as a Compose file, the cases of `differential/*.cases` and generated files.
Wanted is Compose 2: the command in STACKUP_COMPOSE, else `docker compose`, else `docker-compose`; no daemon.

A file of cases: `### name` begins one and its compose.yaml, `## file NAME` another file of it, `## env A=b` sets a
variable, `## args -f other.yaml` gives global options.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackup.errors import BadInput
from stackup.spec.dump import dump
from stackup.spec.load import load

from .compose_differences import BY_NAME, DIFFERENCES, Kind, unexpected
from .compose_fragments import FRAGMENTS, TOP
from .compose_meaning import HOME, Tree, meaning

HERE = Path(__file__).parent
GENERATED = 150
OPTIONS = {
    "-f": "files", "-p": "project_name", "--profile": "profiles", "--env-file": "env_files",
    "--project-directory": "project_directory",
}  # fmt: skip


@dataclass
class Case:
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    args: list[str] = field(default_factory=list)


def cases(path: Path) -> Iterator[tuple[str, Case]]:
    for block in re.split(r"(?m)^### ", path.read_text())[1:]:
        title, _, text = block.partition("\n")
        made, name, lines = Case(), "compose.yaml", list[str]()
        for line in [*text.splitlines(), "## end"]:
            word, _, rest = line.removeprefix("## ").partition(" ")
            if not line.startswith("## "):
                lines.append(line)
                continue
            made.files.setdefault(name, "\n".join(lines) + "\n")
            if word == "file":
                name, lines = rest, []
            elif word == "env":
                made.environment |= [rest.split("=", 1)]  # type: ignore[arg-type]
            elif word == "args":
                made.args = shlex.split(rest)
        yield f"{path.stem}: {title}", made


CASES = dict(pair for path in sorted(HERE.glob("differential/*.cases")) for pair in cases(path))


@functools.cache
def compose() -> list[str]:
    """The command of a Compose 2; empty where there is none."""
    given = os.environ.get("STACKUP_COMPOSE")
    for command in [shlex.split(given)] if given else [["docker", "compose"], ["docker-compose"]]:
        try:
            said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        major = re.match(r"v?(\d+)", said.stdout.strip())
        if said.returncode == 0 and major and int(major[1]) >= 2:
            return command
    return []


@pytest.fixture
def command() -> list[str]:
    if not compose():
        pytest.skip("no Docker Compose 2: neither STACKUP_COMPOSE nor `docker compose` nor `docker-compose`")
    return compose()


def test_every_difference_is_in_the_docs() -> None:
    page = (HERE.parents[1] / "docs/stack-file.md").read_text()
    table = page.partition("\n## Where stackup differs from Compose\n")[2].partition("\n## ")[0]
    rows = {row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()}
    assert {*(difference.row for difference in DIFFERENCES), *BY_NAME.values()} - rows == set()


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    folder = tmp_path / "proj"
    for path, text in case.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    compare(command, folder, case, monkeypatch, name)


def rules() -> Iterator[str]:
    """Those that a Compose file shows, with options that Compose has."""
    for folder in sorted(HERE.glob("rules/*/*")):
        run = folder / "run.yaml"
        given: Tree = yaml.safe_load(run.read_text()) if run.exists() else {}
        names = {path.name for path in (folder / given.get("folder", "")).glob("*")}
        ours = given.keys() - {*OPTIONS.values(), "environment", "folder"} or names & {"stack.yaml", "stack.yml"}
        if names & {"compose.yaml", "compose.yml"} and not ours:
            yield str(folder.relative_to(HERE))


@pytest.mark.parametrize("rule", list(rules()))
def test_rule(rule: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / Path(rule).name
    shutil.copytree(HERE / rule, folder)
    run = folder / "run.yaml"
    given: Tree = yaml.safe_load(run.read_text()) if run.exists() else {}
    args = [
        word
        for option, key in OPTIONS.items()
        for value in (given.get(key) if isinstance(given.get(key), list) else [given.get(key)])
        if value is not None
        for word in (option, str(value))
    ]
    case = Case(environment={k: str(v) for k, v in given.get("environment", {}).items()}, args=args)
    compare(command, folder / given.get("folder", ""), case, monkeypatch, rule)


@pytest.mark.parametrize("seed", range(GENERATED))
def test_generated(seed: int, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "proj"
    folder.mkdir()
    (folder / "one.env").write_text("A=1\nB=${A}2\n")
    text = generated(random.Random(seed))
    (folder / "compose.yaml").write_text(text)
    print(text)
    compare(command, folder, Case(environment={"SET": "value", "NUMBER": "3"}), monkeypatch)


def generated(dice: random.Random) -> str:
    """One or two documents, services `a`, `b`, `c` with a few keys each."""
    documents = []
    for index in range(dice.choice((1, 1, 2))):
        services = []
        for name in "abc":
            keys = dice.sample(sorted(FRAGMENTS), dice.randint(0, 3))
            said = [f"    {key}: {dice.choice(FRAGMENTS[key])}" for key in keys]
            if index == 0 or said:
                services.append("\n".join([f"  {name}:", *([f"    image: {name}"] if index == 0 else []), *said]))
        documents.append("services:\n" + "\n".join(services) + "\n" + (TOP if index == 0 else ""))
    return "---\n".join(document for document in documents if document != "services:\n\n")


# --- both readers


def compare(command: list[str], folder: Path, case: Case, monkeypatch: pytest.MonkeyPatch, name: str = "") -> None:
    monkeypatch.chdir(folder)
    environment = {"HOME": HOME, **case.environment}
    text, problems = by_stackup(folder, case.args, environment)
    ours = undoubled(json.loads(text)) if text else None
    theirs, refusal = by_compose(command, folder, case.args, environment)
    if ours is None and theirs is None:
        return
    if ours is None:
        verdict("refused", problems)
    elif theirs is None:
        verdict("taken", [refusal])
    else:
        found = differing(meaning(ours, str(folder)), meaning(theirs, str(folder)), "")
        assert found or name not in BY_NAME, "no difference any more"
        verdict("otherwise", [] if name in BY_NAME else found)
        printed(command, folder, text, ours)


def printed(command: list[str], folder: Path, text: str, ours: Tree) -> None:
    """What stackup prints of a Compose file is one, which Compose reads as stackup does."""
    path = folder / "printed.compose.json"
    path.write_text(text)
    args = ["-f", str(path), "--project-directory", str(folder)]
    theirs, refusal = by_compose(command, folder, args, {"HOME": HOME})
    if theirs is None:
        verdict("taken", [refusal])
    else:
        verdict("otherwise", differing(meaning(ours, str(folder)), meaning(theirs, str(folder)), ""))


def verdict(kind: Kind, told: list[str]) -> None:
    by = {"refused": "only stackup refuses", "taken": "only Compose refuses", "otherwise": "read otherwise"}
    assert unexpected(kind, told) == [], by[kind]


def by_stackup(folder: Path, args: list[str], environment: dict[str, str]) -> tuple[str, list[str]]:
    given: dict[str, Any] = {}
    for option, value in zip(args[::2], args[1::2], strict=True):
        key = OPTIONS[option]
        if key.endswith("s"):
            given.setdefault(key, []).append(value)
        else:
            given[key] = value
    try:
        return dump(load(str(folder), environment=environment, **given), "json"), []
    except BadInput as error:
        lines = [line for line in str(error).splitlines() if not line.startswith("    ")]
        return "", [line.partition("; ")[0] if re.match(r"\S+:\d+:\d+: ", line) else line for line in lines]


def by_compose(
    command: list[str], folder: Path, args: list[str], environment: dict[str, str]
) -> tuple[Tree | None, str]:
    known = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": os.path.expanduser("~/.docker"), **environment}
    done = subprocess.run(
        [*command, *args, "config", "--format", "json"],
        cwd=folder, env=known, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("time=")]
        return None, "; ".join(lines)
    return undoubled(json.loads(done.stdout), keys=True), ""


def undoubled(value: Any, *, keys: bool = False) -> Any:
    """Both write two dollars for one; Compose in keys, too, where no variable is looked for."""
    if isinstance(value, dict):
        return {undoubled(key) if keys else key: undoubled(item, keys=keys) for key, item in value.items()}
    if isinstance(value, list):
        return [undoubled(item, keys=keys) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def differing(ours: Any, theirs: Any, place: str) -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(key, Nothing), theirs.get(key, Nothing)
            found += differing(one, other, f"{place}.{key}".strip("."))
        return found
    return [] if ours == theirs else [f"{place}: {shown(ours)} | {shown(theirs)}"]


class Nothing:
    """Stands where a key is absent; null is something else."""


def shown(value: Any) -> str:
    return "nothing" if value is Nothing else repr(value)
