"""Crash-only: whatever of ours is killed, containers run on, nothing said is lost, and the next moment converges."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .engine_helpers import Project, alive
from .testhost import TestHost, eventually

COUNTER = """
name: count
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat]}}]}
services:
  counter:
    image: tools
    network_mode: none
    restart: "%s"
    command: [sh, -c, 'trap "exit 7" TERM; n=0; while true; do n=$((n+1)); echo "line $$n"; sleep 0.02; done']
    stop_grace_period: 2s
"""


@pytest.fixture
def counter(host: TestHost) -> Iterator[Project]:
    project = Project(host, host.folder / "project")
    project.write(COUNTER % "no")
    project("up")
    eventually(lambda: _lines(project))  # its trap is set: a signal before that is lost on a process 1
    yield project
    project("down")


def _lines(project: Project) -> list[str]:
    return project("logs").splitlines()


def _no_gap(project: Project) -> int:
    """The numbers said so far stand in the log one after the other, each once; the last of them."""
    numbers = [int(line.rsplit(" ", 1)[1]) for line in _lines(project)]
    assert numbers == list(range(1, len(numbers) + 1))
    return len(numbers)


def test_a_killed_supervisor_comes_back_and_nothing_is_lost(counter: Project) -> None:
    before = counter.row("counter")
    said = eventually(lambda: _no_gap(counter))
    old = counter.supervisor()
    counter.kill(old)
    eventually(lambda: counter.supervisor() != old)
    assert counter.row("counter")["pid"] == before["pid"]
    eventually(lambda: _no_gap(counter) > said + 20)
    assert counter("plan").startswith("nothing to do")


def test_an_end_while_the_supervisor_is_away_is_known_with_its_code(counter: Project) -> None:
    pid = counter.row("counter")["pid"]
    os.kill(counter.supervisor(), signal.SIGSTOP)  # away, but not replaced
    os.kill(pid, signal.SIGTERM)
    counter.kill(counter.supervisor())
    row = counter.until("counter", state="exited")
    assert (row["exit_code"], row["exit"]) == (7, "exited 7")


def test_a_look_in_the_moment_of_an_end_waits_for_how_it_was(counter: Project) -> None:
    spawner = counter.spawner()
    os.kill(spawner, signal.SIGSTOP)
    os.kill(counter.row("counter")["pid"], signal.SIGKILL)
    threading.Timer(0.3, os.kill, (spawner, signal.SIGCONT)).start()
    assert counter.row("counter")["exit"] == "SIGKILL"


def test_a_killed_spawner_is_replaced_and_the_container_stays(counter: Project) -> None:
    before = counter.row("counter")
    old = counter.spawner()
    supervisor = counter.supervisor()
    counter.kill(old)
    assert eventually(lambda: counter("exec", "counter", "sh", "-c", "echo hi", status=None)) == "hi\n"
    assert counter.supervisor() == supervisor
    assert counter.row("counter")["pid"] == before["pid"]
    os.kill(before["pid"], signal.SIGTERM)
    row = eventually(lambda: (r := counter.row("counter"))["exit"] and r)
    assert row["state"] == "exited"
    assert row["exit"] in ("exited 7", "ended, nobody knows how")


def test_both_killed_the_next_command_takes_everything_up(counter: Project) -> None:
    before = counter.row("counter")
    said = eventually(lambda: _no_gap(counter))
    counter.kill(counter.spawner(), counter.supervisor())
    assert counter("plan").startswith("nothing to do")  # read without anybody running
    counter("up")
    assert counter.row("counter")["pid"] == before["pid"]
    eventually(lambda: _no_gap(counter) > said + 20)
    assert counter("exec", "counter", "sh", "-c", "echo hi") == "hi\n"


def test_both_killed_and_the_container_too_it_is_started_again(counter: Project) -> None:
    before = counter.row("counter")
    counter.kill(counter.spawner(), counter.supervisor())
    counter.kill(before["pid"])
    row = counter.row("counter")
    assert row["state"] == "exited"
    counter("up")
    assert counter.until("counter", state="running")["pid"] != before["pid"]


def test_down_after_both_were_killed_leaves_nothing(counter: Project) -> None:
    counter.kill(counter.spawner(), counter.supervisor())
    counter("down")
    assert counter.host.leftovers() == []


def test_a_policy_holds_across_the_death_of_the_supervisor(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(COUNTER % "always")
    project("up")
    before = project.row("counter")
    supervisor = project.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(before["pid"], signal.SIGKILL)
    project.kill(supervisor)
    row = eventually(lambda: (r := project.row("counter"))["state"] == "running" and r["pid"] != before["pid"] and r)
    assert row["id"] == before["id"]
    assert row["restarts"] == 1
    project("down")


DEAF = """
name: deaf
images:
  tools: {layers: [{host: {programs: [sh, sleep]}}]}
