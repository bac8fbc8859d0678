"""A plan says what it opens: ports, folders of the host, shared namespaces."""

from __future__ import annotations

from pathlib import Path

from stackup.planner import graph
from stackup.planner.exposure import exposures
from stackup.planner.observed import Observed, ObservedContainer, ObservedImage
from stackup.planner.reconcile import reconcile
from stackup.spec import load

STACK = """
name: shop
images: {base: {layers: [{file: {target: /a, content: a}}]}}
services:
  web:
    image: base
    ports: ["8080:80", "0.0.0.0:8081:81", "192.0.2.1:8082:82/udp"]
    volumes: ["./src:/src", "./conf:/conf:ro", "data:/data"]
  tool:
    image: base
    userns_mode: host
    network_mode: host
    cap_add: [NET_ADMIN]
    security_opt: ["seccomp:unconfined"]
    volumes: ["/srv:/srv"]
volumes: {data: {}}
"""


def _exposures(folder: Path, observed: Observed = Observed()) -> list[str]:
    (folder / "stack.yaml").write_text(STACK)
    desired = graph.desired(load.load(str(folder)))
    plan = reconcile(desired, observed)
    return [line.replace(str(folder), ".") for line in exposures(desired, plan, lambda path: "alice")]


def test_every_exposure_is_named_with_its_line(tmp_path: Path) -> None:
    assert _exposures(tmp_path) == [
        "service:web opens port 8081 on every address of this machine (stack.yaml:7)",
        "service:web opens port 8082/udp on 192.0.2.1 (stack.yaml:7)",
        "service:web writes to ./src as its owner, alice (stack.yaml:8)",
        "service:tool has no user namespace of its own: its root is root of this machine (stack.yaml:11)",
        "service:tool writes to /srv as root of this machine (stack.yaml:15)",
        "service:tool shares this machine's network, its loopback included (stack.yaml:12)",
        "service:tool may make every system call (stack.yaml:14)",
        "service:tool has capabilities beyond the default: CAP_NET_ADMIN (stack.yaml:13)",
    ]


def test_what_the_plan_does_not_touch_is_not_named_again(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(STACK)
    desired = graph.desired(load.load(str(tmp_path)))
    tool = desired.services["tool"].service
    there = ObservedContainer(id="c", service_name="tool", number=1, state="running", service=tool, digest="sha256:1")
    base = ObservedImage(reference="shop/base", digest="sha256:1", named="sha256:1")
    lines = _exposures(tmp_path, Observed(containers=(there,), images={"base": base}))
    assert {line.split()[0] for line in lines} == {"service:web"}
