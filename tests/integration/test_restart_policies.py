from __future__ import annotations

import os
import signal

from .project import Project
from .testhost import TestHost, eventually


def test_on_failure_starts_it_again_so_many_times_and_then_says_how_it_ended(host: TestHost) -> None:
    project = Project(
        host,
        """
  flaky: {image: tools, network_mode: none, restart: "on-failure:2", command: [sh, -c, 'echo run; exit 3']}
  good: {image: tools, network_mode: none, restart: on-failure, command: [sh, -c, 'echo fine']}
""",
    )
    project.up()
    row = project.until("flaky", state="exited", restarts=2)
    assert (row["exit_code"], row["exit"]) == (3, "exited 3")
    assert project.lines("flaky") == ["run"] * 3
    row = project.until("good", state="exited")
    assert (row["exit_code"], row["restarts"]) == (0, 0)
    project.down()


def test_each_quick_end_doubles_the_wait_and_a_restart_keeps_the_files(host: TestHost) -> None:
    project = Project(
        host,
        """
  crash:
    image: tools
    network_mode: none
    restart: always
    command: [sh, -c, 'n=$(cat /count 2>/dev/null || echo 0); echo $((n + 1)) >/count; echo start $$n; exit 1']
""",
    )
    project.up()
    eventually(lambda: len(project.lines()) >= 4, 20)
    row = project.until("crash", state="restarting")
    assert row["restarts"] >= 3
    assert project.lines()[:4] == ["start 0", "start 1", "start 2", "start 3"]
    project.down()


def test_a_killed_service_comes_back_as_another_process_and_with_its_address(host: TestHost) -> None:
    project = Project(
        host,
        """
  web: {image: tools, restart: unless-stopped, command: [sleep, infinity]}
""",
    )
    project.up()
    before = project.until("web", state="running")
    os.kill(before["pid"], signal.SIGKILL)
    eventually(lambda: project.row("web")["pid"] not in (None, before["pid"]), 20)
    after = project.until("web", state="running")
    assert (after["id"], after["addresses"]) == (before["id"], before["addresses"])
    assert (after["exit"], after["restarts"]) == ("SIGKILL", 1)
    project.down()


def test_what_the_user_stopped_stays_stopped_until_start(host: TestHost) -> None:
    project = Project(
        host,
        """
  web: {image: tools, network_mode: none, restart: always, stop_signal: SIGKILL, command: [sleep, infinity]}
""",
    )
    project.up()
    project.cli("stop", "web")
    row = project.until("web", state="exited")
    assert row["held"]
    assert "stopped by you" in project.cli("ps")
    os.kill(project.supervisor(), signal.SIGKILL)  # who comes after it must know, too
    assert project.row("web")["state"] == "exited"
    project.cli("start", "web")
    row = project.until("web", state="running")
    assert not row["held"]
    project.down()


def test_a_crash_loop_goes_on_after_kill_9_of_the_supervisor(host: TestHost) -> None:
    project = Project(
        host,
        """
  web: {image: tools, network_mode: none, restart: always, command: [sh, -c, 'echo run; sleep 0.2; exit 1']}
""",
    )
    project.up()
    eventually(lambda: len(project.lines()) >= 2, 20)
    os.kill(project.supervisor(), signal.SIGKILL)
    seen = len(project.lines())
    eventually(lambda: len(project.lines()) > seen, 20)
    project.down()


def test_a_stop_that_meets_a_start_by_policy_wins(host: TestHost) -> None:
    """The moments are spread over the time that a start takes."""
    project = Project(
        host,
        '  web: {image: tools, network_mode: none, command: [sh, -c, "exit 1"], restart: always}\n'
        '  other: {image: tools, network_mode: none, command: [sh, -c, "exit 1"], restart: always}\n',
    )
    for number in range(10):
        project.up()
        host.sh(f"sleep 0.{number:02}")
        if number % 2:
            project.cli("stop")
            states = [(r["state"], r["held"], r["pid"]) for r in project.rows()]
            assert states == [("exited", True, None)] * 2, number
        else:
            project.down()
            assert host.leftovers() == [], number
    project.down()
