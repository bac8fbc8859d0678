"""Rules as text: what a change of the state writes, and that it writes nothing else."""

from __future__ import annotations

from dataclasses import replace

from stackup.runtime.network import firewall
from stackup.runtime.network.values import Endpoint, NetworkValue, Publish, ServiceAddress, State

NET = NetworkValue(name="s_default", number=0, subnet="10.89.0.0/24", dns_port=30053)
BOTH = "numgen random mod 2 map { 0 : 10.89.0.2, 1 : 10.89.0.3 }"


def endpoint(part: int, *, ready: bool = True) -> Endpoint:
    return Endpoint(container=f"c{part}", network=NET.name, address=f"10.89.0.{part}", service="s/web", ready=ready)


STATE = State(
    networks=(NET,),
    endpoints=(endpoint(2), endpoint(3)),
    services=(ServiceAddress(service="s/web", network=NET.name, address="10.89.0.254"),),
    publishes=(Publish(service="s/web", network=NET.name, target=80, port=8080),),
)


def lines(old: State, new: State) -> list[str]:
    return firewall.difference("3fa9c1", old, new).replace("stackup_3fa9c1 ", "").splitlines()


def test_equal_states_need_no_command() -> None:
    assert lines(STATE, replace(STATE)) == []


def test_a_replica_that_is_not_ready_leaves_its_service_but_stays_an_endpoint() -> None:
    assert lines(STATE, replace(STATE, endpoints=(endpoint(2), endpoint(3, ready=False)))) == [
        "flush chain ip service-10.89.0.254",
        "add rule ip service-10.89.0.254 dnat to 10.89.0.2",
        "flush chain ip publish-tcp-127.0.0.1-8080",
        "add rule ip publish-tcp-127.0.0.1-8080 meta l4proto tcp dnat to 10.89.0.2:80",
    ]


def test_connections_are_spread_by_lot() -> None:
    text = "\n".join(lines(State(networks=(NET,)), STATE))
    assert f"dnat to {BOTH}:80" in text
    assert 'add element ip services { "su3fa9c1n0" . 10.89.0.254 : goto service-10.89.0.254 }' in text


def test_publishing_is_one_element_and_one_chain() -> None:
    everywhere = Publish(service="s/web", network=NET.name, target=53, port=53, protocol="udp", host_ip="0.0.0.0")
    assert lines(STATE, replace(STATE, publishes=(*STATE.publishes, everywhere))) == [
        "add chain ip publish-udp-0.0.0.0-53",
        f"add rule ip publish-udp-0.0.0.0-53 meta l4proto udp dnat to {BOTH}:53",
        "add element ip published_any { udp . 53 : goto publish-udp-0.0.0.0-53 }",
    ]


def test_elements_go_before_the_chains_they_point_to() -> None:
    assert lines(STATE, replace(STATE, publishes=())) == [
        "delete element ip published { tcp . 127.0.0.1 . 8080 }",
        "flush chain ip publish-tcp-127.0.0.1-8080",
        "delete chain ip publish-tcp-127.0.0.1-8080",
    ]


def test_the_way_out_is_one_rule() -> None:
    assert lines(STATE, replace(STATE, way_out=True)) == ["flush chain ip outside", "add rule ip outside accept"]


def test_a_service_without_address_or_network_gets_no_rule() -> None:
    spread = ServiceAddress(service="s/db", network=NET.name, address=None, mode="dnsrr")
    astray = ServiceAddress(service="s/db", network="gone", address="10.89.9.9")
    assert lines(STATE, replace(STATE, services=(*STATE.services, spread, astray))) == []
