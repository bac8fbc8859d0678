from __future__ import annotations

import json
import os
import signal

from .project import Project
from .testhost import TestHost, eventually


def test_a_dependent_begins_only_when_the_other_is_healthy(host: TestHost) -> None:
    project = Project(
        host,
        """
  store:
    image: tools
    network_mode: none
    command: [sh, -c, 'sleep 0.5; echo store is ready; touch /ready; exec sleep infinity']
    healthcheck: {test: [CMD, ls, /ready], interval: 1s}
  web:
    image: tools
    network_mode: none
    depends_on: {store: {condition: service_healthy}}
    command: [sh, -c, 'echo web begins; exec sleep infinity']
""",
    )
    project.up()
    assert project.row("store")["health"] == "healthy"
    assert eventually(lambda: len(project.lines()) == 2 and project.lines()) == ["store is ready", "web begins"]
    project.down()


def test_a_check_that_fails_makes_it_unhealthy_and_the_next_good_one_heals(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    command: [sh, -c, 'touch /ready; exec sleep infinity']
    healthcheck: {test: "test -e /ready", interval: 0.2s, retries: 2}
""",
    )
    project.up("--wait")
    assert project.row("web")["health"] == "healthy"
    project.inside("web", "rm", "/ready")
    project.until("web", health="unhealthy")
    project.inside("web", "touch", "/ready")
    project.until("web", health="healthy")
    project.down()


def test_up_wait_fails_for_a_service_that_never_gets_healthy_and_says_which(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    command: [sleep, infinity]
    stop_signal: SIGKILL
    healthcheck: {test: [CMD-SHELL, "echo no answer; exit 1"], interval: 0.2s, retries: 2}
""",
    )
    done = host.cli("-C", str(project.folder), "up", "--wait", status=1)
    assert "service:web/1" in done.stderr
    assert "it is unhealthy: no answer" in done.stderr
    (replica,) = json.loads(project.cli("inspect", "web"))["replicas"]
    assert [(c["code"], c["output"]) for c in replica["checks"]][-2:] == [(1, "no answer\n")] * 2
    project.down()


def test_a_check_that_hangs_is_killed_and_counts_as_a_failure(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    command: [sleep, infinity]
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, sleep, "97531"], interval: 0.2s, timeout: 0.3s, retries: 1}
""",
    )
    project.up()
    project.until("web", health="unhealthy")
    running = host.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert running.count("sleep 97531") <= 1  # one that runs just now, none left over
    project.down()


def test_health_is_known_and_checked_on_after_kill_9_of_the_supervisor(host: TestHost) -> None:
    project = Project(
        host,
        """
  web:
    image: tools
    network_mode: none
    command: [sh, -c, 'touch /ready; exec sleep infinity']
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, ls, /ready], interval: 0.3s, retries: 1}
""",
    )
    project.up("--wait")
    before = project.row("web")
    os.kill(project.supervisor(), signal.SIGKILL)
    assert project.row("web")["health"] == "healthy"
    project.inside("web", "rm", "/ready")
    after = project.until("web", health="unhealthy")
    assert after["pid"] == before["pid"]
    project.down()


def test_up_wait_fails_for_a_service_that_ends_badly_or_keeps_ending(host: TestHost) -> None:
    service = """
  web:
    image: tools
    network_mode: none
    restart: "%s"
    command: [sh, -c, 'exit 3']
"""
    for policy, said in (("no", "service:web/1: exited 3"), ("on-failure", "service:web/1: it keeps ending: exited 3")):
        project = Project(host, service % policy, name=f"shop-{policy}")
        done = host.cli("-C", str(project.folder), "up", "--wait", status=1)
        assert f"error: {said}" in done.stderr
        assert "hint: stackup logs web" in done.stderr
        project.down()


def test_up_wait_takes_what_runs_for_a_second_or_ended_well(host: TestHost) -> None:
    project = Project(
        host,
        """
  web: {image: tools, network_mode: none, command: [sleep, infinity]}
  job: {image: tools, network_mode: none, command: [sh, -c, 'exit 0']}
""",
    )
    project.up("--wait")
    assert {r["service"]: r["state"] for r in project.rows()} == {"web": "running", "job": "exited"}
    project.down()
