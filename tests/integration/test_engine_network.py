"""Services reach one another by name, and are reached by a published port; nothing of it is left afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from .engine_helpers import Project
from .testhost import TestHost, eventually

SERVER = """
import os, socket, sys
server = socket.create_server(("0.0.0.0", 8080))
while True:
    connection, peer = server.accept()
    connection.sendall(os.uname().nodename.encode())
    connection.close()
"""

STACK = """
name: net
images:
  python: {layers: [{host: {programs: [sh, sleep, cat, python3]}}]}
  server:
    from: python
    layers: [{copy: "./server.py:/server.py"}, {copy: "./ask.py:/ask.py"}]
    config: {command: [python3, /server.py]}
services:
  web: {image: server, replicas: 2, ports: ["18080:8080"]}
  client: {image: server, command: [sleep, infinity], depends_on: [web]}
"""

ASK = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).recv(100).decode())
"""


@pytest.fixture
def project(host: TestHost) -> Iterator[Project]:
    one = Project(host, host.folder / "project")
    one.write(STACK)
    (one.folder / "server.py").write_text(SERVER)
    (one.folder / "ask.py").write_text(ASK)
    one("up")
    yield one
    one("down")
    assert host.leftovers() == []


def _ask(project: Project, name: str, port: int = 8080) -> str:
    return project("exec", "client", "python3", "/ask.py", name, str(port)).strip()


def _from_host(project: Project, port: int = 18080) -> str:
    script = f"python3 {project.folder}/ask.py 127.0.0.1 {port}"
    return project.host.sh(script, check=False).strip()


def _ids(project: Project) -> set[str]:
    return {r["id"] for r in project.rows() if r["service"] == "web"}


def test_a_link_is_a_name_for_one_service_alone_and_is_made_and_lost_while_it_runs(project: Project) -> None:
    (before,) = (r["pid"] for r in project.rows() if r["service"] == "client")
    assert "NotFound" in _name(project, "client", "front")
    project.edit("depends_on: [web]", "links: ['web:front']")
    assert project("plan").startswith("live service:client: links nothing -> [web:front]")
    project("up")
    eventually(lambda: _ask(project, "front") in _ids(project))
    assert _name(project, "client", "front") == _name(project, "client", "web")
    assert "NotFound" in _name(project, "web", "front")
    project.edit("links: ['web:front']", "depends_on: [web]")
    project("up")
    eventually(lambda: "NotFound" in _name(project, "client", "front"))
    assert before == next(r["pid"] for r in project.rows() if r["service"] == "client")


def test_a_network_with_a_gateway_and_a_range_of_its_own(project: Project) -> None:
    ipam = "{subnet: 10.90.7.0/24, ip_range: 10.90.7.128/28, gateway: 10.90.7.254}"
    text = (project.folder / "stack.yaml").read_text()
    project.write(text + f"networks: {{default: {{ipam: {{config: [{ipam}]}}}}}}\n")
    assert "delete network:default: subnet" in project("plan")
    project("up")
    assert project("plan").startswith("nothing to do")
    addresses = sorted(a for r in project.rows() for a in r["addresses"])
    assert addresses == ["10.90.7.128", "10.90.7.129", "10.90.7.130"]
    assert "nameserver 10.90.7.254" in project("exec", "client", "cat", "/etc/resolv.conf")
    assert _name(project, "client", "web") in ("10.90.7.142", "10.90.7.143")
    eventually(lambda: _ask(project, "web") in _ids(project))
    eventually(lambda: _from_host(project) in _ids(project))
    project.kill(project.supervisor(), project.spawner())
    assert project("plan").startswith("nothing to do")
    assert _ask(project, "web") in _ids(project)
    project.write(text + f"networks: {{default: {{ipam: {{config: [{ipam.replace('.254', '.1')}]}}}}}}\n")
    assert "delete network:default: gateway 10.90.7.254 -> 10.90.7.1 (stack.yaml:" in project("plan")
    project("up")
    eventually(lambda: _ask(project, "web") in _ids(project))


def _name(project: Project, asker: str, name: str) -> str:
    script = f"""import socket
try: print(socket.gethostbyname('{name}'))
except socket.gaierror: print('NotFound')"""
    return project("exec", asker, "python3", "-c", script).strip()


def test_a_service_name_reaches_every_replica(project: Project) -> None:
    eventually(lambda: {_ask(project, "web") for _ in range(6)} == _ids(project))
    lines = project("exec", "client", "python3", "-c", "import socket; print(socket.gethostbyname_ex('tasks.web')[2])")
    assert len(json.loads(lines.replace("'", '"'))) == 2


