"""How long a stop waits: as long as the first process may still hear its signal, and no longer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .engine_helpers import Project
from .testhost import TestHost, eventually

pytestmark = pytest.mark.root

# Reads its stop signal itself, as programs with signalfd(2) do: blocked, and looked for now and then.
READER = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
while signal.SIGTERM not in signal.sigpending():
    time.sleep(0.02)
signal.sigwait([signal.SIGTERM])
time.sleep(0.5)
print("asked once" if signal.SIGTERM not in signal.sigpending() else "asked again", flush=True)
"""
# Blocks it for a while, as a shell does while it makes a child, and has no handler.
DEAF = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
while signal.SIGTERM not in signal.sigpending():
    time.sleep(0.02)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
time.sleep(600)
"""


def running(host: TestHost, program: str) -> Project:
    project = Project(host, host.folder / "project")
    service: dict[str, Any] = {
        "image": "tools", "network_mode": "none", "command": ["python3", "-c", program], "stop_grace_period": "300s"
    }  # fmt: skip
    images = {"tools": {"layers": [{"host": {"programs": ["python3"]}}]}}
    project.write(json.dumps({"name": "stops", "images": images, "services": {"web": service}}))
    project("up")
    eventually(lambda: "ready" in project("logs"))
    return project


def test_a_program_that_reads_its_signals_is_asked_once(host: TestHost) -> None:
    project = running(host, READER)
    project("stop")
    assert project.row("web")["exit"] == "exited 0"
    assert project("logs", "--tail", "1").endswith("asked once\n")
    project("down")


def test_a_signal_that_was_blocked_for_a_moment_only_is_not_waited_for(host: TestHost) -> None:
    project = running(host, DEAF)
    project("stop", timeout=90)  # less than the grace period
    assert project.row("web")["exit"] == "SIGKILL"
    project("down")
