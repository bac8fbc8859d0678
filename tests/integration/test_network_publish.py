"""Published ports and the way out, on the real kernel, with bridge-nf-call-iptables 0 and 1."""

from __future__ import annotations

import os
import subprocess
from collections import Counter

import pytest

from stackup.errors import BadInput, Conflict
from stackup.runtime.network import ports, sysctls

from .network_site import Site, ask_tcp, ask_udp, bridge_netfilter
from .testhost import TestHost

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
both = pytest.mark.parametrize("nf_call", [0, 1])

LOOPBACK_OVER_THE_CABLE = """
echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
ip route add 10.89.0.0/16 via 192.168.77.1
ip rule add pref 10 to 127.0.0.1 lookup 100
ip rule add pref 20 lookup local
ip rule del pref 0
ip route add 127.0.0.1/32 via 192.168.77.1 src 192.168.77.2 table 100
"""
"""What an attacker on the next machine types."""


@both
def test_a_port_published_on_loopback_is_spread_over_all_replicas(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            site.box(network, 2, "s/web"), site.box(network, 3, "s/web")
            site.publish("s/web", network, 8080)
            for ask in (ask_tcp, ask_udp):
                seen = Counter(ask("127.0.0.1", 8080) for _ in range(24))
                assert set(seen) == {"c0-2 10.89.0.1", "c0-3 10.89.0.1"}, seen

    host.call(scenario)


@both
def test_a_port_published_on_loopback_is_closed_to_other_machines(host: TestHost, nf_call: int) -> None:
    """Neither at the host's address, nor by a packet to 127.0.0.1 put on the cable, nor straight to the container."""

    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            site.box(network, 2, "s/web")
            service = site.service("s/web", network)
            site.publish("s/web", network, 8080)
            other = site.machine(forwarding=True)
            assert other.run(ask_tcp, "192.168.77.1", 8080) == "refused"
            other.sh(LOOPBACK_OVER_THE_CABLE)
            assert other.run(ask_tcp, "127.0.0.1", 8080, 1) == "silence"
            assert other.run(ask_tcp, "10.89.0.2", 80, 1) == "silence"
            assert other.run(ask_udp, "10.89.0.2", 80, 1) == "silence"
            assert other.run(ask_tcp, service, 80, 1) == "silence"

    host.call(scenario)


@both
def test_a_port_published_on_all_addresses_is_reached_from_everywhere(host: TestHost, nf_call: int) -> None:
    """The client's source is kept, except that of the host's loopback; another network's container is a client, too."""

    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network, elsewhere, inner = site.network(0), site.network(1), site.network(2, internal=True)
            site.box(network, 2, "s/web")
            neighbour, stranger = site.box(network, 3), site.box(elsewhere, 2)
            locked = site.box(inner, 2)
            site.publish("s/web", network, 8080, "0.0.0.0")
            other = site.machine(forwarding=True)
            for ask in (ask_tcp, ask_udp):
                assert other.run(ask, "192.168.77.1", 8080) == "c0-2 192.168.77.2"
                assert ask("192.168.77.1", 8080) == "c0-2 192.168.77.1"
                assert ask("127.0.0.1", 8080) == "c0-2 10.89.0.1"
                assert neighbour.run(ask, "192.168.77.1", 8080) == "c0-2 10.89.0.3"
                assert stranger.run(ask, "192.168.77.1", 8080) == "c0-2 10.89.1.2"
                assert locked.run(ask, "192.168.77.1", 8080) in ("unreachable", "refused")
                assert locked.run(ask, "10.89.2.1", 8080) in ("unreachable", "refused")
                assert other.run(ask, "192.168.77.1", 8081) == "refused"  # not published: the host's own refusal

    host.call(scenario)


@both
def test_a_port_published_on_one_address_is_reached_there_only(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            site.box(network, 2, "s/web")
            other = site.machine(forwarding=True)
            site.publish("s/web", network, 8080, "192.168.77.1")
            assert other.run(ask_tcp, "192.168.77.1", 8080) == "c0-2 192.168.77.2"
            assert ask_tcp("127.0.0.1", 8080) == "refused"

    host.call(scenario)


def test_a_published_port_without_a_ready_replica_is_refused_and_comes_back(host: TestHost) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            site.box(network, 2, "s/web")
            site.publish("s/web", network, 8080)
            endpoints = site.state.endpoints
            site.apply(endpoints=())
            held, port = ports.reserve("127.0.0.1", 8080, "tcp")
            assert port == 8080
            assert ask_tcp("127.0.0.1", 8080) == "refused"
            site.apply(endpoints=endpoints)
            assert ask_tcp("127.0.0.1", 8080) == "c0-2 10.89.0.1"  # the reservation is no obstacle
            held.close()
            site.apply(publishes=())
            assert ask_tcp("127.0.0.1", 8080) == "refused"

    host.call(scenario)


@both
def test_containers_reach_other_machines_only_where_the_host_forwards(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            open_network, inner = site.network(0), site.network(1, internal=True)
            box, locked = site.box(open_network, 2), site.box(inner, 2)
            site.machine(forwarding=False)
            closed = sysctls.way_out()
            assert not closed and "sysctl -w net.ipv4.conf.cable.forwarding=1" in closed.reason
            assert box.run(ask_tcp, "192.168.77.2") == "refused"
            assert box.run(ask_udp, "192.168.77.2") in ("refused", "unreachable")
            with open("/proc/sys/net/ipv4/conf/cable/forwarding", "w") as file:
                file.write("1")
            assert sysctls.way_out().link == "cable"
            site.apply(way_out=True)
            locked.sh("ip route add default via 10.89.1.1 dev eth0 onlink")  # it has none, and none would help
            for ask in (ask_tcp, ask_udp):
                assert box.run(ask, "192.168.77.2") == "machine 192.168.77.1"
                assert locked.run(ask, "192.168.77.2") in ("refused", "unreachable")

    host.call(scenario)


def test_no_sysctl_but_those_of_our_bridges_is_written(host: TestHost) -> None:
    def read() -> str:
        script = (
            "grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf "
            "/proc/sys/net/bridge 2>/dev/null | grep -v /su3fa9c1 | sort"
        )
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout

    def scenario() -> tuple[str, str]:
        before = read()
        with Site() as site:
            network = site.network()
            site.box(network, 2, "s/web", serve=False)
            site.publish("s/web", network, 8080)
            return before, read()

    before, after = host.call(scenario)
    assert before == after and before


def test_a_taken_port_is_told_before_anything_is_changed(host: TestHost) -> None:
    def scenario() -> None:
        held, port = ports.reserve("127.0.0.1", 0, "udp")
        with pytest.raises(Conflict, match=f"port 127.0.0.1:{port}/udp is taken"):
            ports.reserve("127.0.0.1", port, "udp")
        held.close()
        with pytest.raises(BadInput, match=r"this host has no address 203\.0\.113\.7"):
            ports.reserve("203.0.113.7", 80, "tcp")

    host.call(scenario)
