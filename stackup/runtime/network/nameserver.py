"""The name server of a network: asyncio over sockets that are already bound, and that outlive this process.

The firewall sends gateway:53 to its high port (see `firewall`, map `dns`). Only containers get answers: a stranger's
packet, whatever address it was sent to, meets silence, so the server amplifies nothing for anybody outside. Names that
are not ours go to the host's resolvers, over TCP where they came over TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import cast

from stackup.errors import KernelError
from stackup.runtime.network import dns
from stackup.runtime.network.names import View

_IP_FREEBIND = 15
_SO_RCVBUFFORCE = 33
_QUEUE = 1 << 20  # bytes of questions that wait, also while nobody serves: over a thousand, the usual 208 KiB hold 277
_WAIT = 2.0  # seconds for one resolver
_TRIES = 2
_FORWARDS = 256  # at once; more are answered SERVFAIL
_CONNECTIONS = 64  # at once, of one network
_IDLE = 10.0  # seconds without a question on a connection


def bind(gateway: str) -> tuple[socket.socket, socket.socket, int]:
    """(udp, tcp, port): bound to the same high port of a gateway, the tcp one listening. The bridge may come later.

    Raises KernelError.
    """
    for _ in range(16):
        tcp = _bound(gateway, 0, socket.SOCK_STREAM)
        port = int(tcp.getsockname()[1])
        try:
            udp = _bound(gateway, port, socket.SOCK_DGRAM)
        except KernelError:
            tcp.close()
            continue
        tcp.listen(128)
        return udp, tcp, port
    raise KernelError(f"bind a name server to {gateway}: no port is free for both udp and tcp")


def _bound(gateway: str, port: int, kind: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        one.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if kind == socket.SOCK_DGRAM:
            one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE)
        one.bind((gateway, port))
    except OSError as error:
        one.close()
        raise KernelError.of(f"bind a name server to {gateway}", error) from error
    return one


def host_resolvers(path: str = "/etc/resolv.conf") -> tuple[str, ...]:
    """The addresses that the host asks, as resolv.conf(5) has them; none where there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            words = [line.split() for line in file]
    except OSError:
        return ()
    return tuple(w[1].partition("%")[0] for w in words if len(w) > 1 and w[0] == "nameserver")[:3]


class Forwarder:
    """Asks the host's resolvers, one after the other. `resolvers` is called for each question (it may change).

    `port` is 53 but in tests.
    """

    def __init__(self, resolvers: Callable[[], tuple[str, ...]] | None = None, port: int = 53) -> None:
        self._resolvers = resolvers or _FreshResolvers()
        self._port = port
        self._asking = 0

    async def ask(self, question: bytes, *, tcp: bool = False) -> bytes:
        """The response of the first resolver that gives one; SERVFAIL where none does."""
        if self._asking >= _FORWARDS:
            return dns.failure(question)
        self._asking += 1
        try:
            for resolver in self._resolvers() * _TRIES:
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    once = self._over_tcp if tcp else self._over_udp
                    async with asyncio.timeout(_WAIT):
                        return await once(resolver, question)
            return dns.failure(question)
        finally:
            self._asking -= 1

    async def _over_udp(self, resolver: str, question: bytes) -> bytes:
        # An id and a port of its own for each question, so that an answer is hard to forge.
        own = os.urandom(2) + question[2:]
        loop = asyncio.get_running_loop()
        response: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Asking(own, response), remote_addr=(resolver, self._port)
        )
        try:
            transport.sendto(own)
            return question[:2] + (await response)[2:]
        finally:
            transport.close()

    async def _over_tcp(self, resolver: str, question: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(resolver, self._port)
        try:
            writer.write(struct.pack("!H", len(question)) + question)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            response = await reader.readexactly(length)
            if not _answers(question, response):
                raise OSError("the resolver answered something else")
            return response
        finally:
            writer.close()


class _FreshResolvers:
    """The host's resolvers, read again when the file changed."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._known: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        try:
            info = os.stat(self._path)
        except OSError:
            return ()
        stamp = (info.st_mtime_ns, info.st_ino)
        if stamp != self._stamp:
            self._stamp, self._known = stamp, host_resolvers(self._path)
        return self._known


def _answers(question: bytes, response: bytes) -> bool:
    """Whether a packet is a response to this very query: id, QR, one question, and the same one (any case)."""
    if len(response) < 12 or response[:2] != question[:2] or not response[2] & 0x80:
        return False
    if response[4:6] == b"\0\0":
        return response[3] & 0xF != 0  # some resolvers leave the question out of a failure
    return dns.question_of(response).lower() == dns.question_of(question).lower()


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, question: bytes, response: asyncio.Future[bytes]) -> None:
        self._question = question
        self._response = response

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self._response.done() and _answers(self._question, data):
            self._response.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._response.done():
            self._response.set_exception(exc)


class NameServer:
    """Serves one network. `udp`, `tcp`: sockets of `bind`, or such that were kept elsewhere; they are closed by
    `close` (a copy in the descriptor store lives on). `view`: `Directory.view`."""

    def __init__(
        self, udp: socket.socket, tcp: socket.socket, view: Callable[[str], View | None], forwarder: Forwarder
    ) -> None:
        self._udp, self._tcp = udp, tcp
        self._view = view
        self._forwarder = forwarder
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp.setblocking(False)
        self._tcp.setblocking(False)
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=self._udp)
        self._transport = transport
        self._server = await asyncio.start_server(self._connected, sock=self._tcp)

    async def close(self) -> None:
        """Stop answering. Questions that are under way get no answer."""
        if self._transport:
            self._transport.close()
        if self._server:
            self._server.close()
        under_way = [*self._tasks, *self._connections]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def received(self, packet: bytes, client: tuple[str, int]) -> None:
        """A datagram of a client."""
        view = self._view(client[0])
        if view is None:
            return
        response = dns.answer(packet, view)
        if response is None:
            if len(self._tasks) < _FORWARDS:
                _keep(self._tasks, asyncio.ensure_future(self._forward(packet, client)))
        elif response:
            self._send(response, client)

    async def _forward(self, packet: bytes, client: tuple[str, int]) -> None:
        response = await self._forwarder.ask(packet)
        self._send(response if len(response) <= dns.limit(packet) else dns.truncated(packet), client)

    def _send(self, response: bytes, client: tuple[str, int]) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.sendto(response, client)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            _keep(self._connections, task)
        try:
            client = writer.get_extra_info("peername")
            if client and self._view(client[0]) is not None and len(self._connections) <= _CONNECTIONS:
                await self._converse(reader, writer, client[0])
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str) -> None:
        while True:
            async with asyncio.timeout(_IDLE):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                packet = await reader.readexactly(length)
            view = self._view(client)
            if view is None:
                return
            response = dns.answer(packet, view, tcp=True)
            if response is None:
                response = await self._forwarder.ask(packet, tcp=True)
            if not response:
                return
            writer.write(struct.pack("!H", len(response)) + response)
            async with asyncio.timeout(_IDLE):
                await writer.drain()


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """The loop itself holds tasks weakly."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self._server.received(data, cast(tuple[str, int], addr))
