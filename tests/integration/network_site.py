"""What network tests are made of: boxes (a process in a network namespace owned by a user namespace, as a container has
it), machines (a network namespace behind a cable), and a site that holds a Fabric with its state.

All of it lives inside a test host: used by functions that run there through `host.call`.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import subprocess
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from stackup.runtime.network import values
from stackup.runtime.network.fabric import Fabric
from stackup.runtime.network.values import Attachment, Endpoint, NetworkValue, Publish, ServiceAddress, State

T = TypeVar("T")
ROOT_ID = "3fa9c1"
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Box:
    """A network namespace with a process that holds it. `owned`: by a user namespace of its own."""

    def __init__(self, name: str, *, owned: bool = True) -> None:
        self.name = name
        flags = ["-U", "-r", "-n"] if owned else ["-n"]
        self._holder = subprocess.Popen(["unshare", *flags, "--", "sleep", "600"])
        self._children: list[int] = []
        mine = os.readlink("/proc/self/ns/net")
        until = time.monotonic() + 10
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == mine:
            assert time.monotonic() < until, "unshare did not come up"
            time.sleep(0.002)
        self.netns = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY)

    @property
    def pid(self) -> int:
        return self._holder.pid

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(*arguments)` in a forked child inside this namespace."""
        reading, writing = os.pipe()
        child = _fork()
        if child == 0:
            try:
                self._enter()
                answer = pickle.dumps((True, function(*arguments)))
            except BaseException:
                answer = pickle.dumps((False, traceback.format_exc()))
            os.write(writing, answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        good, value = pickle.loads(answer)
        assert good, f"in {self.name}:\n{value}"
        return value  # type: ignore[no-any-return]

    def start(self, function: Callable[..., None], *arguments: Any) -> None:
        """`function(ready, *arguments)` in a child that lives as long as the box; returns when it calls `ready()`."""
        reading, writing = os.pipe()
        child = _fork()
        if child == 0:
            try:
                self._enter()
                function(lambda: os.write(writing, b"."), *arguments)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(writing)
        self._children.append(child)
        assert os.read(reading, 1) == b".", f"{self.name}: the server did not start"
        os.close(reading)

    def _enter(self) -> None:
        assert _libc.setns(self.netns, CLONE_NEWNET) == 0

    def sh(self, script: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", "sh", "-ec", script], capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def serve(self, port: int = 80) -> None:
        """Answer TCP and UDP on a port with `<name> <client's address>`."""
        self.start(tcp_server, self.name, port)
        self.start(udp_server, self.name, port)

    def close(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(self.netns)
        self._holder.kill()
        self._holder.wait()


def _fork() -> int:
    """The threads of a test wait in select meanwhile and hold nothing; Python 3.12 warns of them all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def tcp_server(ready: Callable[[], None], name: str, port: int) -> None:
    with socket.create_server(("", port)) as server:
        ready()
        while True:
            connection, client = server.accept()
            connection.sendall(f"{name} {client[0]}".encode())
            connection.close()


def udp_server(ready: Callable[[], None], name: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", port))
        ready()
        while True:
            _, client = server.recvfrom(2048)
            server.sendto(f"{name} {client[0]}".encode(), client)


def ask_tcp(address: str, port: int = 80, wait: float = 3) -> str:
    """What the server there says, or "refused", "unreachable", "silence"."""
    try:
        with socket.create_connection((address, port), wait) as connection:
            return connection.recv(200).decode()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"
    except OSError:
        return "unreachable"


def ask_udp(address: str, port: int = 80, wait: float = 3) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(wait)
        try:
            one.connect((address, port))
            one.send(b"?")
            return one.recv(200).decode()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
        except OSError:
            return "unreachable"


class Site:
    """A root's network in the making: `with Site() as site`."""

    def __init__(self) -> None:
        self.fabric = Fabric(ROOT_ID)
        self.state = State()
        self.boxes: list[Box] = []

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        for box in self.boxes:
            box.close()
        self.fabric.clear()

    def apply(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self.fabric.apply(self.state)

    def network(self, number: int = 0, *, internal: bool = False, dns_port: int = 0) -> NetworkValue:
        one = NetworkValue(
            name=f"net{number}", number=number, subnet=f"10.89.{number}.0/24", internal=internal, dns_port=dns_port
        )
        self.apply(networks=(*self.state.networks, one))
        self.fabric.create(one)
        return one

    def box(self, network: NetworkValue, host_part: int, service: str | None = None, *, serve: bool = True) -> Box:
        """A container on a network, answering on port 80."""
        box = self.box_on([(network, host_part)], service)
        if serve:
            box.serve()
        return box

    def box_on(self, places: list[tuple[NetworkValue, int]], service: str | None = None) -> Box:
        """A container on several networks; it is named after the first."""
        name = f"c{places[0][0].number}-{places[0][1]}"
        box = Box(name)
        self.boxes.append(box)
        attachments = tuple(
            Attachment(network=network, address=network.subnet.replace(".0/24", f".{part}"), position=position)
            for position, (network, part) in enumerate(places)
        )
        endpoints = (
            Endpoint(container=name, network=a.network.name, address=a.address, service=service, names=(name,))
            for a in attachments
        )
        self.apply(endpoints=(*self.state.endpoints, *endpoints))
        self.fabric.attach(box.netns, attachments)
        return box

    def service(self, service: str, network: NetworkValue, host_part: int = 254) -> str:
        address = network.subnet.replace(".0/24", f".{host_part}")
        one = ServiceAddress(service=service, network=network.name, address=address)
        self.apply(services=(*self.state.services, one))
        return address

    def publish(self, service: str, network: NetworkValue, port: int, host_ip: str = "127.0.0.1") -> None:
        both = tuple(
            Publish(service=service, network=network.name, target=80, port=port, protocol=p, host_ip=host_ip)
            for p in values.PROTOCOLS
        )
        self.apply(publishes=(*self.state.publishes, *both))

    def machine(self, *, forwarding: bool) -> Box:
        """Another machine, 192.168.77.2, behind a cable to this host, 192.168.77.1."""
        box = Box("machine", owned=False)
        self.boxes.append(box)
        script = (
            f"ip link add cable type veth peer name eth0 netns {box.pid}; ip addr add 192.168.77.1/24 dev cable; "
            f"ip link set cable up; echo {int(forwarding)} > /proc/sys/net/ipv4/conf/cable/forwarding"
        )
        subprocess.run(["sh", "-ec", script], check=True)
        box.sh("ip link set lo up; ip addr add 192.168.77.2/24 dev eth0; ip link set eth0 up")
        box.serve()
        return box


def bridge_netfilter(value: int) -> None:
    """In the test host's namespace only."""
    try:
        with open("/proc/sys/net/bridge/bridge-nf-call-iptables", "w") as file:
            file.write(str(value))
    except FileNotFoundError:
        assert value == 0, "br_netfilter is not there: bridge-nf-call-iptables cannot be 1"
