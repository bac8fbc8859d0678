"""Edit and `up`: only what changed is touched. Policies, health, stop and start, quotas on the running process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from .engine_helpers import Project
from .testhost import TestHost, eventually

STACK = """
name: shop
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat, python3]}}]}
services:
  web:
    image: tools
    command: [sleep, infinity]
    resources: {memory: 64M}
    environment: {COLOR: red}
  other:
    image: tools
    command: [sleep, infinity]
"""


@pytest.fixture
def shop(host: TestHost) -> Iterator[Project]:
    project = Project(host, host.folder / "project")
    project.write(STACK)
    project("up")
    yield project
    project("down", "-v")


def _limit(project: Project) -> str:
    row = project.row("web")
    root = project.host.root_id()
    with open(f"/sys/fs/cgroup/memory/stackup/{root}/c/{row['id']}/memory.limit_in_bytes") as file:
        return file.read().strip()


def test_a_changed_limit_is_written_to_the_running_process(shop: Project) -> None:
    before = {r["service"]: r["pid"] for r in shop.rows()}
    assert _limit(shop) == str(64 << 20)
    shop.edit("memory: 64M", "memory: 96M")
    assert "resources.memory 64M -> 96M (stack.yaml:9)" in shop("plan")
    shop("up")
    assert _limit(shop) == str(96 << 20)
    assert {r["service"]: r["pid"] for r in shop.rows()} == before


def test_a_changed_environment_touches_that_service_only_and_keeps_its_files(shop: Project) -> None:
    shop("exec", "web", "sh", "-c", "echo kept > /file")
    before = {r["service"]: r for r in shop.rows()}
    shop.edit("COLOR: red", "COLOR: blue")
    shop("up")
    after = {r["service"]: r for r in shop.rows()}
    assert after["other"]["pid"] == before["other"]["pid"]
    assert after["web"]["pid"] != before["web"]["pid"]
    assert after["web"]["addresses"] == before["web"]["addresses"]
    assert shop("exec", "web", "sh", "-c", "cat /file; echo $COLOR") == "kept\nblue\n"


def test_a_changed_image_replaces_its_containers(shop: Project) -> None:
    before = {r["service"]: r["id"] for r in shop.rows()}
    shop.edit(
        "programs: [sh, sleep, cat, python3]}}",
        "programs: [sh, sleep, cat, python3]}}, {file: {target: /x, content: y}}",
    )
    shop("up")
    assert {r["id"] for r in shop.rows()}.isdisjoint(before.values())
    assert shop("exec", "web", "cat", "/x") == "y"


def test_replicas_come_and_go(shop: Project) -> None:
    first = shop.row("web")["pid"]
    shop.edit("resources: {memory: 64M}", "resources: {memory: 64M}\n    replicas: 3")
    shop("up")
    assert [r["number"] for r in shop.rows() if r["service"] == "web"] == [1, 2, 3]
    shop.edit("replicas: 3", "replicas: 1")
    shop("up")
    assert [r["pid"] for r in shop.rows() if r["service"] == "web"] == [first]


def test_a_service_taken_out_of_the_file_goes(shop: Project) -> None:
    shop.edit("  other:\n    image: tools\n    command: [sleep, infinity]\n", "")
    shop("up")
    assert [r["service"] for r in shop.rows()] == ["web"]


def test_up_of_one_service_leaves_the_others_alone(shop: Project) -> None:
    before = shop.row("other")["pid"]
    shop.edit("COLOR: red", "COLOR: blue")
    shop.edit("  other:\n    image: tools\n", "  other:\n    image: tools\n    environment: {A: b}\n")
    shop("up", "web")
    assert shop.row("other")["pid"] == before
    assert "service:other" in shop("plan")


def test_stop_holds_until_start(shop: Project) -> None:
    shop("stop", "web")
    row = shop.row("web")
    assert (row["state"], row["held"]) == ("exited", True)
    shop("start", "web")
    row = shop.row("web")
    assert (row["state"], row["held"]) == ("running", False)
    shop("kill", "web")
    assert shop.until("web", state="exited")["held"]
    shop("up")
    assert shop.row("web")["state"] == "running"


def test_restart_gives_a_new_process_on_the_same_files(shop: Project) -> None:
    shop("exec", "web", "sh", "-c", "echo kept > /file")
    before = shop.row("web")
    shop("restart", "web")
    assert shop.row("web")["pid"] != before["pid"]
    assert shop("exec", "web", "cat", "/file") == "kept\n"


def test_stats_and_inspect_tell_of_the_running_container(shop: Project) -> None:
    assert "web" in shop("stats", "--no-stream", status=None) or "web" in shop("stats")
    assert '"memory": 67108864' in shop("inspect", "web")


def test_inspect_knows_a_replica_by_number_name_and_id(shop: Project) -> None:
    row = shop.row("web")
    found = json.loads(shop("inspect", "web/1"))
    assert found == json.loads(shop("inspect", row["name"])) == json.loads(shop("inspect", row["id"]))
    (replica,) = found["replicas"]
    assert {k: replica[k] for k in row} == row and replica["spec"]["ociVersion"] and replica["checks"] == []
    assert found["wish"]["healthcheck"] is None  # also what is a default is written
    assert "no replica 7" in shop.host.cli("-C", str(shop.folder), "inspect", "web/7", status=1).stderr


def test_a_policy_starts_again_and_gives_up_after_its_attempts(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(
        STACK.replace("command: [sleep, infinity]\n    resources", "command: [sh, -c, exit 3]\n    resources").replace(
            "    environment: {COLOR: red}", '    restart: "on-failure:2"'
        )
    )
    project("up")
    row = eventually(lambda: (r := project.row("web"))["restarts"] == 2 and r["state"] == "exited" and r)
    assert row["exit"] == "exited 3"
    project("down")


def test_a_held_service_is_not_started_by_its_policy(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(STACK.replace("    environment: {COLOR: red}", "    restart: always"))
    project("up")
    before = project.row("web")["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: (r := project.row("web"))["state"] == "running" and r["pid"] != before)
    project("stop", "web")
    assert project.row("web")["state"] == "exited"
    project("down")


def test_a_dependent_waits_for_health_and_fails_with_its_cause(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    check = "    healthcheck: {test: [CMD, sh, -c, '%s'], interval: 200ms, retries: 2}\n"
    text = STACK.replace("    environment: {COLOR: red}\n", check % "test -e /ready").replace(
        "  other:\n", "  other:\n    depends_on: {web: {condition: service_healthy}}\n"
    )
    project.write(text)
    done = project.host.cli("-C", str(project.folder), "up", status=1)
    assert "unhealthy" in done.stderr
    assert project.row("other")["state"] == "created"
    project.write(
        text.replace("[sleep, infinity]\n    resources", "[sh, -c, 'echo > /ready; exec sleep 1000']\n    resources")
    )
    project("up", "--wait")
    assert project.row("web")["health"] == "healthy"
    assert project.row("other")["state"] == "running"
    project("down")


def test_an_oom_kill_is_told_with_its_limit(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    project.write(
        STACK.replace(
            "command: [sleep, infinity]\n    resources",
            "command: [python3, -c, 'x = bytearray(200 << 20)']\n    resources",
        )
    )
    project("up")
    assert project.until("web", state="exited", exit="OOM-killed at 64M")["exit_code"] == 137
    project("down")


def test_a_volume_outlives_down_and_goes_with_v(shop: Project) -> None:
    shop.edit("    environment: {COLOR: red}", '    volumes: ["data:/data"]')
    shop.edit("services:", "volumes: {data: {}}\nservices:")
    shop("up")
    shop("exec", "web", "sh", "-c", "echo kept > /data/file")
    shop("down")
    shop("up")
    assert shop("exec", "web", "cat", "/data/file") == "kept\n"
    shop("down", "-v")
    assert os.listdir(shop.host.root / "volumes") == []
    shop("up")


def test_a_program_that_is_not_there_is_the_error_and_nothing_of_it_stays(shop: Project) -> None:
    shop.edit(
        "  other:\n    image: tools\n    command: [sleep, infinity]", "  other:\n    image: tools\n    command: [nope]"
    )
    done = shop.host.cli("-C", str(shop.folder), "up", status=1)
    assert "nope" in done.stderr
    row = shop.row("other")
    assert (row["state"], row["pid"]) == ("created", None) or row["state"] == "exited"
    shop.edit("command: [nope]", "command: [sleep, infinity]")
    shop("up")
    assert shop.row("other")["state"] == "running"
