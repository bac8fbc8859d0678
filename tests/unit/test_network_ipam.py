"""Subnets and addresses: what is chosen, and what is refused with which words."""

from __future__ import annotations

import pytest

from stackup.errors import BadInput, Conflict
from stackup.runtime.network import ipam
from stackup.runtime.network.values import NetworkValue, host_link, mac_of


def test_the_lowest_free_subnet_is_chosen_clear_of_the_host_s_routes() -> None:
    assert ipam.choose_subnet([]) == "10.89.0.0/24"
    assert ipam.choose_subnet(["10.89.0.0/24", "10.89.2.0/24"]) == "10.89.1.0/24"
    assert ipam.choose_subnet([], ["0.0.0.0/0", "10.89.0.0/22", "192.168.0.0/16"]) == "10.89.4.0/24"


def test_many_replicas_get_a_larger_subnet() -> None:
    assert ipam.choose_subnet([], addresses=126) == "10.89.0.0/24"
    assert ipam.choose_subnet(["10.89.3.0/24"], addresses=200) == "10.89.16.0/20"


def test_a_used_up_pool_says_what_to_do() -> None:
    with pytest.raises(Conflict, match="no free subnet") as caught:
        ipam.choose_subnet([], ["10.0.0.0/8"])
    assert caught.value.hint and "subnet of its own" in caught.value.hint


def test_a_chosen_subnet_must_be_one_and_free() -> None:
    assert ipam.check_subnet("10.90.0.7/24", []) == "10.90.0.0/24"
    for text in ("web", "10.90.0.0/33", "fd00::/64", "10.90.0.0/30"):
        with pytest.raises(BadInput):
            ipam.check_subnet(text, [])
    with pytest.raises(Conflict, match="overlaps a route of this host"):
        ipam.check_subnet("10.90.0.0/24", [], ["10.0.0.0/8"])


def test_containers_get_addresses_from_below_and_services_from_above() -> None:
    assert ipam.container_address("10.89.0.0/24", []) == "10.89.0.2"
    assert ipam.container_address("10.89.0.0/24", ["10.89.0.2", "10.89.0.3"]) == "10.89.0.4"
    assert ipam.service_address("10.89.0.0/24", ["10.89.0.254"]) == "10.89.0.253"


def test_a_released_address_is_given_again_last_and_oldest_first() -> None:
    subnet = "10.89.0.0/29"  # .2 to .6
    assert ipam.container_address(subnet, ["10.89.0.3"], ["10.89.0.2"]) == "10.89.0.4"
    taken, released = ["10.89.0.4", "10.89.0.5", "10.89.0.6"], ["10.89.0.3", "10.89.0.2"]
    assert ipam.container_address(subnet, taken, released) == "10.89.0.3"
    with pytest.raises(Conflict, match="no free address"):
        ipam.container_address(subnet, [f"10.89.0.{n}" for n in range(2, 7)], released)


def test_a_static_address_must_lie_in_the_subnet_and_be_free() -> None:
    assert ipam.static_address("10.89.0.0/24", "10.89.0.77", []) == "10.89.0.77"
    for address in ("10.90.0.1", "10.89.0.1", "10.89.0.0", "10.89.0.255", "web"):
        with pytest.raises(BadInput):
            ipam.static_address("10.89.0.0/24", address, [])
    with pytest.raises(Conflict, match="is taken"):
        ipam.static_address("10.89.0.0/24", "10.89.0.77", {"10.89.0.77"})


def test_a_range_bounds_what_is_chosen_and_no_more() -> None:
    subnet, within = "10.89.0.0/24", "10.89.0.252/30"
    assert ipam.container_address(subnet, [], within=within) == "10.89.0.252"
    assert ipam.service_address(subnet, [], within=within) == "10.89.0.254"
    assert ipam.service_address(subnet, [], within=within, gateway="10.89.0.254") == "10.89.0.253"
    assert ipam.container_address(subnet, [], within="10.89.0.0/30") == "10.89.0.2"
    assert ipam.container_address(subnet, [], within="10.89.0.0/30", gateway="10.89.0.9") == "10.89.0.1"
    full = ["10.89.0.252", "10.89.0.253"]
    with pytest.raises(Conflict, match=r"left in 10\.89\.0\.252/30"):
        ipam.container_address(subnet, full, ["10.89.0.7"], within=within, gateway="10.89.0.254")
    assert ipam.static_address(subnet, "10.89.0.1", [], gateway="10.89.0.254") == "10.89.0.1"
    with pytest.raises(BadInput, match="is reserved"):
        ipam.static_address(subnet, "10.89.0.254", [], gateway="10.89.0.254")


def test_kernel_names_fit_and_never_meet() -> None:
    names = [host_link("3fa9c1", a) for a in ("0.0.0.0", "10.89.0.2", "10.89.0.3", "255.255.255.255")]
    bridges = [NetworkValue(name="n", number=n, subnet="10.89.0.0/24").link("3fa9c1") for n in (0, 35, 36, 36**6 - 1)]
    assert all(len(name) <= 15 for name in names + bridges)
    assert len(set(names + bridges)) == 8
    assert not any(name.startswith("su3fa9c1n") for name in names)
    assert mac_of("10.89.0.2") == "02:73:0a:59:00:02"
