"""Whoever holds a port is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from stackup.errors import Conflict
from stackup.linux import sockets
from stackup.runtime.network import ports


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6) as one:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", 0))
        one.listen()
        yield one


def test_the_holder_of_a_port_is_told_with_its_pid(bound: socket.socket) -> None:
    port = int(bound.getsockname()[1])
    for address in ("127.0.0.1", "0.0.0.0"):
        assert str(sockets.holder(address, port, "tcp")).endswith(f"(pid {os.getpid()})")
    assert sockets.holder("127.0.0.1", port, "udp") is None
    with pytest.raises(Conflict, match=rf"port 127.0.0.1:{port}/tcp is taken by .* \(pid {os.getpid()}\)"):
        ports.reserve("127.0.0.1", port, "tcp")


def test_a_port_of_another_address_is_no_reason() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.listen()
        port = int(other.getsockname()[1])
        assert sockets.holder("127.0.0.1", port, "tcp") is None
        assert sockets.holder("127.0.0.2", port, "tcp") is not None
