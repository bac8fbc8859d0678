"""Edits that move what is reached: ports, names, networks. After each the next plan is empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .engine_helpers import Project
from .testhost import TestHost, eventually

STACK = """
name: reach
images:
  python: {layers: [{host: {programs: [python3, sh, sleep]}}]}
  page:
    from: python
    layers: [{file: {target: /srv/index.html, content: "hello"}}]
    config: {command: [python3, -m, http.server, "80", -d, /srv], stop_signal: SIGKILL}
services:
  web: {image: page, ports: ["18080:80"]}
  client:
    image: python
    command: [sleep, infinity]
    stop_signal: SIGKILL
    depends_on: {web: {condition: service_started, restart: true}}
networks: {default: {subnet: 10.89.40.0/24}}
"""
GET = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode())"


@pytest.fixture
def reach(host: TestHost) -> Iterator[Project]:
    project = Project(host, host.folder / "project")
    project.write(STACK)
    project("up")
    eventually(lambda: fetched(host, 18080) == "hello")
    yield project
    assert project("plan").startswith("nothing to do")
    project("down", "-v")


def fetched(host: TestHost, port: int) -> str:
    return host.sh(f"python3 -c '{GET}' http://127.0.0.1:{port}/ 2>/dev/null || true").strip()


def pids(project: Project) -> dict[str, int]:
    return {f"{r['service']}/{r['number']}": r["pid"] for r in project.rows()}


def test_a_changed_port_moves_and_no_process_notices(reach: Project, host: TestHost) -> None:
    before = pids(reach)
    reach.edit("18080:80", "18081:80")
    assert reach("plan") == ("live service:web: ports [127.0.0.1:18080:80] -> [127.0.0.1:18081:80] (stack.yaml:10)\n")
    assert "http://127.0.0.1:18081" in reach("up")
    assert fetched(host, 18081) == "hello" and fetched(host, 18080) == ""
    assert pids(reach) == before


def test_a_renamed_service_takes_its_port_along(reach: Project, host: TestHost) -> None:
    reach.edit("  web: {", "  page: {")
    reach.edit("depends_on: {web:", "depends_on: {page:")
    reach("up")
    eventually(lambda: fetched(host, 18080) == "hello")
    assert set(pids(reach)) == {"page/1", "client/1"}


def test_who_asked_for_it_is_restarted_with_what_it_depends_on(reach: Project) -> None:
    before = pids(reach)
    reach.edit("ports:", "environment: {A: b}, ports:")
    assert reach("plan").splitlines() == [
        "restart service:web: environment.A nothing -> b (stack.yaml:10)",
        "restart service:client: service:web is restarted (stack.yaml:15)",
    ]
    reach("up")
    after = pids(reach)
    assert after["web/1"] != before["web/1"] and after["client/1"] != before["client/1"]


def test_a_network_made_anew_takes_everything_on_it_along(reach: Project, host: TestHost) -> None:
    reach.edit("10.89.40.0/24", "10.89.41.0/24")
    assert "delete network:default: subnet 10.89.40.0/24 -> 10.89.41.0/24 (stack.yaml:16)" in reach("plan")
    reach("up")
    assert all(a.startswith("10.89.41.") for r in reach.rows() for a in r["addresses"])
    eventually(lambda: fetched(host, 18080) == "hello")
    assert reach("exec", "client", "python3", "-c", GET, "http://web/").strip() == "hello"


def test_a_port_is_opened_to_all_addresses_and_closed_again(reach: Project, host: TestHost) -> None:
    """What `up` proposes: `"0.0.0.0:18080:80" opens it`."""
    before = pids(reach)
    reach.edit("18080:80", "0.0.0.0:18080:80")
    assert "note: service:web opens port 18080 on every address of this machine (stack.yaml:10)" in reach("plan")
    reach("up")
    gateway = next(a for a in reach.row("web")["addresses"]).rpartition(".")[0] + ".1"
    assert host.sh(f"python3 -c '{GET}' http://{gateway}:18080/").strip() == "hello"
    assert fetched(host, 18080) == "hello"
    reach.edit("0.0.0.0:18080:80", "18080:80")
    reach("up")
    assert fetched(host, 18080) == "hello"
    assert pids(reach) == before


def test_two_services_exchange_their_ports(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    text = STACK.replace("  client:", '  other: {image: page, ports: ["18081:80"]}\n  client:')
    project.write(text)
    project("up")
    before = pids(project)
    project.write(text.replace("18080", "18082").replace("18081", "18080").replace("18082", "18081"))
    project("up")
    published = {r["service"]: r["published"][0]["published"] for r in project.rows() if r["published"]}
    assert published == {"web": 18081, "other": 18080}
    assert project("plan").startswith("nothing to do")
    assert pids(project) == before
    project("down")