services:
  deaf:
    image: tools
    network_mode: none
    restart: "no"
    command: [sh, -c, 'trap "echo heard" TERM; echo ready; while true; do sleep 0.05; done']
    stop_grace_period: 2s
"""


def test_a_stop_over_which_the_supervisor_died_is_finished_before_anything_is_planned(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(DEAF)
    project("up")
    eventually(lambda: "ready" in project("logs"))
    before = project.row("deaf")["pid"]
    restart = host.popen("-C", str(project.folder), "restart", stderr=subprocess.DEVNULL)
    eventually(lambda: "heard" in project("logs"))
    project.kill(project.supervisor())
    assert restart.wait(30) == 1
    assert alive(before)
    project("up")  # the process from before is no answer to it
    assert not alive(before)
    row = project.row("deaf")
    assert (row["state"], alive(row["pid"])) == ("running", True)
    project("down")


def test_a_deadly_signal_that_is_survived_does_not_hold_after_the_next_up(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(DEAF.replace('"no"', "always"))
    project("up")
    eventually(lambda: "ready" in project("logs"))
    before = project.row("deaf")["pid"]
    project("kill", "-s", "TERM")
    project("up")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: (row := project.row("deaf"))["state"] == "running" and row["pid"] != before)
    project("kill")
    assert (project.row("deaf")["state"], project.row("deaf")["held"]) == ("exited", True)
    assert not alive(project.row("deaf")["pid"] or before)
    project("up")
    assert project.row("deaf")["state"] == "running"
    project("down")


def test_what_ended_while_nobody_was_there_is_not_told_as_its_former_end(counter: Project) -> None:
    os.kill(counter.row("counter")["pid"], signal.SIGKILL)
    assert counter.until("counter", state="exited")["exit"] == "SIGKILL"
    counter("up")
    pid = counter.row("counter")["pid"]
    counter.kill(counter.spawner(), counter.supervisor(), pid)
    row = counter.row("counter")
    assert (row["state"], row["exit"], row["exit_code"]) == ("exited", "ended, nobody knows how", None)
    assert "start service:counter: it ended, nobody knows how" in counter("plan")


def test_a_command_in_a_container_gives_its_status_though_the_spawner_died(counter: Project) -> None:
    command = counter.host.popen(
        "-C", str(counter.folder), "exec", "counter", "sh", "-c", "echo begun; sleep 1; exit 5", stdout=subprocess.PIPE
    )
    assert command.stdout is not None and command.stdout.readline() == "begun\n"
    counter.kill(counter.spawner())
    assert command.wait(20) in (5, 125)  # 125: before Linux 6.15 nobody knows its status
    command.stdout.close()


def _cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _running_pair(host: TestHost) -> dict[str, list[int]]:
    names = {"spawner": "stackup.runtime.spawner", "supervisor": "stackup.engine.supervisor"}
    pids = [p for p in host.processes() if alive(p)]
    return {k: [p for p in pids if v in (line := _cmdline(p)) and str(host.root) in line] for k, v in names.items()}


def test_a_spawner_that_dies_while_the_supervisor_starts_takes_it_along(counter: Project) -> None:
    host, before = counter.host, counter.row("counter")
    for number in range(12):
        pair = _running_pair(host)  # one that was ready when its spawner died has another one, which is not its parent
        counter.kill(*pair["spawner"], *pair["supervisor"])
        command = host.popen("-C", str(counter.folder), "start", stderr=subprocess.DEVNULL)
        time.sleep(0.03 * number)
        for pid in _running_pair(host)["spawner"]:
            os.kill(pid, signal.SIGKILL)
        command.wait(30)
        counter("up")
        assert counter("exec", "counter", "sh", "-c", "echo hi") == "hi\n", number
        eventually(lambda: [len(pids) for pids in _running_pair(host).values()] == [1, 1])
    assert counter.row("counter")["pid"] == before["pid"]
