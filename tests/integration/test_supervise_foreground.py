"""`stackup supervise`: the pair in the foreground, for an init system."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from .testhost import TestHost, eventually, write_stack

STACK = """
name: fore
images: {tools: {layers: [{host: {programs: [sh, sleep]}}]}}
services: {one: {image: tools, command: [sh, -c, 'while true; do sleep 0.2; echo on; done'], stop_signal: SIGKILL}}
"""


def row(host: TestHost, folder: Path) -> dict[str, Any]:
    return dict(json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)[0])


def test_containers_run_on_when_the_pair_is_ended_and_are_taken_up_again(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", STACK)
    pair = host.popen("supervise")
    eventually(lambda: (host.root / "run" / "control.sock").exists())
    host.cli("-C", str(folder), "up")
    before = row(host, folder)
    pair.send_signal(signal.SIGTERM)
    assert pair.wait(20) == 0
    assert row(host, folder)["pid"] == before["pid"]  # read without a supervisor
    host.cli("-C", str(folder), "up")  # starts a pair in the background
    after = row(host, folder)
    assert (after["pid"], after["state"]) == (before["pid"], "running")
    host.cli("-C", str(folder), "down")


def test_an_idle_pair_stays_until_it_is_told(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", STACK)
    pair = host.popen("supervise")
    eventually(lambda: (host.root / "run" / "control.sock").exists())
    host.cli("-C", str(folder), "up")
    host.cli("-C", str(folder), "down")
    assert pair.poll() is None
    pair.send_signal(signal.SIGINT)
    assert pair.wait(20) == 0
