"""The shortest way from a file to a running container and back: up, ps, logs, exec, down."""

from __future__ import annotations

import json

from .testhost import TestHost, eventually, write_stack

HELLO = """
name: hello
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat, id]}}]}
services:
  hello:
    image: tools
    network_mode: none
    command: [sh, -c, 'echo "hello from $0"; echo trouble >&2; exec sleep infinity', me]
"""


def _ps(host: TestHost, *argv: str) -> list[dict[str, object]]:
    return list(json.loads(host.cli("ps", "--format", "json", *argv).stdout))


def test_a_service_is_built_started_listed_and_taken_down(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", HELLO)
    host.cli("-C", str(folder), "up")
    (row,) = json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)
    assert (row["service"], row["state"]) == ("hello", "running")
    eventually(lambda: "hello from me" in host.cli("-C", str(folder), "logs").stdout)
    assert "trouble" in host.cli("-C", str(folder), "logs").stdout
    host.cli("-C", str(folder), "down")
    assert host.leftovers() == []


def test_a_second_up_has_nothing_to_do_and_keeps_the_process(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", HELLO)
    host.cli("-C", str(folder), "up")
    (before,) = json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)
    assert host.cli("-C", str(folder), "plan").stdout.startswith("nothing to do")
    host.cli("-C", str(folder), "up")
    (after,) = json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)
    assert before["pid"] == after["pid"]
    host.cli("-C", str(folder), "down")


def test_exec_runs_beside_the_service_and_returns_its_status(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", HELLO)
    host.cli("-C", str(folder), "up")
    done = host.cli("-C", str(folder), "exec", "-i", "hello", "sh", "-c", "echo out; cat; exit 3", status=3, input="in")
    assert done.stdout == "out\nin"
    host.cli("-C", str(folder), "exec", "hello", "no-such-program", status=127)
    host.cli("-C", str(folder), "down")
