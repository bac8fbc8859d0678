"""Services of profiles: switched on they run, switched off they are left alone, and `down` takes them all."""

from __future__ import annotations

from typing import Any

import pytest

from .project import Project
from .testhost import TestHost, eventually

SERVICES = """
  web: {image: tools, command: [sleep, infinity], stop_signal: SIGKILL}
  debug:
    image: tools
    command: [sh, -c, "echo hello; sleep infinity"]
    stop_signal: SIGKILL
    restart: always
    profiles: [tools]
    networks: [back]
    volumes: ["data:/data"]
    ports: ["18090:80"]
networks: {back: {}}
volumes: {data: {}}
"""


def same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(row[k] == other[k] for k in ("id", "pid", "image", "addresses", "published"))


def test_what_a_profile_switched_on_is_left_alone_without_it(host: TestHost) -> None:
    project = Project(host, SERVICES)
    project.up()
    assert [r["service"] for r in project.rows()] == ["web"]
    project.cli("--profile", "tools", "up")
    before = project.row("debug")
    assert before["state"] == "running"

    said = project.cli("plan")
    assert said == "nothing to do: shop is as the file says\nleft alone: service:debug (profile off)\n"
    assert "18090" not in project.up()
    assert same(project.row("debug"), before)
    project.write(SERVICES.replace("web: {image: tools, ", "web: {image: tools, labels: {a: b}, "))
    assert project.cli("plan").startswith("live service:web: labels.a nothing -> b")
    project.up()
    assert same(project.row("debug"), before)

    # By name it is like any other.
    assert project.lines("debug") == ["hello"]
    assert project.inside("debug", "cat", "/etc/hostname").strip() == before["id"]
    project.cli("stop", "debug")
    assert project.row("debug")["held"]
    project.up()
    assert project.row("debug")["held"]
    project.cli("start", "debug")
    assert project.until("debug", state="running")["id"] == before["id"]
    project.inside("debug", "touch", "/data/x")

    # Named for `up` it is what the file says, without the profile's name.
    project.write(SERVICES.replace("echo hello", "echo again"))
    assert "restart service:debug" in project.cli("plan", "debug")
    project.up("debug")
    eventually(lambda: project.lines("debug") == ["hello", "hello", "again"])
    project.down("-v")
    assert host.leftovers() == []


def test_a_network_outlives_its_place_in_the_file_for_what_is_left_alone(host: TestHost) -> None:
    project = Project(host, SERVICES)
    project.cli("--profile", "*", "up")
    before = project.row("debug")
    project.write(SERVICES.replace("networks: [back]", "").replace("networks: {back: {}}", ""))
    project.up()
    assert same(project.row("debug"), before)
    project.cli("restart", "debug")
    assert project.until("debug", state="running")["addresses"] == before["addresses"]
    project.down("-v")


@pytest.mark.parametrize("variable", ["COMPOSE_REMOVE_ORPHANS=false", "COMPOSE_IGNORE_ORPHANS=1"])
def test_orphans_stay_where_a_variable_says_so(host: TestHost, variable: str) -> None:
    project = Project(host, SERVICES.replace("profiles: [tools]", ""))
    project.up()
    before = project.row("debug")
    project.write("  web: {image: tools, command: [sleep, infinity], stop_signal: SIGKILL}\n")
    env = project.folder / ".env"
    env.write_text(variable + "\nCOMPOSE_PARALLEL_LIMIT=1\n")
    assert project.cli("plan").endswith("left alone: service:debug (no longer in the file)\n")
    project.up()
    assert same(project.row("debug"), before)
    project.cli("restart", "debug")  # its volume and its network are still known
    assert project.until("debug", state="running")["id"] == before["id"]
    env.unlink()
    assert "remove service:debug: removed from the file" in project.cli("plan")
    project.up()
    assert [r["service"] for r in project.rows()] == ["web"]
    project.down("-v")
