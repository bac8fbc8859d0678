"""Values as text, as JSON, as progress."""

from __future__ import annotations

import io
import json as stdjson
import shutil
import sys
from typing import Any

import pytest

from stackup.cli import output
from stackup.cli.render import json, progress, text
from stackup.engine.views import Published, StatsRow
from stackup.errors import Place, Problem, SpecErrors, StackupError
from stackup.events import Done, Failed, Output, Skipped, Started, Warned

from .cli_values import PORT, replica


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "running 1m"),
        ({"restarts": 2, "exit": "exited 1"}, "running 1m (2 restarts, last exited 1)"),
        ({"state": "exited", "exit": "OOM-killed at 64M", "exit_code": 137, "finished_at": 1050.0},
         "OOM-killed at 64M, 10s ago"),
        ({"state": "exited", "held": True, "exit": "SIGTERM", "finished_at": 1000.0}, "stopped by you, 1m ago"),
        ({"oom_kills": 1}, "running 1m (a process was OOM-killed)"),
        ({"oom_kills": 3, "restarts": 1}, "running 1m (1 restart, 3 processes were OOM-killed)"),
        ({"state": "restarting", "exit": "exited 1", "restarts": 3, "next_start": 1064.0},
         "exited 1, starts again in 4s, 3 restarts"),
        ({"state": "absent", "id": None, "started_at": None}, "not made yet"),
        ({"state": "created"}, "made, not started"),
        ({"state": "exited", "exit": "exited 0", "exit_code": 0}, "exited 0"),
    ],
)  # fmt: skip
def test_ps_tells_the_state_and_its_cause(facts: dict[str, Any], state: str) -> None:
    drawn = text.ps_table([replica(**facts)], now=1060.0).splitlines()
    assert drawn[0].split() == ["NAME", "IMAGE", "STATE", "HEALTH", "PORTS"]
    assert drawn[1].startswith(f"web/1  shop/app  {state}  ")


def test_ps_shows_ports_and_health() -> None:
    drawn = text.ps_table([replica(health="healthy", published=(PORT,))], now=1000.0)
    assert drawn.splitlines()[1] == "web/1  shop/app  running 0s  healthy  127.0.0.1:8080->80"


@pytest.mark.parametrize(
    ("port", "line"),
    [
        (PORT, 'web -> http://127.0.0.1:8080 (this machine only; "0.0.0.0:8080:80" opens it)'),
        (Published(service="web", host_ip="0.0.0.0", published=80, target=80),
         "web -> http://127.0.0.1:80 (and every other address of this machine)"),
        (Published(service="dns", host_ip="127.0.0.1", published=53, target=53, protocol="udp"),
         'dns -> udp://127.0.0.1:53 (this machine only; "0.0.0.0:53:53/udp" opens it)'),
        (Published(service="web", host_ip="fd00::1", published=80, target=80), "web -> http://[fd00::1]:80"),
    ],
)  # fmt: skip
def test_up_says_where(port: Published, line: str) -> None:
    assert text.published_line(port) == line