def test_a_published_port_is_spread_over_the_replicas(project: Project) -> None:
    eventually(lambda: {_from_host(project) for _ in range(8)} == _ids(project))


def test_a_published_port_survives_the_death_of_everything_of_ours(project: Project) -> None:
    eventually(lambda: _from_host(project) in _ids(project))
    project.kill(project.spawner(), project.supervisor())
    assert _from_host(project) in _ids(project)
    before = _ids(project)
    project("up")
    assert _from_host(project) in before
    assert _ask(project, "web") in before


def test_a_taken_port_is_an_error_that_names_it(project: Project) -> None:
    other = Project(project.host, project.host.folder / "other")
    other.write(STACK.replace("name: net", "name: other").replace("server:\n    from", "server:\n    from"))
    (other.folder / "server.py").write_text(SERVER)
    (other.folder / "ask.py").write_text(ASK)
    done = project.host.cli("-C", str(other.folder), "up", status=1)
    assert "port 127.0.0.1:18080/tcp is taken by service:web of stack net" in done.stderr
    other("down")


def test_a_stopped_replica_is_asked_no_more(project: Project) -> None:
    eventually(lambda: len({_from_host(project) for _ in range(8)}) == 2)
    row = project.row("web", 1)
    os.kill(row["pid"], 9)
    project.until("web", state="exited")
    other = project.row("web", 2)["id"]
    eventually(lambda: {_from_host(project) for _ in range(4)} == {other})


def _bridge(project: Project) -> str:
    links = json.loads(project.host.sh("ip -j link"))
    return next(str(one["ifname"]) for one in links if one["ifname"].endswith("n0"))


def _ports(project: Project) -> list[str]:
    links = json.loads(project.host.sh("ip -j link"))
    return [str(one["ifname"]) for one in links if "link_index" in one or "@" in one["ifname"]]


@pytest.mark.parametrize(
    "lost", ["rules", "rules of a family", "rules in a table", "bridge", "link", "bridge, while nobody runs"]
)
def test_what_somebody_took_from_the_kernel_is_seen_and_mended(project: Project, lost: str) -> None:
    """Firewall scripts begin with `flush ruleset`; and people delete links."""
    before = {r["id"]: r["pid"] for r in project.rows()}
    said = {"bridge": "its bridge is gone", "link": "the link of service:"}.get(
        lost.partition(",")[0], "its rules are gone"
    )
    match lost:
        case "rules":
            project.host.sh("nft flush ruleset")
        case "rules of a family":
            project.host.sh("nft delete table " + project.host.sh("nft list tables").splitlines()[-1].split(" ", 1)[1])
        case "rules in a table":
            project.host.sh("nft flush table " + project.host.sh("nft list tables").splitlines()[0].split(" ", 1)[1])
        case "link":
            project.host.sh(f"ip link del {_ports(project)[0]}")
        case "bridge":
            project.host.sh(f"ip link del {_bridge(project)}")
        case _:
            project.kill(project.spawner(), project.supervisor())
            project.host.sh(f"ip link del {_bridge(project)}")
    assert project("plan").startswith(f"mend network:default: {said}")
    project("up")
    assert project("plan").startswith("nothing to do")
    assert {r["id"]: r["pid"] for r in project.rows()} == before
    eventually(lambda: {_ask(project, "web") for _ in range(4)} <= _ids(project))
    eventually(lambda: {_from_host(project) for _ in range(8)} == _ids(project))


def test_without_the_rules_a_service_can_still_be_restarted(project: Project) -> None:
    project.host.sh("nft flush ruleset")
    project("restart", "web")
    eventually(lambda: {_from_host(project) for _ in range(8)} == _ids(project))


def test_without_the_rules_the_stack_can_still_be_taken_down(project: Project) -> None:
    project.host.sh("nft flush ruleset")  # the fixture does the rest


def _way_out(project: Project) -> str:
    rules = json.loads(project.host.sh(f"nft -j list chain ip stackup_{project.host.root_id()} outside"))["nftables"]
    return "open" if any("accept" in e for r in rules if "rule" in r for e in r["rule"]["expr"]) else "closed"


