"""One pair a root: who may talk to it, who waits for whom, when it leaves, and how it is run in the foreground."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackup.db import open_database
from stackup.engine.schema import SCHEMA

from .engine_helpers import Project, alive
from .testhost import TestHost, eventually

SLEEPER = """
name: sleeper
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat]}}]}
services:
  web:
    image: tools
    network_mode: none
    command: [sleep, infinity]
    restart: always
"""
SLOW = SLEEPER.replace("network_mode: none", "healthcheck: {test: [CMD, cat, /tmp/go], interval: 1s}").replace(
    "    restart: always\n",
    "  last: {image: tools, command: [sleep, infinity], depends_on: {web: {condition: service_healthy}}}\n",
)


@pytest.fixture
def project(host: TestHost) -> Iterator[Project]:
    one = Project(host, host.folder / "project")
    one.write(SLEEPER)
    yield one
    one("down", "-v")
    assert host.leftovers() == []


def test_a_command_from_other_namespaces_is_refused_with_the_reason(project: Project, tmp_path: Path) -> None:
    project("up")
    folder = tmp_path / "other"
    folder.mkdir()
    other = TestHost(folder)
    try:
        done = other.cli("-C", str(project.folder), "ps", env={"STACKUP_ROOT": str(project.host.root)}, status=1)
        assert "another mount and network namespace" in done.stderr
    finally:
        other.close()


def test_the_second_up_waits_and_says_for_whom(project: Project) -> None:
    project.write(SLOW)
    first = begun(project, "up", "service:web: wait ...")
    second = begun(project, "up", f"waiting for `stackup up` (process {first.pid}) to end")
    project("exec", "web", "sh", "-c", ": > /tmp/go")
    assert [rest(first)[0], rest(second)] == [0, (0, "nothing to do\n")]


def test_the_second_build_waits_and_finds_all_of_it_built(project: Project) -> None:
    project.write(SLEEPER.replace("cat]}}]", "cat]}}, {run: sleep 1.5}]"))
    first = begun(project, "build", "run sleep 1.5")
    second = begun(project, "build", f"waiting for `stackup build` (process {first.pid}) to build its images")
    assert rest(first)[0] == 0
    status, said = rest(second)
    assert status == 0 and "image:tools: unchanged" in said and "sleep" not in said


def begun(project: Project, verb: str, text: str) -> subprocess.Popen[str]:
    """A verb in the background that has said `text`."""
    process = project.host.popen("-C", str(project.folder), verb, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return process
    raise AssertionError(f"{verb} never said {text!r}: {said}")


def rest(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How a verb in the background ended, and what else it said."""
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_the_pair_leaves_with_the_last_stack_only(project: Project) -> None:
    second = Project(project.host, project.host.folder / "second")
    second.write(SLEEPER.replace("name: sleeper", "name: second"))
    project("up")
    second("up")
    pair = {project.supervisor(), project.spawner()}
    second("down")
    assert {project.supervisor(), project.spawner()} == pair
    project("down")
    assert not any(alive(pid) for pid in pair)


def test_in_the_foreground_it_stays_until_it_is_told_and_containers_run_on(project: Project) -> None:
    project("build")
    running = project.host.popen("supervise", stderr=subprocess.DEVNULL)
    eventually(lambda: (project.host.root / "run" / "identity.json").exists())
    project("up")
    before = project.row("web")["pid"]
    running.send_signal(signal.SIGTERM)
    assert running.wait(10) is not None
    assert project.row("web")["pid"] == before  # read without a supervisor
    project("up")
    assert project.row("web")["pid"] == before


def test_after_a_reboot_policies_start_what_ran(project: Project) -> None:
    project.write(
        SLEEPER.replace("    network_mode: none\n", "") + "  once: {image: tools, command: [sleep, infinity]}\n"
    )
    project("up")
    before = {r["service"]: r for r in project.rows()}
    project.kill(project.spawner(), project.supervisor())
    project.kill(*(r["pid"] for r in before.values()))
    _forget_the_boot(project)
    project("start", "web", status=None)  # any command that needs the supervisor brings it up
    row = eventually(lambda: (r := project.row("web"))["state"] == "running" and r)
    assert (row["id"], row["addresses"]) == (before["web"]["id"], before["web"]["addresses"])
    once = project.row("once")
    assert (once["state"], once["exit"]) == ("exited", "the machine was restarted")


def _forget_the_boot(project: Project) -> None:
    """What a reboot takes away: links, rules, groups, and the boot id that the records name."""
    with open_database(project.host.root / "state.db", SCHEMA) as database:
        database.execute("UPDATE containers SET boot_id = 'an earlier one'")
    project.host.sh("for l in $(ip -o link | grep -o ' su[^:@]*'); do ip link delete $l 2>/dev/null || true; done")
    project.host.sh("nft flush ruleset")
    for group in project.host.cgroups():
        try:
            group.rmdir()
        except OSError:
            pass
    path = project.host.root / "run" / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "an earlier one"}))


def test_uninstall_takes_everything_away(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(
        SLEEPER.replace("    image: tools\n", "    image: tools\n    volumes: [data:/data]\n") + "volumes: {data: {}}\n"
    )
    project("up")
    holds = ["stack sleeper, 1 of 1 replicas running", "image sleeper/tools", "volume sleeper_data with its data"]
    asked = host.cli("uninstall", input="y\n", status=2)
    assert [f"    {line}" for line in (*holds, f"root {host.root}")] == asked.stderr.splitlines()[1:5]
    assert project.row("web")["state"] == "running"
    said = host.cli("uninstall", "--yes").stdout.splitlines()
    assert said == [f"removed {line}" for line in (*holds, f"root {host.root}")]
    assert not host.root.exists() and "there is nothing at" in host.cli("uninstall").stderr


def test_uninstall_ends_the_pair_in_the_foreground_too(host: TestHost) -> None:
    pair = host.popen("supervise")
    eventually(lambda: (host.root / "run" / "control.sock").exists())
    host.cli("uninstall", "--yes")
    assert pair.wait(20) == 0 and not host.root.exists()


def test_acting_on_a_stack_that_is_not_up_starts_nothing(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(SLEEPER)
    project("build")
    for verb in (("stop",), ("start",), ("restart",), ("kill",), ("exec", "web", "true")):
        done = host.cli("-C", str(project.folder), *verb, status=125 if verb[0] == "exec" else 1)
        assert done.stderr == "error: stack sleeper is not up\nhint: run `stackup up`\n"
    assert not (host.root / "supervisor.log").exists()
