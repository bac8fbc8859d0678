"""Who reaches whom, on the real kernel, with bridge-nf-call-iptables 0 and 1."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections import Counter
from dataclasses import replace

import pytest

from stackup.errors import KernelError
from stackup.linux import nftables
from stackup.runtime.network import links, ports
from stackup.runtime.network.values import GATEWAY_MAC, Attachment, State, mac_of

from .network_site import Site, ask_tcp, ask_udp, bridge_netfilter
from .testhost import TestHost

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
both = pytest.mark.parametrize("nf_call", [0, 1])


@both
def test_containers_of_a_network_reach_each_other_and_keep_their_address(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            one, _ = site.box(network, 2), site.box(network, 3)
            assert one.run(ask_tcp, "10.89.0.3") == "c0-3 10.89.0.2"
            assert one.run(ask_udp, "10.89.0.3") == "c0-3 10.89.0.2"
            assert ask_tcp("10.89.0.2") == "c0-2 10.89.0.1"  # the host itself reaches them, too

    host.call(scenario)


@both
def test_a_service_address_spreads_over_all_replicas(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            client = site.box(network, 2)
            site.box(network, 3, "s/web"), site.box(network, 4, "s/web")
            address = site.service("s/web", network)
            for ask in (ask_tcp, ask_udp):
                seen = Counter(client.run(lambda ask=ask: [ask(address) for _ in range(24)]))
                assert set(seen) == {"c0-3 10.89.0.2", "c0-4 10.89.0.2"}, seen
            assert ask_tcp(address) in ("c0-3 10.89.0.1", "c0-4 10.89.0.1")

    host.call(scenario)


@both
def test_a_replica_reaches_itself_through_its_service(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            box = site.box(network, 3, "s/web")
            address = site.service("s/web", network)
            site.publish("s/web", network, 8080, "0.0.0.0")
            for ask in (ask_tcp, ask_udp):
                assert box.run(ask, address) == "c0-3 10.89.0.1"
                assert box.run(ask, "10.89.0.1", 8080) == "c0-3 10.89.0.1"

    host.call(scenario)


@both
def test_replicas_change_in_one_step_and_none_left_is_refused_at_once(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            client = site.box(network, 2)
            site.box(network, 3, "s/web"), site.box(network, 4, "s/web")
            address = site.service("s/web", network)
            site.apply(endpoints=site.state.endpoints[:2])
            assert set(client.run(lambda: [ask_tcp(address) for _ in range(8)])) == {"c0-3 10.89.0.2"}
            assert client.run(ask_tcp, "10.89.0.4") == "refused"
            site.apply(endpoints=site.state.endpoints[:1])
            assert client.run(ask_tcp, address) == "refused"
            assert client.run(ask_udp, address) in ("refused", "unreachable")
            assert ask_tcp(address) == "refused"

    host.call(scenario)


@both
def test_different_networks_do_not_reach_each_other(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            first, second = site.network(0), site.network(1)
            one, _ = site.box(first, 2), site.box(second, 2, "s/web")
            address = site.service("s/web", second)
            assert one.run(ask_tcp, "10.89.1.2") == "refused"
            assert one.run(ask_udp, "10.89.1.2") in ("refused", "unreachable")
            assert one.run(ask_tcp, address) == "refused"

    host.call(scenario)


@both
def test_ports_of_a_bridge_cannot_talk_past_the_host(host: TestHost, nf_call: int) -> None:
    """Frames straight to the neighbour, to everybody, of another protocol or with another's address get nowhere."""

    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            one, two = site.box(network, 2, serve=False), site.box(network, 3, serve=False)
            there, here = mac_of("10.89.0.3"), mac_of("10.89.0.2")
            control = _frame(GATEWAY_MAC, here, _packet("10.89.0.2", "10.89.0.3", b"allowed"))
            frames = [
                _frame(there, here, _packet("10.89.0.2", "10.89.0.3", b"direct")),
                _frame("ff:ff:ff:ff:ff:ff", here, _packet("10.89.0.2", "10.89.0.3", b"broadcast")),
                _frame(GATEWAY_MAC, here, _packet("10.89.0.9", "10.89.0.3", b"forged")),
                _frame(GATEWAY_MAC, here, _packet("8.8.8.8", "10.89.0.3", b"forged")),
                control,
            ]
            reading, writing = os.pipe()
            two.start(_listen, writing)
            one.run(_send, frames)
            assert os.read(reading, 100) == b"allowed"
            os.set_blocking(reading, False)
            with pytest.raises(BlockingIOError):
                os.read(reading, 100)

    host.call(scenario)


