"""The supervisor is killed at every step that it records; the next `up` goes on, and `down` leaves nothing."""

from __future__ import annotations

import itertools

import pytest

from stackup import paths
from stackup.runtime import spawning

from .engine_helpers import Project
from .testhost import TestHost

STACK = """
name: crash
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat]}}]}
services:
  first:
    image: tools
    command: [sleep, infinity]
    volumes: ["data:/etc"]
    ports: ["18081:80"]
  second:
    image: tools
    command: [sleep, infinity]
    depends_on: [first]
volumes: {data: {}}
"""


def _start(root: str) -> None:
    """A pair whose supervisor dies before its n-th statement; n stands in `die-at` in the root."""
    host = paths.find_root(root)
    assert host is not None
    spawning.start_pair(host, supervisor="tests.integration.dying_supervisor")


def _prepared(host: TestHost) -> Project:
    project = Project(host, host.folder / "project")
    project.write(STACK)
    project("build")
    return project


def _die_at(project: Project, number: int) -> None:
    (project.host.root / "die-at").write_text(str(number))
    project.host.call(_start, str(project.host.root))


def _died(project: Project) -> bool:
    return not (project.host.root / "die-at").exists()


@pytest.mark.timeout(600)
def test_up_goes_on_wherever_the_supervisor_died(host: TestHost) -> None:
    project = _prepared(host)
    for number in itertools.count(1, 7):
        _die_at(project, number)
        project("up", status=None)  # the command itself may go on with the next supervisor
        finished = not _died(project)
        (host.root / "die-at").unlink(missing_ok=True)
        project("up")
        assert {(r["service"], r["state"]) for r in project.rows()} == {("first", "running"), ("second", "running")}
        assert project("plan").startswith("nothing to do"), number
        project("down", "-v")
        assert host.leftovers() == [], number
        if finished:
            break
    assert number > 20


@pytest.mark.timeout(600)
def test_down_goes_on_wherever_the_supervisor_died(host: TestHost) -> None:
    project = _prepared(host)
    for number in itertools.count(1, 7):
        project("up")
        project.kill(project.spawner(), project.supervisor())
        _die_at(project, number)
        project("down", "-v", status=None)
        finished = not _died(project)
        (host.root / "die-at").unlink(missing_ok=True)
        project("down", "-v")
        assert host.leftovers() == [], number
        if finished:
            break
    assert number > 10
