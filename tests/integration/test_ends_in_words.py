"""`ps` says how a service ended."""

from __future__ import annotations

import os
import signal

from .project import Project
from .testhost import TestHost

HOG = "a=xxxxxxxxxxxxxxxx; while :; do a=$$a$$a; done"


def test_a_service_past_its_memory_is_oom_killed_at_its_limit(host: TestHost) -> None:
    project = Project(
        host,
        f"""
  hog: {{image: tools, network_mode: none, command: [sh, -c, '{HOG}'], resources: {{memory: 16M}}}}
  child:
    image: tools
    network_mode: none
    command: [sh, -c, '({HOG}); echo went on; exit 4']
    resources: {{memory: 16M}}
  on:
    image: tools
    network_mode: none
    command: [sh, -c, '({HOG}); echo went on; exec sleep infinity']
    resources: {{memory: 16M}}
    stop_signal: SIGKILL
""",
    )
    project.up()
    row = project.until("hog", state="exited")
    assert (row["exit"], row["exit_code"]) == ("OOM-killed at 16M", 137)
    assert "OOM-killed at 16M" in project.cli("ps")
    row = project.until("child", state="exited")
    assert (row["exit"], row["exit_code"]) == ("exited 4, a process of it was OOM-killed at 16M", 4)
    assert project.lines("child")[-1] == "went on"
    project.until("on", state="running", oom_kills=1)
    assert "(a process was OOM-killed)" in project.cli("ps")
    project.cli("restart", "on")
    assert project.row("on")["exit"] == "SIGKILL"  # by us, whatever befell its child before
    project.down()


def test_signals_and_codes_have_their_names(host: TestHost) -> None:
    project = Project(
        host,
        """
  code: {image: tools, network_mode: none, command: [sh, -c, 'exit 7']}
  killed: {image: tools, network_mode: none, command: [sleep, infinity]}
  absent: {image: tools, network_mode: none, command: [sh, -c, 'exec /no/such/program']}
""",
    )
    project.up()
    os.kill(project.until("killed", state="running")["pid"], signal.SIGKILL)
    assert project.until("killed", state="exited")["exit"] == "SIGKILL"
    assert project.until("code", state="exited")["exit"] == "exited 7"
    assert project.until("absent", state="exited")["exit"] == "exited 127"
    project.down()


def test_an_end_while_the_supervisor_was_away_is_known(host: TestHost) -> None:
    project = Project(
        host, "  web: {image: tools, network_mode: none, command: [sh, -c, 'sleep 0.5; echo last words; exit 9']}\n"
    )
    project.up()
    os.kill(project.supervisor(), signal.SIGSTOP)
    stopped = project.supervisor()
    host.sh("sleep 1")
    os.kill(stopped, signal.SIGKILL)
    row = project.until("web", state="exited")
    assert (row["exit"], row["exit_code"]) == ("exited 9", 9)
    assert project.lines() == ["last words"]
    project.down()


def test_nothing_to_run_is_said_before_anything_is_made(host: TestHost) -> None:
    project = Project(host, "  web: {image: tools, network_mode: none}\n")
    done = host.cli("-C", str(project.folder), "up", status=None)
    assert "no command specified for service web" in done.stderr
    assert "set command:" in done.stderr
    project.down()
