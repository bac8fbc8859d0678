"""The variables that say how `up` works, and who reads them from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackup.cli import conduct
from stackup.cli.settings import Settings
from stackup.engine import planning, verbs
from stackup.engine.conduct import Conduct
from stackup.engine.views import Published, UpResult
from stackup.errors import BadInput
from stackup.planner.plan import Plan

from .cli_values import STACK, run

Capsys = pytest.CaptureFixture[str]
DEBUG = "  debug: {image: app, profiles: [tools]}\n  other: {image: app, profiles: [others]}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("COMPOSE_REMOVE_ORPHANS", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_PARALLEL_LIMIT", "COMPOSE_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (tmp_path / "stack.yaml").write_text(STACK + DEBUG)
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", Conduct()),
        ("COMPOSE_REMOVE_ORPHANS=0", Conduct(keep_orphans=True)),
        ("COMPOSE_REMOVE_ORPHANS=False", Conduct(keep_orphans=True)),
        ("COMPOSE_REMOVE_ORPHANS=", Conduct()),
        ("COMPOSE_REMOVE_ORPHANS=1\nCOMPOSE_IGNORE_ORPHANS=no", Conduct()),
        ("COMPOSE_IGNORE_ORPHANS=true", Conduct(keep_orphans=True)),
        ("COMPOSE_PARALLEL_LIMIT=3", Conduct(parallel=3)),
        ("COMPOSE_PARALLEL_LIMIT=-1", Conduct()),
        ("COMPOSE_MENU=yes", Conduct()),
    ],
)
def test_variables_of_the_env_file(folder: Path, lines: str, wanted: Conduct) -> None:
    (folder / ".env").write_text(lines)
    assert conduct.of(Settings()) == wanted


def test_the_environment_wins_over_the_env_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("COMPOSE_PARALLEL_LIMIT=3\nCOMPOSE_IGNORE_ORPHANS=1\n")
    monkeypatch.setenv("COMPOSE_PARALLEL_LIMIT", "5")
    monkeypatch.setenv("COMPOSE_IGNORE_ORPHANS", "0")
    assert conduct.of(Settings()) == Conduct(parallel=5)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("COMPOSE_REMOVE_ORPHANS=perhaps", r"COMPOSE_REMOVE_ORPHANS is 'perhaps' \(\.env:1\)"),
        ("\nCOMPOSE_PARALLEL_LIMIT=many", r"COMPOSE_PARALLEL_LIMIT is 'many' \(\.env:2\)"),
        ("COMPOSE_REMOVE_ORPHANS=1\nCOMPOSE_IGNORE_ORPHANS=1", "contradict each other"),
    ],
)
def test_what_they_cannot_mean_is_refused(folder: Path, lines: str, message: str) -> None:
    (folder / ".env").write_text(lines)
    with pytest.raises(BadInput, match=message):
        conduct.of(Settings())


def test_up_and_plan_and_build_are_told(folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Conduct] = []
    monkeypatch.setattr(verbs, "up", lambda *_, **n: seen.append(n["conduct"]) or UpResult(plan="", changed=0))
    monkeypatch.setattr(verbs, "plan", lambda *a: seen.append(a[3]) or Plan(stack="shop"))
    monkeypatch.setattr(verbs, "build", lambda *_, **n: seen.append(n["conduct"]) or {})
    (folder / ".env").write_text("COMPOSE_IGNORE_ORPHANS=1\nCOMPOSE_PARALLEL_LIMIT=1")
    for verb in ("up", "plan", "build"):
        assert run(capsys, verb).status == 0
    assert seen == [Conduct(keep_orphans=True, parallel=1)] * 3


def test_builds_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackup.builder import build as builder
    from stackup.engine import steps

    seen: list[Any] = []
    monkeypatch.setattr(builder, "build", lambda *_, **n: seen.append(n["jobs"]) or {})
    monkeypatch.setattr(steps, "Runner", lambda host: _Nothing())
    for limit in (0, 1, 9):
        loaded = Settings(quiet=True).load()
        planning._build(None, loaded, (), no_cache=False, conduct=Conduct(parallel=limit), report=print)  # type: ignore[arg-type]
    assert seen == [2, 1, 2]


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_what_is_left_alone_is_said_by_plan(folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"service:debug": "profile off"}
    monkeypatch.setattr(verbs, "plan", lambda *_: Plan(stack="shop", left_alone=left))
    ran = run(capsys, "plan")
    assert ran.out == "nothing to do: shop is as the file says\nleft alone: service:debug (profile off)\n"


@pytest.mark.parametrize(
    ("file", "ports", "said"),
    [
        ("stack.yaml", "8080:80", 'this machine only; "0.0.0.0:8080:80" opens it'),
        ("compose.yaml", "8080:80", 'this machine only, where Compose opens it to others; "0.0.0.0:8080:80" opens it'),
        ("compose.yaml", "80", 'this machine only, where Compose opens it to others; "0.0.0.0:8080:80" opens it'),
        ("compose.yaml", "127.0.0.1:8080:80", "this machine only"),
        ("stack.yaml", "127.0.0.1:8080:80", "this machine only"),
        ("compose.yaml", "0.0.0.0:8080:80", "and every other address of this machine"),
    ],
)
def test_up_says_who_reaches_a_port(
    folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, file: str, ports: str, said: str
) -> None:
    (folder / "stack.yaml").unlink()
    (folder / file).write_text(f"services: {{web: {{image: 'app:1', ports: ['{ports}']}}}}")
    address = "0.0.0.0" if ports.startswith("0.") else "127.0.0.1"
    port = Published(service="web", host_ip=address, published=8080, target=80)
    monkeypatch.setattr(verbs, "up", lambda *_, **__: UpResult(plan="", changed=1, published=(port,)))
    assert run(capsys, "up").out == f"web -> http://127.0.0.1:8080 ({said})\n"


def test_naming_a_service_makes_its_profile_active(
    folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    stacks: list[Any] = []
    monkeypatch.setattr(verbs, "up", lambda *a, **_: stacks.append(a[1].stack) or UpResult(plan="", changed=0))
    monkeypatch.setattr(verbs, "plan", lambda *a: stacks.append(a[1].stack) or Plan(stack="shop"))
    monkeypatch.setattr(verbs, "build", lambda *a, **_: stacks.append((a[1].stack, a[2])) or {})
    for verb in ("up", "plan"):
        assert run(capsys, verb, "debug").status == 0
        assert stacks[-1].inactive == ("other",) and "debug" in stacks[-1].services
    assert run(capsys, "build", "debug").status == 0
    assert stacks[-1][0].inactive == ("other",) and stacks[-1][1] == ["app"]
    assert run(capsys, "up").status == 0
    assert stacks[-1].inactive == ("debug", "other")
