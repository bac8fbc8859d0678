"""`stackup check` and `stackup init` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .cli_values import run

Capsys = pytest.CaptureFixture[str]

UNWISE = """name: shop
images: {app: {layers: [{file: {target: /a, content: b}}]}}
services:
  web: {image: app, ports: ["0.0.0.0:80:80"], resources: {memory: 64M}}
"""


def test_nothing_unwise(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text(UNWISE.replace("0.0.0.0:", ""))
    ran = run(capsys, "check")
    assert (ran.status, ran.out, ran.err) == (0, "", "no findings\n")
    assert run(capsys, "-q", "check").err == ""


def test_a_finding_with_its_line_and_status_1(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text(UNWISE)
    ran = run(capsys, "check")
    assert ran.status == 1 and ran.err == "1 finding\n"
    assert ran.out == (
        "stack.yaml:4:29: services.web.ports[0]: whoever reaches this machine reaches port 80; "
        '"80:80" publishes it for this machine only [port-on-all-interfaces]\n'
        '      web: {image: app, ports: ["0.0.0.0:80:80"], resources: {memory: 64M}}\n'
        "                                ^\n"
    )


def test_findings_for_programs(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text(UNWISE)
    ran = run(capsys, "check", "--format", "json")
    assert ran.status == 1 and ran.err == ""
    (found,) = json.loads(ran.out)
    assert list(found) == ["rule", "file", "line", "column", "path", "message", "hint"]
    assert (found["rule"], found["file"], found["line"]) == ("port-on-all-interfaces", "stack.yaml", 4)
    (project / "stack.yaml").write_text(UNWISE.replace("0.0.0.0:", ""))
    assert run(capsys, "check", "--format", "json").out == "[]\n"


def test_a_file_that_is_wrong_is_no_finding(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text("services: {web: {imag: a}}\n")
    ran = run(capsys, "check")
    assert ran.status == 2 and ran.out == "" and "did you mean 'image'?" in ran.err


def test_services_of_every_profile_are_looked_at(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text(UNWISE.replace("ports:", "profiles: [dev], ports:"))
    assert "port-on-all-interfaces" in run(capsys, "check").out


def test_profiles_that_exclude_each_other_are_looked_at_one_by_one(project: Path, capsys: Capsys) -> None:
    (project / "stack.yaml").write_text(
        "images: {app: {layers: [{file: {target: /a, content: b}}]}}\n"
        "services:\n"
        '  one: {image: app, profiles: [one], ports: ["80:80"]}\n'
        '  two: {image: app, profiles: [two], ports: ["80:80"]}\n'
        "  gone: {image: app, profiles: [gone], env_file: not.there}\n"
        "  all: {image: app, resources: {memory: 1M}}\n"
    )
    ran = run(capsys, "check")
    told = [line.split(":")[1] for line in ran.out.splitlines() if line.endswith("[no-memory-limit]")]
    assert ran.status == 1 and told == ["3", "4"]
    assert ran.err == (
        "warning: profile gone is not looked at; `stackup --profile gone config -q` says why\n2 findings\n"
    )


def test_the_rules_are_listed(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(capsys, "check", "--rules")
    assert ran.status == 0 and "\nlatest-tag " in ran.out
    assert json.loads(run(capsys, "check", "--rules", "--format", "json").out)["unused"]


def test_init_in_an_empty_folder(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(capsys, "init")
    assert (ran.status, ran.out) == (0, "stack.yaml: an example to start from\n")
    assert run(capsys, "check").status == 0
    again = run(capsys, "init")
    assert again.status == 2 and again.err.startswith("error: stack.yaml is there already; nothing was written\nhint: ")


def test_init_of_another_folder(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "requirements.txt").write_text("flask\n")
    ran = run(capsys, "-C", str(tmp_path), "init")
    assert ran.out == f"{tmp_path}/stack.yaml: a Python program, app.py\n"
    assert "python3 -m pip install --target vendor -r requirements.txt" in ran.err
    gone = run(capsys, "-C", str(tmp_path / "gone"), "init")
    assert gone.status == 2 and "no folder" in gone.err
    assert "takes no -f" in run(capsys, "-f", "x.yaml", "init").err


def test_init_leaves_a_compose_file_alone(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text("services: {web: {image: shop/web:1}}\n")
    ran = run(capsys, "init")
    assert (ran.status, ran.out) == (0, "compose.yaml is read as it is; nothing was written\n")
    assert not (tmp_path / "stack.yaml").exists()


def test_the_schema_needs_no_file(project: Path, capsys: Capsys) -> None:
    ran = run(capsys, "schema")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_the_status_of_every_key(project: Path, capsys: Capsys) -> None:
    ran = run(capsys, "schema", "--support")
    lines = ran.out.splitlines()
    assert ran.status == 0 and lines[0] == "top level"
    assert "  rejected  build       " in ran.out and "images" in lines[2]
    assert all(len(line) <= 100 for line in lines if "obeyed" in line)


def test_the_status_of_every_key_for_programs(project: Path, capsys: Capsys) -> None:
    found = {entry["key"]: entry for entry in json.loads(run(capsys, "schema", "--support", "--format", "json").out)}
    assert found["services.*.build"]["status"] == "rejected" and "images" in found["services.*.build"]["hint"]
    assert found["services.*.image"]["status"] == "obeyed"