def test_tables_line_up_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    colored = text.table(("A", "B"), [(output.style("x", "red"), "1"), ("yyy", "2")])
    monkeypatch.delenv("FORCE_COLOR")
    plain = text.table(("A", "B"), [("x", "1"), ("yyy", "2")])
    for code in ("\x1b[1m", "\x1b[31m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == plain == "A    B\nx    1\nyyy  2"


def test_stats_shows_limits() -> None:
    row = StatsRow(stack="s", service="web", number=1, id="a", memory=1 << 20, memory_limit=64 << 20, cpu_ns=1,
                   cpu_percent=12.34, pids=3, pids_limit=None)  # fmt: skip
    assert text.stats_table([row]).splitlines()[1] == "web/1  12.3%  1M / 64M  3"


@pytest.mark.parametrize(
    ("environment", "choice", "colored"),
    [
        ({}, "auto", False), ({"FORCE_COLOR": "1"}, "auto", True), ({"FORCE_COLOR": "1"}, "never", False),
        ({"NO_COLOR": "1"}, "always", True),
    ],
)  # fmt: skip
def test_who_decides_about_colours(
    environment: dict[str, str], choice: output.Color, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    output.configure(choice)
    try:
        assert output.colored(io.StringIO()) is colored
    finally:
        output.configure()


def test_an_error_names_its_place_once(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_error(StackupError("no such image", hint="build it", place=Place("stack.yaml", 3, 5)))
    assert capsys.readouterr().err == "error: stack.yaml:3:5: no such image\nhint: build it\n"
    output.tell_error(StackupError("t.j2:2: no 'x' in the variables", place=Place("t.j2", 2)))
    assert capsys.readouterr().err == "error: t.j2:2: no 'x' in the variables\n"


def test_problems_keep_their_carets(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_error(SpecErrors([Problem(Place("stack.yaml", 1, 3), "a", "wrong", None, "a: b")]))
    assert capsys.readouterr().err == (
        "stack.yaml:1:3: a: wrong\n    a: b\n      ^\nerror: 1 problem; nothing was touched\n"
    )


# JSON: these names are what programs rely on


def test_the_fields_of_ps() -> None:
    assert list(json.plain(replica(published=(PORT,)))) == [
        "stack", "service", "number", "name", "id", "image", "state", "health", "held", "pid", "started_at",
        "finished_at", "exit_code", "exit", "restarts", "next_start", "oom_kills", "addresses", "published",
    ]  # fmt: skip
    assert json.plain(PORT) == {
        "service": "web", "host_ip": "127.0.0.1", "published": 8080, "target": 80, "protocol": "tcp",
    }  # fmt: skip


def test_the_fields_of_a_plan() -> None:
    from stackup.planner.reconcile import reconcile

    from .planner_values import NOTHING, service, stack, wish

    plain = json.plain(reconcile(wish(stack(service())), NOTHING))
    assert list(plain) == ["version", "stack", "serial", "nodes", "replicas", "notes", "left_alone"]
    assert plain["nodes"][0] == {
        "id": "build image:app",
        "operation": {"kind": "build-image", "name": "app", "cause": "new", "steps": [], "host_bound": False},
        "after": [],
    }


def test_json_is_json() -> None:
    assert stdjson.loads(json.dump([replica()]))[0]["number"] == 1


def test_the_documentation_lists_the_fields() -> None:
    import dataclasses
    from pathlib import Path

    from stackup.builder.store.images import StoredImage
    from stackup.engine.views import Inspected, InspectedReplica, Replica, StackRow
    from stackup.linux.features import Feature

    page = " ".join((Path(__file__).parents[2] / "docs/cli.md").read_text().split())
    for kind in (Replica, Published, StackRow, StatsRow, StoredImage, Feature, Inspected):
        assert " ".join(f.name for f in dataclasses.fields(kind)) in page, kind.__name__
    new = {f.name for f in dataclasses.fields(InspectedReplica)} - {f.name for f in dataclasses.fields(Replica)}
    assert new == {"checks", "spec"} and "as in `ps`, with its `checks`" in page


def test_the_documentation_lists_the_verbs() -> None:
    from pathlib import Path

    from stackup.cli.app import VERBS

    page = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    assert [v for v in VERBS if f"`{v}" not in page] == []


def test_the_documentation_lists_the_globals() -> None:
    from pathlib import Path

    from typer.main import get_command

    from stackup.cli.app import app
    from stackup.cli.settings import GLOBALS

    options = [p for p in get_command(app).params if "--help" not in p.opts]
    page = (Path(__file__).parents[2] / "docs/cli.md").read_text()
    assert [p.opts for p in options if not any(f"`{name}" in page for name in p.opts)] == []
    assert {name: not getattr(p, "is_flag", False) for p in options for name in p.opts} == GLOBALS


# Progress


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Started("service:web/1", "create"), None),
        (Started("image:web", "build"), "image:web: build ..."),
        (Output("image:web", "hello"), "image:web | hello"),
        (Done("service:web/1", "started", 0.26), "service:web/1: started (0.3 s)"),
        (Failed("service:web/1", "port taken", "free it"),
         "service:web/1: failed: port taken\nservice:web/1: hint: free it"),
        (Skipped("service:web/1", "image:web failed"), "service:web/1: skipped: image:web failed"),
        (Warned("", "careful"), "warning: careful"),
    ],
)  # fmt: skip
def test_events_are_lines(event: Any, line: str | None) -> None:
    assert progress.line_of(event) == line


def test_a_terminal_gets_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress.reporter() as report:
        report(Started("image:web", "build"))
        report(Output("image:web", "[a step] \x1b"))
        report(Done("image:web", "built", 1.0))
        report(Failed("service:web/1", "port taken", "free it"))
    drawn = screen.getvalue()
    assert "images" in drawn and "✔ web" in drawn and "port taken" in drawn


def test_quiet_tells_troubles_only(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.reporter(quiet=True) as report:
        report(Done("image:web", "built"))
        report(Warned("", "careful"))
    assert capsys.readouterr().err == "warning: careful\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from stackup.cli import app

    from .cli_values import run

    script = run(capsys, "completion", shell).out
    assert all(verb in script for verb in app.VERBS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-C x lo", "logs"),
        ("--color a", "auto always"),
        ("ps --format j", "json"),
        ("logs --since x", ""),
        ("logs w", "web"),
        ("-C x -q up w", "web"),
        ("-f a -f b --profile x --set k = v --env-file = e up w", "web"),
        ("--profile d", "debug"),
        ("--set k = v lo", "logs"),
        ("--prof", "--profile"),
        ("--set x", ""),
        ("build sh", "shared"),
        ("image i", "inspect"),
        ("image rm shop/w", "shop/web"),
        ("rmi shop/w", "shop/web"),
        ("completion f", "fish"),
        ("uninstall --y", "--yes"),
    ],
)
def test_the_bash_completion_completes(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert completed(capsys, line) == words


def test_completion_asks_about_the_stack_that_the_globals_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert completed(capsys, "-p n -C elsewhere logs elsewhere-") == "elsewhere-web"
    assert completed(capsys, "--set k = v --root = r -f a --profile d") == "dev"


def completed(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """What the script offers for the last word; `stackup` answers what a stack with a service and images would."""
    import subprocess

    from .cli_values import run

    answers = """stackup() { case "$*" in
      "-p n -C elsewhere config --services") echo elsewhere-web ;;
      *"config --services") echo web; echo store ;;
      *"config --images") echo shared ;;
      "--set k=v --root r -f a config --profiles") echo dev ;;
      "config --profiles") echo debug ;;
      *"image ls") echo "IMAGE  DIGEST"; echo "shop/web  123456" ;;
    esac; }"""
    ask = f'COMP_WORDS=(stackup {line}); COMP_CWORD={len(line.split())}; _stackup; echo "${{COMPREPLY[@]}}"'
    text = "\n".join((answers, run(capsys, "completion", "bash").out, ask))
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_the_fish_completion_completes(capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    from .cli_values import run

    text = run(capsys, "completion", "fish").out
    for line, word in (("stackup lo", "logs"), ("stackup -C x image i", "inspect"), ("stackup completion f", "fish")):
        done = subprocess.run(["fish", "-c", f"{text}\ncomplete -C '{line}'"], capture_output=True, text=True)
        assert done.stdout.split("\t")[0].strip() == word
