"""The pair does not grow with what it has done."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from .engine_helpers import Project
from .testhost import TestHost, eventually

STACK = """
name: grow
images:
  tools: {layers: [{host: {programs: [sh, sleep]}}]}
services:
  web: {image: tools, command: [sleep, infinity], stop_signal: SIGKILL, ports: ["18085:80"],
        healthcheck: {test: [CMD, sh, -c, ":"], interval: 1s}}
"""


def _descriptors(project: Project) -> list[list[str]]:
    """What each of the pair has open."""
    found = []
    for pid in (project.spawner(), project.supervisor()):
        folder = Path(f"/proc/{pid}/fd")
        kinds = [os.readlink(folder / n).partition(":[")[0] for n in os.listdir(folder) if (folder / n).is_symlink()]
        found.append(sorted(kinds))
    return found


def _quiet(project: Project) -> list[list[str]]:
    """Taken while no check runs: the fewest of a few looks."""
    return min((_descriptors(project) for _ in range(30)), key=lambda found: sum(map(len, found)))


def _more(now: list[list[str]], before: list[list[str]]) -> list[str]:
    return [one for new, old in zip(now, before, strict=True) for one in (Counter(new) - Counter(old)).elements()]


def test_restarts_and_commands_leave_no_descriptor_behind(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(STACK)
    project("up", "--wait")
    project("exec", "web", "sh", "-c", ":")
    project("restart")
    before = _quiet(project)
    for _ in range(8):
        project("exec", "web", "sh", "-c", ":")
        project("exec", "web", "nope", status=127)
        project("restart")
        project("up")
    eventually(lambda: _more(_descriptors(project), before) == [], message=str(_more(_descriptors(project), before)))
    project("down")