def _packet(source: str, target: str, payload: bytes) -> bytes:
    datagram = struct.pack("!HHHH", 999, 5000, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))  # fmt: skip
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", checksum) + head[12:] + datagram


def _frame(target: str, source: str, packet: bytes) -> bytes:
    return bytes.fromhex((target + source).replace(":", "")) + b"\x08\x00" + packet


def _send(frames: list[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for frame in frames:
            raw.send(frame)


def _listen(ready, pipe: int) -> None:  # type: ignore[no-untyped-def]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 5000))
        ready()
        while True:
            os.write(pipe, server.recv(100))


@both
def test_loopback_of_the_host_is_closed_to_containers(host: TestHost, nf_call: int) -> None:
    """A packet to 127.0.0.1 that a container sends to the gateway must not reach a service on the host's loopback."""

    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            one = site.box(network, 2, serve=False)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as secret:
                secret.bind(("127.0.0.1", 5000))
                secret.settimeout(0.5)
                here = mac_of("10.89.0.2")
                one.run(_send, [
                    _frame(GATEWAY_MAC, here, _packet("10.89.0.2", "127.0.0.1", b"to")),
                    _frame(GATEWAY_MAC, here, _packet("127.0.0.1", "127.0.0.1", b"both")),
                ])  # fmt: skip
                with pytest.raises(TimeoutError):
                    secret.recv(100)

    host.call(scenario)


@both
def test_the_host_s_own_services_are_reached_through_the_gateway_unless_internal(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            one = site.box(site.network(0), 2, serve=False)
            inner = site.box(site.network(1, internal=True), 2, serve=False)
            with socket.create_server(("0.0.0.0", 5001)):
                assert one.run(_connects, "10.89.0.1", 5001)
                assert not inner.run(_connects, "10.89.1.1", 5001)

    host.call(scenario)


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 3).close()
    except OSError:
        return False
    return True


def test_nothing_is_left_after_clear(host: TestHost) -> None:
    def scenario() -> tuple[str, str, tuple[str, ...]]:
        site = Site()
        network = site.network()
        box = site.box(network, 2, "s/web", serve=False)
        site.service("s/web", network)
        site.publish("s/web", network, 8080)
        assert site.fabric.missing(site.state) == ()
        site.fabric.clear()
        missing = site.fabric.missing(site.state)
        site.fabric.clear()  # twice is no failure
        box.close()
        run = lambda *argv: subprocess.run(argv, capture_output=True, text=True, check=True).stdout  # noqa: E731
        return run("ip", "-o", "link"), run("nft", "list", "ruleset"), missing

    links, rules, missing = host.call(scenario)
    assert "su3fa9c1" not in links
    assert rules == ""
    assert missing == ("su3fa9c1n0", "ip stackup_3fa9c1", "bridge stackup_3fa9c1")


def test_a_link_ends_with_its_namespace_and_its_address_can_be_given_again(host: TestHost) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            client, first = site.box(network, 2), site.box(network, 3)
            first.close()
            site.boxes.remove(first)
            site.apply(endpoints=site.state.endpoints[:1])
            site.box(network, 3)
            assert client.run(ask_tcp, "10.89.0.3") == "c0-3 10.89.0.2"

    host.call(scenario)


def test_no_other_program_s_rule_is_touched(host: TestHost) -> None:
    rule = "table ip theirs { chain c { type filter hook forward priority 0; policy accept; } ; }"

    def scenario() -> str:
        subprocess.run(["nft", rule], check=True)
        with Site() as site:
            site.network()
            site.apply(networks=())
        left = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
        subprocess.run(["nft", "delete table ip theirs"], check=True)
        return left

    left = host.call(scenario)
    assert "theirs" in left and "stackup" not in left


def test_rules_are_written_anew_after_a_restart_and_connections_live_on(host: TestHost) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            one, two = site.box(network, 2, serve=False), site.box(network, 3, serve=False)
            reading, writing = os.pipe()
            two.start(_sink, writing)
            with socket.create_connection(("10.89.0.3", 81), 3) as connection:
                site.fabric.forget()
                site.fabric.apply(site.state)
                connection.sendall(b"still here")
                assert os.read(reading, 100) == b"still here"
            assert one is not None
            site.apply(**{f: () for f in State.__dataclass_fields__ if f != "way_out"})

    host.call(scenario)


def _sink(ready, pipe: int) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("", 81)) as server:
        ready()
        connection, _ = server.accept()
        os.write(pipe, connection.recv(100))


@both
def test_a_container_on_two_networks_reaches_both_and_its_first_gives_the_way_out(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            back, front = site.network(0, internal=True), site.network(1)
            site.box(back, 2, "s/db"), site.box(front, 2, "s/web")
            address = site.service("s/db", back), site.service("s/web", front)
            both_ends = site.box_on([(back, 3), (front, 3)])
            assert both_ends.run(ask_tcp, "10.89.0.2") == "c0-2 10.89.0.3"
            assert both_ends.run(ask_tcp, "10.89.1.2") == "c1-2 10.89.1.3"
            assert [both_ends.run(ask_udp, a) for a in address] == ["c0-2 10.89.0.3", "c1-2 10.89.1.3"]
            assert "default via 10.89.1.1 dev eth1" in both_ends.sh("ip route")

    host.call(scenario)


def test_a_failed_attachment_names_the_interface_and_leaves_nothing(host: TestHost) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            box = site.box(network, 2, serve=False)
            attachment = Attachment(network=network, address="10.89.0.3")
            with pytest.raises(KernelError, match="create link su3fa9c102vcydf: File exists"):
                site.fabric.attach(box.netns, [attachment])  # it has an eth0
            absent = replace(network, number=7)
            with pytest.raises(KernelError, match="bridge su3fa9c1n7: no interface with this name"):
                site.fabric.attach(box.netns, [replace(attachment, network=absent)])
            assert links.list_links("3fa9c1") == {"su3fa9c1n0", "su3fa9c102vcyde"}

    host.call(scenario)


def test_a_refused_change_leaves_the_rules_as_they_were(host: TestHost) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            client = site.box(network, 2)
            site.box(network, 3, "s/web")
            address = site.service("s/web", network)
            good = site.state
            inner = replace(network, name="net8", number=8, subnet="10.89.9.0/24")
            overlapping = replace(network, name="net9", number=9, subnet="10.89.8.0/22")
            with pytest.raises(KernelError, match="change firewall rules"):
                site.apply(networks=(network, inner, overlapping), endpoints=())
            site.state = good
            assert client.run(ask_tcp, address) == "c0-3 10.89.0.2"

    host.call(scenario)


@pytest.mark.parametrize("command", ["flush ruleset", "add element ip stackup_3fa9c1 subnets '{ 10.89.1.0/25 }'"])
def test_the_next_change_writes_all_rules_again_where_somebody_changed_them(host: TestHost, command: str) -> None:
    def scenario() -> None:
        with Site() as site:
            network = site.network()
            client = site.box(network, 2)
            site.box(network, 3, "s/web")
            address = site.service("s/web", network)
            subprocess.run(f"nft {command}", shell=True, check=True)
            other = site.network(1)
            site.box(other, 2, "s/web")
            site.service("s/web", other)
            assert client.run(ask_tcp, address) == "c0-3 10.89.0.2"

    host.call(scenario)


def test_the_program_nft_stands_in_where_the_library_is_missing(host: TestHost) -> None:
    def scenario() -> None:
        nftables._tried, nftables._library = True, None
        assert nftables.which() == "program"
        with Site() as site:
            network = site.network()
            client = site.box(network, 2)
            site.box(network, 3, "s/web")
            address = site.service("s/web", network)
            assert client.run(ask_tcp, address) == "c0-3 10.89.0.2"
            assert site.fabric.missing(site.state) == ()
            with pytest.raises(KernelError, match=r"change firewall rules: .*Error: .*No such file or directory"):
                nftables.run("delete table ip nobody")

    host.call(scenario)


@both
def test_a_udp_client_that_keeps_its_port_meets_the_replica_that_is_there_now(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        bridge_netfilter(nf_call)
        with Site() as site:
            network = site.network()
            client, _, _ = site.box(network, 2), site.box(network, 3, "s/web"), site.box(network, 4, "s/web")
            address = site.service("s/web", network)
            site.publish("s/web", network, 8080)
            rest, first, second = site.state.endpoints
            site.apply(endpoints=(rest, first))
            here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            held, _ = ports.reserve("127.0.0.1", 8080, "udp")
            here.settimeout(3)
            assert client.run(_ask_from, 4444, address) == "c0-3 10.89.0.2"
            site.apply(endpoints=(rest, second))
            assert client.run(_ask_from, 4444, address) == "c0-4 10.89.0.2"
            site.apply(endpoints=(rest,))
            here.sendto(b"?", ("127.0.0.1", 8080))  # nobody is there: it ends in the reservation
            site.apply(endpoints=(rest, first))
            here.sendto(b"?", ("127.0.0.1", 8080))
            assert here.recv(100) == b"c0-3 10.89.0.1"
            assert site.fabric.shortcoming is None
            here.close(), held.close()

    host.call(scenario)


def _ask_from(port: int, address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("", port))
        one.settimeout(3)
        one.sendto(b"?", (address, 80))
        return one.recv(100).decode()
