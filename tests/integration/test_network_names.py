"""Names asked by a real client from inside containers: over UDP and TCP, ours and the host's resolvers'."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

from stackup.runtime.network import nameserver
from stackup.runtime.network.names import Directory
from stackup.runtime.network.values import NetworkValue

from .network_site import Box, Site, bridge_netfilter
from .testhost import TestHost

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
both = pytest.mark.parametrize("nf_call", [0, 1])
UPSTREAM = 5353


def look_up(name: str, kind: str = "A", *, tcp: bool = False, server: str = "10.89.0.1", port: int = 53) -> list[str]:
    """What the name server answers: the rcode where it is not NOERROR, else the sorted data."""
    query = dns.message.make_query(name, kind)
    ask = dns.query.tcp if tcp else dns.query.udp
    try:
        response = ask(query, server, timeout=4, port=port)
    except dns.exception.Timeout:
        return ["silence"]
    if response.rcode():
        return [dns.rcode.to_text(response.rcode())]
    return sorted(str(item) for rrset in response.answer for item in rrset)


@contextmanager
def serving(network: NetworkValue, sockets: tuple[socket.socket, socket.socket], directory: Directory,
            resolvers: Callable[[], tuple[str, ...]]) -> Iterator[None]:  # fmt: skip
    """A name server in a thread of its own, as the supervisor runs it."""
    loop = asyncio.new_event_loop()
    server = nameserver.NameServer(*sockets, directory.view, nameserver.Forwarder(resolvers, UPSTREAM))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def upstream(ready: Callable[[], None], address: str) -> None:
    """A resolver that knows everything: 192.0.2.1; 200 of them for names that begin with `many`."""

    def respond(packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        response = dns.message.make_response(query)
        name = query.question[0].name
        found = [f"192.0.2.{n % 250}" for n in range(200 if str(name).startswith("many") else 1)]
        response.answer = [dns.rrset.from_text(name, 60, "IN", "A", *{f"198.51.{i}.1" for i in range(len(found))})]
        return response.to_wire()

    def over_tcp(server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            length = int.from_bytes(connection.recv(2), "big")
            answer = respond(connection.recv(length))
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
            connection.close()

    tcp = socket.create_server((address, UPSTREAM))
    threading.Thread(target=over_tcp, args=(tcp,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, UPSTREAM))
    ready()
    while True:
        packet, client = udp.recvfrom(4096)
        answer = respond(packet)
        if len(answer) > 512:
            short = dns.message.make_response(dns.message.from_wire(packet))
            short.flags |= dns.flags.TC
            answer = short.to_wire()
        udp.sendto(b"\0\0" + answer[2:], client)  # a forged one first
        udp.sendto(answer, client)


@contextmanager
def town(nf_call: int = 0, resolvers: tuple[str, ...] = ()) -> Iterator[tuple[Site, Box, Box, int]]:
    """A network with a name server, a client and two replicas of `web`."""
    bridge_netfilter(nf_call)
    with Site() as site:
        udp, tcp, port = nameserver.bind("10.89.0.1")
        network = site.network(dns_port=port)
        client, replica = site.box(network, 2, serve=False), site.box(network, 3, "s/web", serve=False)
        site.service("s/web", network)
        directory = Directory(site.state)
        with serving(network, (udp, tcp), directory, lambda: resolvers):
            yield site, client, replica, port


@both
def test_a_container_finds_services_by_name_over_udp_and_tcp(host: TestHost, nf_call: int) -> None:
    def scenario() -> None:
        with town(nf_call) as (_, client, _, _):
            for tcp in (False, True):
                ask = lambda *a, tcp=tcp: client.run(lambda: look_up(*a, tcp=tcp))  # noqa: E731
                assert ask("web") == ["10.89.0.254"]
                assert ask("tasks.web") == ["10.89.0.3"]
                assert ask("c0-3") == ["10.89.0.3"]
                assert ask("wbe") == ["NXDOMAIN"]
                assert ask("3.0.89.10.in-addr.arpa", "PTR") == ["c0-3."]

    host.call(scenario)


def test_the_library_of_the_system_finds_names(host: TestHost) -> None:
    """getaddrinfo(3) asks for A and AAAA at once and must not wait for anything."""

    def scenario() -> None:
        with town() as (_, client, _, _):
            assert client.run(_getaddrinfo, "web", "10.89.0.1") == {"10.89.0.254"}

    host.call(scenario)


def _getaddrinfo(name: str, server: str) -> set[str]:
    import ctypes
    import subprocess
    import sys
    import tempfile

    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"nameserver {server}\noptions timeout:1 attempts:1\n")
        file.flush()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x20000) == 0
        assert libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) == 0
        assert libc.mount(file.name.encode(), b"/etc/resolv.conf", None, 0x1000, None) == 0, os.strerror(
            ctypes.get_errno()
        )
        code = f"import socket; print(*{{i[4][0] for i in socket.getaddrinfo('{name}', 80)}})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())


def test_other_names_are_asked_of_the_host_s_resolvers(host: TestHost) -> None:
    """The first one is dead, the second sends a forged answer before the true one."""

    def scenario() -> None:
        helper = Box.__new__(Box)
        helper.name, helper._children, helper.netns = "upstream", [], os.open("/proc/self/ns/net", os.O_RDONLY)
        helper.start(upstream, "127.0.0.1")
        try:
            with town(resolvers=("127.0.0.9", "127.0.0.1")) as (_, client, _, _):
                assert client.run(look_up, "example.com") == ["198.51.0.1"]
                assert len(client.run(lambda: look_up("many.example.com", tcp=True))) == 200
                assert client.run(look_up, "many.example.com") == []  # truncated: the client asks again over TCP
        finally:
            os.kill(helper._children[0], 9)
            os.waitpid(helper._children[0], 0)
            os.close(helper.netns)

    host.call(scenario)


def test_without_resolvers_a_foreign_name_fails_at_once(host: TestHost) -> None:
    def scenario() -> None:
        with town() as (_, client, _, _):
            assert client.run(look_up, "example.com") == ["SERVFAIL"]
            assert client.run(lambda: look_up("example.com", tcp=True)) == ["SERVFAIL"]

    host.call(scenario)


def test_nobody_but_containers_gets_an_answer(host: TestHost) -> None:
    """Neither another machine nor a process of the host itself: the server amplifies nothing."""

    def scenario() -> None:
        with town() as (site, _, _, port):
            other = site.machine(forwarding=True)
            other.sh("ip route add 10.89.0.0/16 via 192.168.77.1")
            assert other.run(_quick, port) == "silence"
            assert _quick(port) == "silence"

    host.call(scenario)


def _quick(port: int) -> str:
    query = dns.message.make_query("web", "A")
    try:
        dns.query.udp(query, "10.89.0.1", timeout=0.7, port=port)
    except dns.exception.Timeout:
        return "silence"
    return "answer"


def test_hostile_packets_do_not_stop_the_server(host: TestHost) -> None:
    """Nor do they push out an honest question: the queue holds more than such a burst."""

    def flood(seed: int) -> None:
        chance = random.Random(seed)
        good = dns.message.make_query("web", "A", use_edns=True).to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            for _ in range(500):
                packet = bytearray(good)
                for _ in range(4):
                    packet[chance.randrange(len(packet))] = chance.choice([0, 0xC0, 0xFF, chance.randrange(256)])
                one.sendto(bytes(packet[: chance.randint(0, len(packet))]), ("10.89.0.1", 53))
        for junk in (b"", b"\0", b"\xff\xff", b"\0\5abc", b"\0\0", b"\0\x0c" + bytes(12)):
            with socket.create_connection(("10.89.0.1", 53), 3) as connection:
                connection.sendall(junk)

    def scenario() -> None:
        with town() as (_, client, _, _):
            client.run(flood, 1)
            assert client.run(look_up, "web") == ["10.89.0.254"]
            assert client.run(lambda: look_up("web", tcp=True)) == ["10.89.0.254"]

    host.call(scenario)


def test_questions_asked_while_nobody_serves_are_answered_later(host: TestHost) -> None:
    """The sockets live on in the descriptor store: what arrives meanwhile waits in their queues."""

    def scenario() -> None:
        with Site() as site:
            udp, tcp, port = nameserver.bind("10.89.0.1")
            network = site.network(dns_port=port)
            client = site.box(network, 2, "s/web", serve=False)
            site.service("s/web", network)
            answers: list[list[str]] = []
            asking = [
                threading.Thread(target=lambda t=t: answers.append(client.run(lambda: look_up("web", tcp=t))))
                for t in (False, True)
            ]
            for thread in asking:
                thread.start()
            directory = Directory(site.state)
            with serving(network, (udp.dup(), tcp.dup()), directory, tuple):  # copies, as the store hands them out
                for thread in asking:
                    thread.join()
            assert answers == [["10.89.0.254"], ["10.89.0.254"]]
            udp.close(), tcp.close()

    host.call(scenario)
