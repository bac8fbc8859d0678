"""The command line on a real terminal, and interrupted."""

from __future__ import annotations

import json
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from .testhost import TestHost, eventually, write_stack

STACK = """
name: term
images:
  tools: {layers: [{host: {programs: [sh, sleep, stty, cat, kill]}}]}
services:
  one:
    image: tools
    stop_grace_period: 1s
    command: [sh, -c, 'trap "echo bye; exit 0" TERM; echo ready; while true; do sleep 0.1; done']
"""
SLOW = STACK.replace(
    "  one:",
    """  slow:
    image: tools
    command: [sleep, "600"]
    stop_grace_period: 0s
    healthcheck: {test: [CMD, cat, /absent], interval: 1s, start_period: 100s}
  one:
    depends_on: {slow: {condition: service_healthy}}""",
)


@pytest.fixture
def folder(host: TestHost) -> Iterator[Path]:
    folder = write_stack(host.folder / "project", STACK)
    yield folder
    host.cli("-C", str(folder), "down")


def terminal(host: TestHost, folder: Path, *argv: str) -> Any:
    words = host.enter(sys.executable, "-m", "stackup", "-C", str(folder), *argv)
    environment = {**host.environment(), "TERM": "xterm"}
    del environment["NO_COLOR"]
    return pexpect.spawn(words[0], words[1:], env=environment, dimensions=(31, 97), encoding="utf-8", timeout=30)


def ended(child: Any) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else 128 + child.signalstatus)


def states(host: TestHost, folder: Path) -> dict[str, str]:
    rows = json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)
    return {r["service"]: r["state"] for r in rows}


def test_exec_gives_a_terminal_with_its_size_and_gives_ours_back(host: TestHost, folder: Path) -> None:
    host.cli("-C", str(folder), "up")
    child = terminal(host, folder, "exec", "-it", "one", "sh")
    before = termios.tcgetattr(child.fileno())
    child.expect(r"[#$] ")
    assert not termios.tcgetattr(child.fileno())[3] & termios.ICANON  # raw
    child.sendline("stty size")
    child.expect("31 97")
    child.setwinsize(40, 120)
    child.sendline("sleep 0.3; stty size")
    child.expect("40 120")
    child.sendline("sh -c 'echo be''gun; exec sleep 100'")
    child.expect("begun")  # a shell that is just making a child would keep the signal for itself
    child.sendintr()  # reaches the command, not us
    child.sendline("exit 5")
    child.expect(pexpect.EOF)
    assert termios.tcgetattr(child.fileno())[3] == before[3]
    child.close()
    assert child.exitstatus == 5


def test_a_terminal_sees_a_tree_and_a_pipe_sees_lines(host: TestHost, folder: Path) -> None:
    child = terminal(host, folder, "up")
    assert ended(child) == 0
    drawn = child.before
    assert "images" in drawn and "services" in drawn and "✔ one/1" in drawn and "\x1b[" in drawn
    done = host.cli("-C", str(folder), "restart")
    assert "service:one/1: restarted" in done.stderr and "\x1b" not in done.stderr


def test_ctrl_c_leaves_what_the_next_up_continues(host: TestHost, folder: Path) -> None:
    write_stack(folder, SLOW)
    process = host.popen("-C", str(folder), "up", stderr=-1, stdout=-1)
    eventually(lambda: states(host, folder).get("slow") == "running", 30)
    process.send_signal(signal.SIGINT)  # nsenter has become the program it was told to run
    _out, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; what was done stands" in said and "`stackup up` goes on from here" in said
    write_stack(folder, STACK)
    host.cli("-C", str(folder), "up")
    assert states(host, folder) == {"one": "running"}


def test_foreground_follows_and_stops_at_ctrl_c(host: TestHost, folder: Path) -> None:
    child = terminal(host, folder, "up", "--foreground")
    child.expect(r"one-1.*ready")
    child.sendintr()
    child.expect("stopping; Ctrl-C again kills")
    assert ended(child) == 130
    assert states(host, folder) == {"one": "exited"}


def test_foreground_ends_with_the_last_service(host: TestHost, folder: Path) -> None:
    once = STACK.replace("'trap", "'exit 0; trap").replace(
        "    stop_grace", "    restart: on-failure:2\n    stop_grace"
    )
    write_stack(folder, once)
    done = host.cli("-C", str(folder), "up", "--foreground")
    assert "all services have ended" in done.stderr
    write_stack(folder, once.replace("exit 0; trap", "echo try; exit 3; trap"))
    done = host.cli("-C", str(folder), "up", "--foreground", status=1)
    assert done.stdout.count("one-1 | try") == 3, "its policy had started it twice again"


QUIET = """
name: term
images: {tools: {layers: [{host: {programs: [sh, sleep]}}]}}
services:
  loud: {image: tools, network_mode: none, command: [sh, -c, "echo hello"]}
  quiet:
    image: tools
    network_mode: none
    attach: false
    annotations: {a.b: c}
    command: [sh, -c, "echo hush; sleep 1; exit 3"]
"""


def test_foreground_waits_for_what_it_does_not_show(host: TestHost, folder: Path) -> None:
    write_stack(folder, QUIET)
    done = host.cli("-C", str(folder), "up", "--foreground", status=1)
    assert "loud-1 | hello" in done.stdout and "hush" not in done.stdout
    assert "quiet-1 | hush" in host.cli("-C", str(folder), "logs").stdout
    said = json.loads(host.cli("-C", str(folder), "inspect", "quiet").stdout)
    assert said["wish"]["annotations"] == {"a.b": "c"}
    assert said["replicas"][0]["spec"]["annotations"]["a.b"] == "c"


def test_a_second_ctrl_c_kills_what_does_not_stop(host: TestHost, folder: Path) -> None:
    write_stack(folder, STACK.replace("period: 1s", "period: 600s").replace("echo bye; exit 0", "echo no"))
    child = terminal(host, folder, "up", "--foreground")
    child.expect(r"one-1.*ready")
    child.sendintr()
    child.expect(r"one/1 +stop ")
    child.sendintr()
    child.expect("killing")
    assert ended(child) == 130
    assert states(host, folder) == {"one": "exited"}


def test_logs_follow_ends_at_ctrl_c(host: TestHost, folder: Path) -> None:
    host.cli("-C", str(folder), "up")
    child = terminal(host, folder, "logs", "-f")
    child.expect("ready")
    child.sendintr()
    assert ended(child) == 0
