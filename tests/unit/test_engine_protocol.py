"""The control socket, both ends: frames, descriptors, events, errors, a client that goes away."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackup import events
from stackup.engine import protocol
from stackup.engine.client import Client
from stackup.engine.server import Request, Server
from stackup.errors import Conflict, NotFound, StackupError
from stackup.events import Done, Event


def test_a_frame_comes_out_whole_however_it_was_cut() -> None:
    data = protocol.encode({"op": "a", "args": {"x": "é" * 100}}) + protocol.encode({"op": "b"})
    decoder = protocol.Decoder()
    found = [m["op"] for i in range(len(data)) for m, _ in decoder.feed(data[i : i + 1])]
    assert found == ["a", "b"]


def test_descriptors_belong_to_the_message_that_counts_them() -> None:
    decoder = protocol.Decoder()
    data = protocol.encode({"op": "a"}) + protocol.encode({"op": "b"}, fds=2) + protocol.encode({"op": "c"}, fds=1)
    assert [fds for _, fds in decoder.feed(data, [7, 8, 9])] == [[], [7, 8], [9]]


def test_another_version_is_refused_with_both_numbers() -> None:
    data = protocol.encode({"op": "a"}).replace(b'"v":1', b'"v":2')
    with pytest.raises(Conflict, match=r"version 2 .* this one 1"):
        list(protocol.Decoder().feed(data))


def test_a_monstrous_frame_is_refused() -> None:
    with pytest.raises(StackupError, match="refused"):
        list(protocol.Decoder().feed(b"\xff\xff\xff\xff"))


def _serve(handler: Callable[[Request], Any], use: Callable[[Client], None]) -> None:
    """Run `use` against a server in this thread's loop."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    name = f"\0stackup-test-{os.getpid()}-{os.urandom(4).hex()}"
    listener.bind(name)
    listener.listen()
    failures: list[BaseException] = []

    def client() -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.connect(name)
                use(Client(sock))
        except BaseException as error:
            failures.append(error)

    async def serve() -> None:
        idle = asyncio.Event()
        server = Server(listener, handler, idle.set)
        thread = threading.Thread(target=client)
        thread.start()
        await asyncio.wait_for(idle.wait(), 20)
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        server.close()

    asyncio.run(serve())
    if failures:
        raise failures[0]


def test_events_come_before_the_reply() -> None:
    seen: list[Event] = []

    async def handler(request: Request) -> Any:
        for number in range(100):
            request.report(Done(f"service:{number}", "x" * 5000))
        return {"op": request.op, **request.arguments}

    def use(client: Client) -> None:
        assert client.request("hey", report=seen.append, x=1) == {"op": "hey", "x": 1}
        assert client.request("ho") == {"op": "ho"}

    _serve(handler, use)
    assert len(seen) == 100
    assert seen[-1] == Done("service:99", "x" * 5000)


def test_an_error_arrives_as_the_error_it_was() -> None:
    async def handler(request: Request) -> Any:
        raise NotFound("no such thing", hint="make one")

    def use(client: Client) -> None:
        with pytest.raises(NotFound, match="no such thing") as caught:
            client.request("x")
        assert caught.value.hint == "make one"

    _serve(handler, use)


def test_descriptors_travel_both_ways() -> None:
    async def handler(request: Request) -> Any:
        os.write(request.fds[0], b"from the server")
        reading, writing = os.pipe()
        os.write(writing, b"back")
        request.send({"kind": "pipe"}, [reading])
        os.close(reading)
        os.close(writing)
        return {}

    def use(client: Client) -> None:
        reading, writing = os.pipe()
        got: list[bytes] = []

        def other(event: dict[str, Any], fds: list[int]) -> None:
            got.append(os.read(fds[0], 100))
            os.close(fds[0])

        client.request("x", fds=[writing], other=other, report=events.ignore)
        os.close(writing)
        assert os.read(reading, 100) == b"from the server"
        assert os.read(reading, 100) == b""  # no copy of it stayed open
        os.close(reading)
        assert got == [b"back"]

    _serve(handler, use)


def test_a_client_that_goes_away_withdraws_its_request() -> None:
    withdrawn = threading.Event()

    async def handler(request: Request) -> Any:
        request.send({"kind": "begun"})
        await asyncio.wait_for(request.withdrawn.wait(), 10)
        withdrawn.set()
        return {}

    class Gone(Exception):
        pass

    def other(event: dict[str, Any], fds: list[int]) -> None:
        raise Gone

    def use(client: Client) -> None:
        with pytest.raises(Gone):
            client.request("x", other=other)
        client.close()

    _serve(handler, use)
    assert withdrawn.is_set()