def test_what_the_machine_keeps_closed_is_said_and_followed(host: TestHost) -> None:
    host.sh(
        "ip link add cable type bridge; ip addr add 192.168.77.1/24 dev cable; ip link set cable up;"
        "ip route add default via 192.168.77.254; sysctl -q -w net.ipv4.conf.cable.forwarding=0;"
        "iptables -P FORWARD DROP"
    )
    project = Project(host, host.folder / "project")
    project.write(STACK.replace("client: {image: server, ", "client: {image: python, "))
    (project.folder / "server.py").write_text(SERVER)
    (project.folder / "ask.py").write_text(ASK)
    said = project("plan")
    assert "note: this host does not forward packets from cable" in said
    assert "note: table ip filter, chain FORWARD, a firewall of somebody else, drops what is forwarded" in said
    warned = host.cli("-C", str(project.folder), "up", "client").stderr
    assert "sysctl -w net.ipv4.conf.cable.forwarding=1" in warned
    assert "iptables -I FORWARD -i su+ -j ACCEPT" in warned
    assert _way_out(project) == "closed"
    host.sh("sysctl -q -w net.ipv4.conf.cable.forwarding=1")
    assert "forward" not in host.cli("-C", str(project.folder), "up", "client").stderr
    assert _way_out(project) == "open"
    project("down")
    host.sh("nft flush ruleset; ip link del cable")


def _taken(project: Project, port: int) -> subprocess.Popen[bytes]:
    script = f"import socket; s = socket.create_server(('127.0.0.1', {port})); print(1, flush=True); s.accept()"
    other = subprocess.Popen(project.host.enter("python3", "-c", script), stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline()
    return other


def test_a_port_that_is_taken_when_it_is_changed_stays_to_be_done(project: Project) -> None:
    before = {r["id"]: r["pid"] for r in project.rows()}
    with _taken(project, 18090) as other:
        project.edit("18080:8080", "18090:8080")
        done = project.host.cli("-C", str(project.folder), "up", status=1)
        assert f"port 127.0.0.1:18090/tcp is taken by python3 (pid {other.pid})" in done.stderr
        assert "ports [127.0.0.1:18080:8080] -> [127.0.0.1:18090:8080]" in project("plan")
        assert _from_host(project) in before
        other.kill()
    project("up")
    eventually(lambda: _from_host(project, 18090) in before)
    assert {r["id"]: r["pid"] for r in project.rows()} == before
    assert project("plan").startswith("nothing to do")


def test_a_port_stays_reserved_after_both_were_killed(project: Project) -> None:
    project.kill(project.spawner(), project.supervisor())
    project("ps")
    project("exec", "client", "sh", "-c", ":")  # starts the pair again
    script = "import socket; socket.socket().bind(('127.0.0.1', 18080))"
    assert "Address already in use" in project.host.sh(f'python3 -c "{script}" 2>&1', check=False)


def test_an_unhealthy_replica_gets_no_traffic_and_no_name_until_it_is_well(host: TestHost) -> None:
    project = Project(host, host.folder / "project")
    check = "healthcheck: {test: [CMD, cat, /well], interval: 200ms, retries: 1}"
    layers = '{copy: "./server.py:/server.py"}, {copy: "./ask.py:/ask.py"}'
    text = STACK.replace(layers, layers + ", {file: {target: /well, content: yes, mode: 666}}")
    project.write(text.replace('ports: ["18080:8080"]', 'ports: ["18080:8080"], ' + check))
    (project.folder / "server.py").write_text(SERVER)
    (project.folder / "ask.py").write_text(ASK)
    project("up", "--wait")
    eventually(lambda: {_from_host(project) for _ in range(8)} == _ids(project))
    one, other = (project.row("web", n)["id"] for n in (1, 2))
    resolve = "import socket; print(len(socket.gethostbyname_ex('tasks.web')[2]))"
    project("exec", "web/1", "python3", "-c", "import os; os.rename('/well', '/ill')")
    eventually(lambda: project.row("web", 1)["health"] == "unhealthy")
    assert {_from_host(project) for _ in range(8)} == {other}
    assert {_ask(project, "web") for _ in range(4)} == {other}
    assert project("exec", "client", "python3", "-c", resolve).strip() == "1"
    project("exec", "web/2", "python3", "-c", "import os; os.rename('/well', '/ill')")
    eventually(lambda: project.row("web", 2)["health"] == "unhealthy")
    assert _from_host(project) == ""  # refused, not sent to one that says it is ill
    project("exec", "web/1", "python3", "-c", "import os; os.rename('/ill', '/well')")
    eventually(lambda: _from_host(project) == one)
    project("down")
