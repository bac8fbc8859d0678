"""What services say, read back through the verbs."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from .project import Project
from .testhost import TestHost, eventually

COUNTER = """
  count:
    image: tools
    network_mode: none
    stop_signal: SIGKILL
    command:
      - sh
      - -c
      - 'n=0; while [ $$n -lt 20000 ]; do echo line $$n; n=$((n + 1)); done; echo end >&2; exec sleep infinity'
"""


def test_no_line_is_lost_or_doubled_when_the_supervisor_is_killed_again_and_again(host: TestHost) -> None:
    project = Project(host, COUNTER)
    project.up()
    pid = project.row("count")["pid"]
    for _ in range(3):
        time.sleep(0.1)
        os.kill(project.supervisor(), signal.SIGKILL)
        eventually(lambda: _answers(project))
    eventually(lambda: "end" in project.lines("--tail", "3"), 30)
    assert project.row("count")["pid"] == pid
    lines = [line for line in project.lines() if line != "end"]
    assert lines == [f"line {n}" for n in range(20_000)]
    project.down()


def _answers(project: Project) -> bool:
    try:
        project.supervisor()
    except AssertionError:
        return False
    return True


def test_what_an_ended_service_said_last_is_there(host: TestHost) -> None:
    project = Project(
        host,
        """
  brief: {image: tools, network_mode: none, command: [sh, -c, 'echo first; echo trouble >&2; printf "no end"']}
""",
    )
    project.up()
    project.until("brief", state="exited")
    assert sorted(project.lines()) == ["first", "no end", "trouble"]
    project.down()


def test_tail_since_and_one_service_choose(host: TestHost) -> None:
    project = Project(
        host,
        """
  a: {image: tools, network_mode: none, command: [sh, -c, 'for n in 1 2 3; do echo a$$n; done']}
  b: {image: tools, network_mode: none, command: [sh, -c, 'for n in 1 2 3; do echo b$$n; done']}
""",
    )
    project.up()
    project.until("a", state="exited")
    project.until("b", state="exited")
    assert project.lines("a") == ["a1", "a2", "a3"]
    assert sorted(project.lines("--tail", "1")) == ["a3", "b3"]
    assert sorted(project.lines("--since", "1h")) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    project.down()


def test_following_shows_what_comes_and_survives_a_restart_of_the_service(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    stop_signal: SIGKILL
    command: [sh, -c, 'echo begun; exec sleep infinity']
""",
    )
    project.up()
    following = host.popen("-C", str(project.folder), "logs", "-f", stdout=subprocess.PIPE)
    assert following.stdout is not None
    assert following.stdout.readline().endswith("begun\n")
    project.cli("restart", "web")
    assert following.stdout.readline().endswith("begun\n")
    following.send_signal(signal.SIGINT)
    following.wait(10)
    following.stdout.close()
    project.down()


def test_the_user_of_the_service_can_open_its_own_stdout(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    user: "1000:1000"
    command: [sh, -c, 'echo again >/dev/stdout; echo err >/dev/stderr']
""",
    )
    project.up()
    project.until("web", state="exited")
    assert sorted(project.lines()) == ["again", "err"]
    project.down()


def test_a_service_with_a_terminal_is_logged(host: TestHost) -> None:
    project = Project(
        host,
        """
  web: {image: tools, network_mode: none, tty: true, command: [sh, -c, 'test -t 1 && echo a terminal']}
""",
    )
    project.up()
    project.until("web", state="exited")
    assert [line.strip() for line in project.lines()] == ["a terminal"]
    project.down()
