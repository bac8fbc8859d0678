"""The CLI's end of the control socket: blocking, lean imports. See protocol.py for the frames."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stackup import errors, events
from stackup.engine import identity, protocol
from stackup.errors import StackupError
from stackup.events import Reporter
from stackup.oci import Document
from stackup.paths import Host

_PATIENCE = 30.0  # seconds until a supervisor that does not say hello counts as broken


class Lost(StackupError):
    """The supervisor went away while we waited for it."""


class Client:
    """A connection that has said hello. `server`: the supervisor's answer ({"pid", "spawner", "stackup"})."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._decoder = protocol.Decoder()
        self._ready: list[tuple[Document, list[int]]] = []
        self.server: Document = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._decoder.close()

    def request(
        self, op: str, *, fds: Sequence[int] = (), report: Reporter = events.ignore,
        other: Callable[[Document, list[int]], None] | None = None, **arguments: Any,
    ) -> Document:  # fmt: skip
        """Send a request and return its reply; events go to `report`, messages of another kind to `other`.

        Raises the supervisor's error, Lost where it went away.
        """
        data = protocol.encode({"op": op, "args": arguments}, len(fds))
        try:
            if fds:
                data = data[socket.send_fds(self._sock, [data], list(fds)) :]
            self._sock.sendall(data)
        except ConnectionError:
            pass  # reading says why, or that it is gone
        while True:
            message, received = self._next()
            if "reply" in message:
                return message["reply"]  # type: ignore[no-any-return]
            if "error" in message:
                raise errors.from_plain(message["error"])
            event = message.get("event") or {}
            if other is not None and not _is_event(event):
                other(event, received)
            elif _is_event(event):
                report(events.from_plain(event))

    def _next(self) -> tuple[Document, list[int]]:
        while not self._ready:
            try:
                data, fds = protocol.receive(self._sock)
            except ConnectionError:
                data, fds = b"", []
            if not data:
                raise Lost(
                    "the supervisor ended before it answered", hint="run the command again: it goes on from there"
                )
            self._ready += self._decoder.feed(data, fds)
        return self._ready.pop(0)


_EVENT_KINDS = frozenset(("started", "output", "done", "failed", "skipped", "warned"))


def _is_event(event: Document) -> bool:
    return event.get("kind") in _EVENT_KINDS


def connect(host: Host) -> Client | None:
    """A connection to the running supervisor, or None where none runs.

    Raises Conflict where the pair works in other namespaces than we do (see identity.py).
    """
    identity.check(host)
    try:
        sock = protocol.connect(host.run)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    return _hello(host, sock)


def ensure(host: Host) -> Client:
    """A connection to the supervisor, started where none runs."""
    from stackup.runtime import spawning

    for _attempt in range(5):
        try:
            if client := connect(host):
                return client
        except Lost:
            pass  # it was just ending after its last stack; another one is started
        spawning.start_pair(host)
    raise StackupError("the supervisor does not stay up", hint=_log_hint(host))


def _hello(host: Host, sock: socket.socket) -> Client:
    client = Client(sock)
    sock.settimeout(_PATIENCE)
    try:
        client.server = client.request("hello", stackup=identity.version())
    except TimeoutError:
        client.close()
        raise StackupError("the supervisor does not answer", hint=_log_hint(host)) from None
    except BaseException:
        client.close()
        raise
    sock.settimeout(None)
    return client


def _log_hint(host: Host) -> str:
    """The last line that the supervisor had to say, and where the rest is."""
    path = host.path("supervisor.log")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            last = file.read()[-4000:].strip().splitlines()[-1:]
    except OSError:
        last = []
    return f"its messages are in {path}" + (f": {last[0]}" if last else "")


def wait_process(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that is not our child. True: it ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


def wait_end(host: Host, client: Client) -> None:
    """After the last stack went down: wait until spawner and supervisor are gone, so that nothing is left then."""
    from stackup.engine import records

    state = records.read(host)
    with state if state else _nothing():
        if state and state.stacks():
            return
    for name in ("pid", "spawner"):
        wait_process(int(client.server[name]), 5)
