"""The quick path says what Typer says, imports little, and leaves alone what it does not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackup.cli import app, quick
from stackup.cli.settings import Settings, name_in
from stackup.engine import verbs
from stackup.engine.views import ExitStatus, StackRow, UpResult
from stackup.planner.plan import Plan
from stackup.spec.discover import derived_name

from .cli_values import PORT, replica, run

HEAVY = ("typer", "rich", "yaml", "networkx", "pydantic", "pydantic_core", "pyroute2", "jinja2", "asyncio", "click")


@pytest.fixture
def up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = (replica("store", health="healthy"), replica("web", published=(PORT,)))
    monkeypatch.setattr(verbs, "ps", lambda *_: replicas)
    monkeypatch.setattr(verbs, "logs", lambda *_, **__: iter(()))
    row = StackRow(name="shop", folder="/shop", file="/shop/stack.yaml", services=2, wished=2, running=2, generation=1)
    monkeypatch.setattr(verbs, "ls", lambda *_: (row,))
    result = UpResult(plan="", changed=0, outcomes=(), published=(PORT,))
    monkeypatch.setattr(verbs, "up", lambda *a, **n: result if n["wait"] or not a[2] else replace(result, changed=1))
    monkeypatch.setattr(verbs, "down", lambda *_, **n: int(n["volumes"]))
    monkeypatch.setattr(verbs, "plan", lambda *a: Plan(stack="shop", notes=tuple(a[2])))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(verbs, "exec_", lambda *a, **n: ExitStatus(code=len(a[4]) + n["tty"], signal=None))


@pytest.mark.parametrize(
    "argv",
    [
        ["ps"], ["-C", ".", "ps"], ["-f", "stack.yaml", "ps"], ["-p", "other", "ps"], ["ls"], ["version"], ["logs"],
        ["logs", "web"], ["logs", "-f", "web"], ["exec", "web", "ls", "-a"], ["exec", "-i", "web/1", "cat"],
        ["-q", "--root", "/tmp/x", "ps"], ["up"], ["up", "web"], ["up", "--wait", "web"], ["up", "web", "--wait"],
        ["down"], ["down", "-v"], ["-q", "down", "--volumes"], ["plan"], ["plan", "web"],
    ],
)  # fmt: skip
def test_both_paths_say_the_same(argv: list[str], up: None, capsys: pytest.CaptureFixture[str]) -> None:
    fast = quick.run(argv), capsys.readouterr()
    slow = app.run(argv), capsys.readouterr()
    assert fast == slow and fast[0] is not None


@pytest.mark.parametrize(
    "argv",
    [
        [], ["up", "--foreground"], ["up", "--help"], ["down", "web"], ["plan", "--format", "json"], ["--help"],
        ["ps", "web"], ["ps", "--format", "json"], ["logs", "--tail", "3"], ["--debug", "ps"],
        ["-C"], ["-C", "-p", "ps"], ["exec", "web"], ["exec", "-e", "A=b", "web", "ls"], ["--root=/x", "ps"],
        ["logs", "web", "-f"], ["exec", "web", "--", "ls"],
    ],
)  # fmt: skip
def test_what_is_unusual_is_left_to_typer(argv: list[str], up: None) -> None:
    assert quick.run(argv) is None


@pytest.mark.parametrize("argv", [["ps"], ["logs"], ["exec", "web", "ls"], ["ls"], ["version"], ["down"], ["plan"]])
def test_quick_verbs_import_little(argv: list[str], project: Path) -> None:
    assert not imported(*argv).intersection(HEAVY if argv[0] != "plan" else set(HEAVY) - {"yaml"})


def test_they_do_so_with_env_files_and_overrides_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("A=1\nB=${A:-2}\nCOMPOSE_FILE=stack.yaml:more.yaml\n")
    (project / "more.yaml").write_text("name: more\n")
    assert not imported("ps").intersection(HEAVY)
    assert not imported("--env-file", ".env", "--profile", "a", "--set", "a=b", "ps").intersection(HEAVY)
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    assert not imported("-f", "stack.yaml", "-f", "more.yaml", "ps").intersection(HEAVY)


def imported(*argv: str) -> set[str]:
    """The modules that a line has loaded when it ends."""
    script = (
        "import sys, json; from stackup.__main__ import main; status = main(sys.argv[1:]); "
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: shop\nservices: {}\n", "shop"),
        ("# a\n\nname: 'shop' # b\n", "shop"),
        ('name: "1"\n', "1"),
        ("services:\n  name: {}\n", ""),
        ("name: 12\n", None),
        ("name: Shop\n", None),
        ("name: ${A}\n", None),
        ("name: shop#1\n", None),
        ("name: !reset\n", None),
        ("name: shop\r\n", "shop"),
        ("name:\n  shop\n", None),
        ("'name': shop\n", None),
        ("name : shop\n", None),
        ("name: shop\nname: other\n", None),
        ("{name: shop}\n", None),
        ("--- \nname: shop\n", None),
        ("<<: *base\n", None),
        ("name: null\n", None),
    ],
)
def test_the_name_is_read_without_yaml_only_where_that_is_safe(text: str, name: str | None) -> None:
    assert name_in(text) == name


@pytest.mark.parametrize("text", ["name: shop", "name: 'a-b'", 'name: "a_1" # c', "name: 1a", "name: no", ""])
def test_the_name_is_the_loaders(text: str, tmp_path: Path) -> None:
    from stackup.spec.load import load_text

    body = text + "\nimages: {app: {layers: [{file: {target: /a, content: b}}]}}\nservices: {web: {image: app}}\n"
    loaded = load_text(body, str(tmp_path / "stack.yaml"))
    name = name_in(body)
    assert name is None or (name or derived_name(str(tmp_path))) == loaded.stack.name


def test_the_quick_globals_are_typers(up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("stackup.cli.look.ps", lambda settings, *_: seen.append(settings) or 0)
    line = (
        "-C a -f b -p c --root d --quiet --file e --profile f --profile g --env-file h --set i=j --set k=l "
        "--vars-file m --project-directory n ps"
    )
    quick.run(line.split())
    app.run(line.split())
    assert seen[0] == seen[1] and seen[0].files == ("b", "e") and seen[0].sets == ("i=j", "k=l")


# The stack's name, as `ps` finds it and as `up` does.

ALIKE = """images: {app: {layers: [{file: {target: /a, content: b}}]}}
services: {web: {image: app}}
"""


@pytest.mark.parametrize(
    ("files", "line", "environment", "name"),
    [
        ({"stack.yaml": ALIKE}, "", {}, "shop"),
        ({"stack.yaml": f"name: a\n{ALIKE}"}, "", {}, "a"),
        ({"stack.yaml": f"name: a\n{ALIKE}"}, "-p given", {"COMPOSE_PROJECT_NAME": "b"}, "given"),
        ({"stack.yaml": f"name: a\n{ALIKE}"}, "", {"COMPOSE_PROJECT_NAME": "b"}, "b"),
        ({"stack.yaml": f"name: a\n{ALIKE}"}, "", {"COMPOSE_PROJECT_NAME": ""}, "a"),
        ({"stack.yaml": f"name: a\n{ALIKE}", ".env": "COMPOSE_PROJECT_NAME=b\n"}, "", {}, "b"),
        ({"stack.yaml": f"name: a\n{ALIKE}", ".env": "COMPOSE_PROJECT_NAME=$X\nX=late\n"}, "", {"X": "b"}, "b"),
        ({"stack.yaml": ALIKE, ".env": "COMPOSE_PROJECT_NAME=b", "e": "A=1"}, "--env-file e", {}, "shop"),
        ({"stack.yaml": ALIKE, "e": "COMPOSE_PROJECT_NAME=b"}, "--env-file e", {}, "b"),
        ({"stack.yaml": ALIKE, "e": "COMPOSE_PROJECT_NAME=b"}, "", {"COMPOSE_ENV_FILES": "e"}, "b"),
        ({"stack.yaml": ALIKE, "e": "X=b", "f": "COMPOSE_PROJECT_NAME=$X"}, "--env-file e --env-file f", {}, "b"),
        ({"stack.yaml": ALIKE, ".env": "COMPOSE_PROJECT_NAME=$X", "sub/.env": "X=b"}, "-C sub", {}, "b"),
        ({"stack.yaml": ALIKE, ".env": "COMPOSE_PROJECT_NAME=b"}, "", {"COMPOSE_DISABLE_ENV_FILE": "1"}, "shop"),
        ({"compose.yaml": "name: a\nservices: {}\n", "x.yaml": ALIKE}, "-f compose.yaml -f x.yaml", {}, "a"),
        ({"a.yaml": f"name: a\n{ALIKE}", "b.yaml": "name: b\n"}, "-f a.yaml -f b.yaml", {}, "b"),
        ({"a.yaml": f"name: a\n{ALIKE}", "b.yaml": "x-a: 1\n"}, "-f a.yaml -f b.yaml", {}, "a"),
        ({"a.yaml": f"name: a\n{ALIKE}", "stack.yaml": "name: b\n"}, "", {"COMPOSE_FILE": "a.yaml"}, "a"),
        ({"a.yaml": ALIKE, ".env": "COMPOSE_FILE=a.yaml\n"}, "", {}, "shop"),
        ({"sub/a.yaml": ALIKE}, "-f sub/a.yaml", {}, "sub"),
        ({"sub/a.yaml": ALIKE}, "-f sub/a.yaml --project-directory .", {}, "shop"),
        ({"sub/a.yaml": ALIKE, "sub/.env": "COMPOSE_PROJECT_NAME=b"}, "-f sub/a.yaml", {}, "b"),
        ({"stack.yaml": ALIKE, "stack.override.yaml": "name: over\n"}, "", {}, "over"),
        ({"stack.yaml": ALIKE, "stack.override.yaml": "name: over\n"}, "-f stack.yaml", {}, "shop"),
        ({"stack.yaml": ALIKE, "sub/x": ""}, "-C sub", {}, "shop"),
    ],
)  # fmt: skip
def test_the_name_is_known_without_yaml(
    files: dict[str, str], line: str, environment: dict[str, str], name: str, project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = spread(files, line, environment, project, monkeypatch)
    assert settings.quick_stack() == settings.load().stack.name == name


@pytest.mark.parametrize(
    ("files", "line", "environment", "name"),
    [
        ({"stack.yaml": f"name: ${{X}}\n{ALIKE}"}, "", {"X": "b"}, "b"),
        ({"stack.yaml": f"name: ${{X:-c}}\n{ALIKE}", ".env": "X=b\n"}, "", {}, "b"),
        ({"stack.yaml": f'name: "{{{{ vars.x }}}}"\nvars: {{x: c}}\n{ALIKE}'}, "--set x=b", {}, "b"),
        ({"stack.yaml": f"name: a\n{ALIKE}---\nname: b\n"}, "", {}, "b"),
        ({"stack.yaml": f"name:\n{ALIKE}"}, "", {}, "shop"),
        ({"stack.yaml": f"name: a\n{ALIKE}", "stack.override.yaml": "name: ${X-}\n"}, "", {}, "a"),
        ({"stack.yaml": f"name: a\n{ALIKE}", "stack.override.yaml": "name: !reset\n"}, "", {}, "a"),
        ({"stack.yaml": f"x: &x shop\n{ALIKE}".replace("x:", "x-x:", 1) + "name: *x\n"}, "", {}, "shop"),
    ],
)  # fmt: skip
def test_the_name_is_the_loaders_where_it_is_not_plain(
    files: dict[str, str], line: str, environment: dict[str, str], name: str, project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = spread(files, line, environment, project, monkeypatch)
    assert settings.quick_stack() is None and settings.stack() == name


def spread(
    files: dict[str, str], line: str, environment: dict[str, str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    (project / "stack.yaml").unlink()
    for path, text in files.items():
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).write_text(text)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    parsed = quick._globals([*line.split(), "ps"])
    assert parsed is not None
    return parsed[0]


def test_what_is_wrong_with_an_env_file_is_the_loaders_to_say(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".env").write_text("COMPOSE_PROJECT_NAME='1\n")
    assert Settings().quick_stack() is None
    ran = run(capsys, "ps")
    assert ran.status == 2 and ran.err.startswith(".env:1:22: ")


def test_an_env_file_that_cannot_say_the_name_is_not_looked_at(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".env").write_text("A='1\n")
    assert Settings().quick_stack() == "shop" and run(capsys, "ps").status == 0
    assert run(capsys, "config").status == 2
