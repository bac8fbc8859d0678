"""What a command line is answered: usage, hints, exit statuses, where things are printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackup import events
from stackup.cli import app
from stackup.engine import verbs
from stackup.engine.logs import LogLine
from stackup.engine.views import ExitStatus, UpResult
from stackup.errors import NotFound, StackupError
from stackup.planner.plan import Plan

from .cli_values import PORT, replica, run

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


@pytest.fixture
def up(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """web/1 and store/1 run."""
    monkeypatch.setattr(verbs, "ps", lambda *_: (replica("store"), replica("web", published=(PORT,))))


def test_a_global_after_the_verb_is_answered_with_the_right_line(capsys: Capsys) -> None:
    ran = run(capsys, "up", "-C", "samples/my shop", "--wait")
    assert ran.status == 2 and "stackup -C 'samples/my shop' up --wait" in ran.err


@pytest.mark.parametrize(
    ("argv", "option", "line"),
    [
        (["up", "--root=/x"], "--root", "stackup --root=/x up"),
        (["-C", "a", "plan", "-p", "n", "web"], "-p", "stackup -C a -p n plan web"),
        (["-f", "a", "up", "--wait", "-f", "b", "-f", "c"], "-f", "stackup -f a -f b -f c up --wait"),
        (["up", "--profile=x", "web", "--profile", "y"], "--profile", "stackup --profile=x --profile y up web"),
        (["--set", "up=1", "up", "--set", "a=b"], "--set", "stackup --set up=1 --set a=b up"),
        (
            ["--env-file=x", "exec", "web", "--env-file", "y"],
            "--env-file",
            "stackup --env-file=x --env-file y exec web",
        ),
        (["ps", "--quiet"], "--quiet", "stackup --quiet ps"),
    ],
)
def test_corrected_lines(argv: list[str], option: str, line: str) -> None:
    assert app.corrected(argv, option) == line


def test_an_option_that_is_no_global_is_not_moved() -> None:
    assert app.corrected(["up", "--wiat"], "--wiat") is None


def test_a_path_where_a_service_stands(project: Path, capsys: Capsys) -> None:
    (project / "samples").mkdir()
    ran = run(capsys, "up", "samples")
    assert ran.status == 2
    assert ran.err == (
        "error: 'samples' is a path, where up takes services\nhint: for another folder: stackup -C samples up\n"
    )
    assert "stackup -f other.yaml plan" in run(capsys, "plan", "other.yaml").err


@pytest.mark.parametrize("argv", [("up",), ("plan",), ("ps",), ("logs",), ("stop",), ("stats",), ("inspect",)])
def test_a_path_is_known_without_a_stack_file(
    argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(capsys, *argv, "samples/guestbook")
    assert ran.status == 2 and f"for another folder: stackup -C samples/guestbook {argv[0]}\n" in ran.err


def test_a_folder_where_there_is_no_stack_file_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    (tmp_path / "guestbook").mkdir()
    monkeypatch.chdir(tmp_path)
    ran = run(capsys, "up", "guestbook")
    assert ran.status == 2 and ran.err.endswith("hint: for another folder: stackup -C guestbook up\n")


def test_a_name_that_no_stack_can_have_is_refused_by_every_verb(project: Path, capsys: Capsys) -> None:
    for verb in ("ps", "down", "config"):
        ran = run(capsys, "-p", "Bad Name", verb)
        assert ran.status == 2 and ran.err.startswith("error: 'Bad Name' is no name of a stack\nhint: ")


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("build ./x", "'./x' is a path, where build takes images", "for another folder: stackup -C ./x build"),
        ("down sub", "down takes no 'sub'", "for another folder: stackup -C sub down"),
        ("config sub", "config takes no 'sub'", "for another folder: stackup -C sub config"),
        ("down web x", "down takes no 'web'", "down takes the whole stack; one service: stackup stop web"),
        ("ls x", "ls takes no 'x'", "stackup ls --help"),
        ("exec -C sub web ls", "no such option: -C",
         "options of stackup itself stand before the verb: stackup -C sub exec web ls"),
    ],
)  # fmt: skip
def test_a_word_too_many_is_answered_with_the_right_line(
    line: str, error: str, hint: str, project: Path, capsys: Capsys
) -> None:
    (project / "sub").mkdir()
    ran = run(capsys, *line.split())
    assert (ran.status, ran.err) == (2, f"error: {error}\nhint: {hint}\n")


def test_choices_are_told_in_one_line(capsys: Capsys) -> None:
    assert run(capsys, "completion").err == (
        "error: missing argument 'shell'. Choose from: bash, zsh, fish\nhint: stackup completion --help\n"
    )


def test_an_unknown_service_is_answered_with_the_likely_one(project: Path, capsys: Capsys) -> None:
    ran = run(capsys, "up", "wbe")
    assert ran.status == 2
    assert ran.err == "error: no service 'wbe'\nhint: did you mean 'web'? the services are store, web\n"


def test_a_service_of_a_stack_that_is_not_up(project: Path, capsys: Capsys) -> None:
    (project / "web").mkdir()
    ran = run(capsys, "stop", "web")
    assert ran.status == 1 and ran.err == "error: stack shop is not up\nhint: run `stackup up`\n"


def test_an_unknown_verb(capsys: Capsys) -> None:
    ran = run(capsys, "stopp")
    assert ran.status == 2 and "no verb 'stopp'" in ran.err and "did you mean 'stop'?" in ran.err
    assert "`stackup --help` lists the verbs" in run(capsys, "xyzzy").err


def test_the_option_version_leads_to_the_verb(capsys: Capsys) -> None:
    ran = run(capsys, "--version")
    assert ran.status == 2 and ran.err.endswith("hint: stackup version\n")


def test_no_stack_file_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(capsys, "ps")
    assert ran.status == 2 and "no stack file" in ran.err


def test_problems_of_the_file_come_as_they_are(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text("services: {web: {image: a, resorces: {}}, other: {imag: b}}\n")
    ran = run(capsys, "plan")
    assert ran.status == 2
    assert "stack.yaml:1:28: services.web.resorces: unknown key; did you mean 'resources'?" in ran.err
    assert "problems; nothing was touched" in ran.err


def test_plan_of_nothing_and_its_exit_codes(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "plan", lambda *_: Plan(stack="shop"))
    assert run(capsys, "plan", "--detailed-exitcode").status == 0
    assert run(capsys, "plan").out == "nothing to do: shop is as the file says\n"


def test_plan_with_changes_is_4_when_asked(project: Path, capsys: Capsys) -> None:
    ran = run(capsys, "plan", "--detailed-exitcode")
    assert ran.status == 4 and "create service:web: new" in ran.out
    assert run(capsys, "plan").status == 0


def test_plan_leaves_no_root_behind(project: Path, capsys: Capsys) -> None:
    run(capsys, "plan")
    assert not (project.parent / "root").exists()


def test_up_prints_where_it_can_be_reached(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(root: str, loaded: Any, services: Any, *, wait: bool, conduct: Any, report: events.Reporter) -> UpResult:
        assert wait and list(services) == ["web"]
        report(events.Done("service:web/1", "started", 0.3))
        return UpResult(plan="x", changed=1, published=(PORT,))

    monkeypatch.setattr(verbs, "up", fake)
    ran = run(capsys, "up", "--wait", "web")
    assert ran.out == 'web -> http://127.0.0.1:8080 (this machine only; "0.0.0.0:8080:80" opens it)\n'
    assert ran.err == "service:web/1: started (0.3 s)\n"
    assert run(capsys, "-q", "up", "--wait", "web").err == ""


def test_up_with_nothing_to_do_says_so(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "up", lambda *_, **__: UpResult(plan="", changed=0))
    assert run(capsys, "up").err == "nothing to do\n"


def test_up_needs_root_and_says_so(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    ran = run(capsys, "up")
    assert ran.status == 3 and ran.err.startswith("error: only root can run services yet\nhint: ")
    assert "plan, config, graph, and build images whose layers run no command" in ran.err
    assert not (project.parent / "root").exists()
    assert run(capsys, "supervise").status == 3


def test_an_interrupted_up_says_what_stands(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> UpResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "up", interrupted)
    ran = run(capsys, "up")
    assert ran.status == 130
    assert ran.err.startswith("error: interrupted; what was done stands\nhint: `stackup up` goes on from here")


def test_an_interrupted_down_says_how_to_go_on(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "down", interrupted)
    ran = run(capsys, "down")
    assert ran.status == 130 and ran.err.startswith("error: interrupted; what was taken away stays away\nhint: ")


def test_foreground_stops_at_the_first_and_kills_at_the_second(
    up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def interrupted(name: str) -> Callable[..., Any]:
        def act(*_: Any, **__: Any) -> Any:
            done.append(name)
            raise KeyboardInterrupt

        return act

    monkeypatch.setattr(verbs, "up", lambda *_, **__: UpResult(plan="", changed=1))
    monkeypatch.setattr(verbs, "logs", interrupted("logs"))
    monkeypatch.setattr(verbs, "stop", interrupted("stop"))
    monkeypatch.setattr(verbs, "kill", lambda *_, **__: done.append("kill") or 1)
    assert run(capsys, "up", "--foreground").status == 130
    assert done == ["logs", "stop", "kill"]


def test_a_failure_is_one_line_and_a_hint(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> int:
        raise StackupError("service:web/1: port 8080 is taken by nginx", hint="stop it, or publish another port")

    monkeypatch.setattr(verbs, "restart", fails)
    ran = run(capsys, "restart", "web")
    assert ran.status == 1
    assert ran.err == "error: service:web/1: port 8080 is taken by nginx\nhint: stop it, or publish another port\n"


def test_build_takes_services_for_their_images(project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "build", lambda root, loaded, keys, **_: dict.fromkeys(keys, "sha256:1"))
    assert run(capsys, "build", "web", "app").out == "shop/app sha256:1\n"
    assert "no image 'ap'" in run(capsys, "build", "ap").err


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "kill"])
def test_acting_on_nothing_is_said(verb: str, up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, verb, lambda *_, **__: 0)
    ran = run(capsys, verb)
    assert ran.status == 0 and ran.err.startswith("shop: ")
    assert run(capsys, verb, "wbe").status == 2


# exec


def executed(monkeypatch: pytest.MonkeyPatch, outcome: ExitStatus | StackupError) -> list[tuple[Any, dict[str, Any]]]:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def fake(*arguments: Any, **named: Any) -> ExitStatus:
        calls.append((arguments[1:], named))
        if isinstance(outcome, StackupError):
            raise outcome
        return outcome

    monkeypatch.setattr(verbs, "exec_", fake)
    return calls


def test_exec_gives_the_commands_status(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = executed(monkeypatch, ExitStatus(code=7, signal=None))
    assert run(capsys, "exec", "web/2", "ls", "-la", "--color").status == 7
    assert calls[0][0] == ("shop", "web", 2, ["ls", "-la", "--color"])


def test_exec_of_a_signal_is_128_and_more(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    executed(monkeypatch, ExitStatus(code=None, signal=9))
    assert run(capsys, "exec", "web", "true").status == 137


def test_exec_tells_its_own_failures_apart(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    executed(monkeypatch, NotFound("service:web: nothing of it runs"))
    assert run(capsys, "exec", "web", "true").status == 125
    missing = StackupError("web: no such command: lss")
    missing.exit_status = 127  # type: ignore[attr-defined]
    executed(monkeypatch, missing)
    assert run(capsys, "exec", "web", "lss").status == 127
    assert run(capsys, "exec", "wbe", "ls").status == 125


def test_exec_without_a_terminal_refuses_t(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    executed(monkeypatch, ExitStatus(code=0, signal=None))
    monkeypatch.setattr("os.isatty", lambda _: False)
    ran = run(capsys, "exec", "-it", "web", "sh")
    assert ran.status == 125 and "exec -i" in ran.err


def test_exec_reads_variables_of_this_shell(up: None, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = executed(monkeypatch, ExitStatus(code=0, signal=None))
    monkeypatch.setenv("SHOP", "1")
    run(capsys, "exec", "-e", "A=b=c", "-e", "SHOP", "-u", "app", "-w", "/srv", "web", "env")
    named = calls[0][1]
    assert named["env"] == {"A": "b=c", "SHOP": "1"} and named["user"] == "app" and named["workdir"] == "/srv"


# logs


def test_logs_carry_their_replica_and_their_bytes(
    up: None, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def lines(*_: Any, **__: Any) -> Iterator[LogLine]:
        yield LogLine(1.0, "stdout", b"\xff bytes", "web-1")
        yield LogLine(2.0, "stderr", b"more", "store-1")

    from stackup.__main__ import main

    monkeypatch.setattr(verbs, "logs", lines)
    assert main(["logs"]) == 0
    assert capfdbinary.readouterr().out == b"web-1   | \xff bytes\nstore-1 | more\n"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("10m", 600), ("1h30m", 5400), ("1.5s", 1.5)])
def test_since_is_a_time_ago(text: str, seconds: float) -> None:
    from stackup.cli.watch import since_time

    assert since_time(text, 10000.0) == 10000.0 - seconds


def test_since_is_a_moment() -> None:
    from stackup.cli.watch import since_time

    assert since_time("2026-01-31T12:00:00+00:00", 0.0) == 1769860800.0


# The process


def stackup(*argv: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stackup", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def test_a_closed_pipe_ends_quietly(project: Path) -> None:
    process = stackup("config")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_are_nothing_special(project: Path, closed: str) -> None:
    script = f'"$0" -m stackup config --services {closed}; status=$?; exec >said; echo $status'
    ended = subprocess.run(["sh", "-c", script, sys.executable], cwd=project, capture_output=True, text=True)
    assert (project / "said").read_text() == "0\n" and ended.stderr == ""
    assert ended.stdout == ("store\nweb\n" if closed == "2>&-" else "")


def test_a_folder_that_is_gone_is_said(project: Path, tmp_path: Path) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m stackup ps'
    done = subprocess.run(["sh", "-c", script, sys.executable], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2, "error: the current folder is gone\nhint: cd to another one, or name it with -C\n"
    )  # fmt: skip


def test_uninstall_does_not_ask_who_cannot_answer(
    project: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "holdings", lambda _: ("stack shop", "root /x"))
    monkeypatch.setattr(verbs, "uninstall", lambda *_, **__: ("stack shop", "root /x"))
    asked = run(capsys, "uninstall")
    assert asked.status == 2 and asked.err.startswith("this removes\n    stack shop\n    root /x\nerror: nobody")
    assert run(capsys, "uninstall", "--yes").out == "removed stack shop\nremoved root /x\n"


# The globals that say which stack


def test_every_global_reaches_the_loader(project: Path, capsys: Capsys) -> None:
    import json

    (project / "stack.yaml").write_text(
        "vars: {tag: '1', user: a, group: a}\n"
        "services:\n"
        "  web: {image: 'debian:{{ vars.tag }}', user: '{{ vars.user }}:{{ vars.group }}', volumes: ['./d:/d']}\n"
        "  debug: {image: 'debian:$RELEASE', profiles: [debug]}\n"
    )
    (project / "more.yaml").write_text("services: {web: {hostname: more}}\n")
    (project / "variables").write_text("RELEASE=13\n")
    (project / "vars.yaml").write_text("{tag: '11', user: www-data}\n")
    (project / "sub" / "d").mkdir(parents=True)
    line = (
        "-f stack.yaml -f more.yaml --profile debug --env-file variables --vars-file vars.yaml --set tag=12 "
        "--set group=b --project-directory sub config --format json"
    )
    ran = run(capsys, *line.split())
    assert ran.status == 0, ran.err
    said = json.loads(ran.out)
    web, debug = said["services"]["web"], said["services"]["debug"]
    assert said["name"] == "sub" and web["volumes"][0]["source"] == str(project / "sub" / "d")
    assert (web["image"], web["user"], web["hostname"]) == ("debian:12", "www-data:b", "more")
    assert debug["image"] == "debian:13"


@pytest.mark.parametrize("word", ["tag", "=12", "="])
def test_a_set_that_sets_nothing_is_refused(word: str, project: Path, capsys: Capsys) -> None:
    ran = run(capsys, "--set", word, "config")
    assert (ran.status, ran.err) == (
        2, f"error: --set {word!r} sets nothing\nhint: --set KEY=VALUE, for `vars:` of the stack file\n"
    )  # fmt: skip


def test_a_misspelt_file_is_answered_with_the_one_that_is_there(project: Path, capsys: Capsys) -> None:
    for verb in ("ps", "up", "config"):
        ran = run(capsys, "-f", "stak.yaml", verb)
        assert ran.status == 2 and ran.err.startswith("error: no file stak.yaml\nhint: did you mean 'stack.yaml'? ")


def test_both_kinds_of_file_are_told_by_what_loads_them(project: Path, capsys: Capsys) -> None:
    (project / "compose.yaml").write_text("services: {}\n")
    warning = "warning: stack.yaml is used, compose.yaml beside it is not; -f takes it\n"
    assert run(capsys, "config").err == warning
    assert run(capsys, "-q", "config").err == run(capsys, "-f", "stack.yaml", "config").err == ""
