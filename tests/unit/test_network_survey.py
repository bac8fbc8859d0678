"""`doctor` compares what the kernel has of the networks with what should be there; here on values."""

from __future__ import annotations

from dataclasses import replace

from stackup.runtime.network.survey import Finding, Link, compare
from stackup.runtime.network.values import GATEWAY_MAC, NetworkValue, host_link

ROOT = "3fa9c1"
SHOP = NetworkValue(name="shop_default", number=0, subnet="10.89.0.0/24")
BRIDGE = Link(
    "su3fa9c1n0", True, "bridge", GATEWAY_MAC, None, addresses=frozenset({"10.89.0.1/24"}),
    routes=frozenset({"10.89.0.0/24", "10.89.0.2/32"}), neighbours=frozenset({"10.89.0.2"}),
)  # fmt: skip
PORT = Link(host_link(ROOT, "10.89.0.2"), True, "veth", "aa:bb:cc:dd:ee:ff", "su3fa9c1n0")


def faults(*links: Link) -> tuple[str, ...]:
    findings = compare(ROOT, {SHOP: ["10.89.0.2"]}, {link.name: link for link in links})
    return tuple(fault for one in findings for fault in one.faults)


def test_a_network_as_it_should_be_has_no_faults() -> None:
    (one,) = compare(ROOT, {SHOP: ["10.89.0.2"]}, {BRIDGE.name: BRIDGE, PORT.name: PORT})
    assert one == Finding(network="shop_default", about="su3fa9c1n0, 10.89.0.0/24, 1 container link")


def test_what_a_bridge_lacks_is_named() -> None:
    assert faults(replace(BRIDGE, up=False), PORT) == ("bridge su3fa9c1n0 is down",)
    assert faults(replace(BRIDGE, addresses=frozenset()), PORT) == ("bridge su3fa9c1n0 lacks its address 10.89.0.1/24",)
    assert faults(replace(BRIDGE, kind="dummy"), PORT) == ("su3fa9c1n0 is no bridge but of kind dummy",)
    assert "hardware address" in faults(replace(BRIDGE, mac="02:00:00:00:00:01"), PORT)[0]
    assert faults(PORT) == ("bridge su3fa9c1n0 is not there",)


def test_what_a_container_lacks_is_named() -> None:
    assert faults(BRIDGE) == (f"the link {PORT.name} of 10.89.0.2 is not there",)
    assert faults(BRIDGE, replace(PORT, bridge=None)) == (
        f"the link {PORT.name} of 10.89.0.2 is on no bridge, not on su3fa9c1n0",
    )
    assert faults(replace(BRIDGE, routes=frozenset()), PORT) == ("the route to 10.89.0.2 is missing",)
    assert faults(replace(BRIDGE, neighbours=frozenset()), PORT) == (
        "10.89.0.2 is no permanent neighbour on su3fa9c1n0",
    )


def test_a_link_that_nobody_claims_is_named() -> None:
    stray = replace(PORT, name=host_link(ROOT, "10.89.0.9"))
    findings = compare(ROOT, {SHOP: ["10.89.0.2"]}, {one.name: one for one in (BRIDGE, PORT, stray)})
    assert findings[-1].network is None and stray.name in findings[-1].faults[0]
