"""The supervisor's end of the control socket: asyncio, a connection for each CLI, descriptors beside the frames.

asyncio's streams know no SCM_RIGHTS, so a connection reads its socket itself when the loop says it is ready.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from stackup import events
from stackup.engine import protocol
from stackup.errors import StackupError
from stackup.events import Event
from stackup.oci import Document


class Request:
    """A request being answered. `fds` belong to the handler, which closes them (`take`) or leaves that to us."""

    def __init__(self, connection: Connection, op: str, arguments: Document, fds: list[int]) -> None:
        self._connection = connection
        self.op = op
        self.arguments = arguments
        self.fds = fds

    def report(self, event: Event, /) -> None:
        """A Reporter: the event goes to the CLI that asked."""
        self.send(events.to_plain(event))

    def send(self, event: Document, fds: Sequence[int] = ()) -> None:
        """A message that is no reply; `fds` are sent along and stay ours."""
        self._connection.send({"event": event}, fds)

    @property
    def peer(self) -> int:
        """The process that asked."""
        return self._connection.peer

    @property
    def withdrawn(self) -> asyncio.Event:
        """Set when the CLI went away."""
        return self._connection.closed


_CREDENTIALS = struct.Struct("iII")  # struct ucred, unix(7): pid, uid, gid
_PIECE = 1 << 16  # messages are joined up to this many bytes

Handler = Callable[[Request], Awaitable[Any]]


class Connection:
    def __init__(self, sock: socket.socket, handler: Handler, gone: Callable[[Connection], None]) -> None:
        self._sock = sock
        self._handler = handler
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._decoder = protocol.Decoder()
        self._waiting: deque[tuple[Document, list[int]]] = deque()
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()
        self.asked = False
        self.peer: int = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    @property
    def busy(self) -> bool:
        return self._task is not None

    def _readable(self) -> None:
        try:
            data, fds = protocol.receive(self._sock)
            if not data:
                return self.close()
            self._waiting += self._decoder.feed(data, fds)
        except BlockingIOError:
            return None
        except (OSError, ValueError, StackupError) as error:
            if isinstance(error, StackupError):
                self.send({"error": error.to_plain()})
                self._flush()
            return self.close()
        if self._task is None and self._waiting:
            self._next()
        return None

    def _next(self) -> None:
        self.asked = True
        message, fds = self._waiting.popleft()
        request = Request(self, str(message.get("op")), message.get("args") or {}, fds)
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            self.send({"reply": await self._handler(request)})
        except StackupError as error:
            self.send({"error": error.to_plain()})
        except Exception as error:  # a mistake of ours: the user gets one line, the log the rest
            traceback.print_exc()
            sys.stderr.flush()
            self.send({"error": _internal(request.op, error).to_plain()})
        finally:
            for descriptor in request.fds:
                os.close(descriptor)
            self._task = None
            if self._waiting and not self.closed.is_set():
                self._next()
            elif self.closed.is_set():
                self._gone(self)

    def send(self, message: Document, fds: Sequence[int] = ()) -> None:
        if self.closed.is_set():
            return
        data = protocol.encode(message, len(fds))
        if self._outgoing and not fds and not self._outgoing[-1][1] and len(self._outgoing[-1][0]) < _PIECE:
            self._outgoing[-1] = (self._outgoing[-1][0] + data, [])
            return
        self._outgoing.append((data, [os.dup(f) for f in fds]))
        if len(self._outgoing) == 1:  # at the end of this turn of the loop, with what else is said in it
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        while self._outgoing and not self.closed.is_set():
            data, fds = self._outgoing[0]
            try:
                sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                self.close()
                return
            for descriptor in fds:
                os.close(descriptor)
            if sent < len(data):
                self._outgoing[0] = (data[sent:], [])
            else:
                self._outgoing.popleft()
        if not self.closed.is_set():
            self._loop.remove_writer(self._sock)

    def close(self) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._decoder.close()
        for _data, fds in self._outgoing:
            for descriptor in fds:
                os.close(descriptor)
        self._outgoing.clear()
        if self._task is None:
            self._gone(self)


def _internal(op: str, error: Exception) -> StackupError:
    return StackupError(
        f"a mistake in stackup while it answered {op!r}: {type(error).__name__}: {error}",
        hint="supervisor.log in the root has the details; please report it",
    )


class Server:
    """Accepts on the listening socket; `connections` are the CLIs that are here now."""

    def __init__(self, listener: socket.socket, handler: Handler, idle: Callable[[], None]) -> None:
        self.listener = listener
        self._handler = handler
        self._idle = idle
        self.connections: set[Connection] = set()
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, self.accept)

    def accept(self) -> bool:
        """Take one waiting connection; False where none waits."""
        try:
            sock, _address = self.listener.accept()
        except OSError:
            return False
        self.connections.add(Connection(sock, self._handler, self._left))
        return True

    def _left(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections and connection.asked:  # one that only looked whether somebody listens is nobody
            self._idle()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.listener)
        for connection in list(self.connections):
            connection.close()
        self.listener.close()
