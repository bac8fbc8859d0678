"""CLI <-> supervisor: frames on a unix stream socket (`run/control.sock`), the same at both ends.

A frame is a 4-byte big-endian length and a JSON object; every object carries `"v": 1`. Descriptors travel beside a
frame by SCM_RIGHTS; the frame says how many are its own (`"fds": n`), because the kernel may hand them over with bytes
of the frame before.

One request at a time on a connection:
    -> {"v":1, "op":"hello", "args":{"stackup":"0.1.0", "identity":{...}}}
    <- {"v":1, "reply":{"stackup":"0.1.0", "pid":123}}
    -> {"v":1, "op":"up", "args":{...}}
    <- {"v":1, "event":{...}}            any number; `events.to_plain`, or a message of that request (`kind` tells)
    <- {"v":1, "reply":{...}}            or {"v":1, "error": StackupError.to_plain()}
A client that closes its connection withdraws the request: what runs is let run to its end, nothing new is begun.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from stackup.errors import Conflict, StackupError
from stackup.oci import Document

VERSION = 1
MAX_FRAME = 64 << 20
MAX_FDS = 16
_HEAD = struct.Struct("!I")


def encode(message: Document, fds: int = 0) -> bytes:
    """The bytes of one frame; `fds` descriptors are sent beside it."""
    value = {"v": VERSION, **message}
    if fds:
        value["fds"] = fds
    body = json.dumps(value, separators=(",", ":")).encode()
    return _HEAD.pack(len(body)) + body


class Decoder:
    """Bytes and descriptors in, whole messages out. Descriptors of a broken connection are closed by `close`."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._fds: list[int] = []

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> Iterator[tuple[Document, list[int]]]:
        """Messages that became whole with this data, each with its descriptors (the taker closes them)."""
        self._bytes += data
        self._fds += fds
        while len(self._bytes) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._bytes)
            if size > MAX_FRAME:
                raise StackupError(f"a frame of {size} bytes on the control socket is refused")
            if len(self._bytes) < _HEAD.size + size:
                return
            message = json.loads(bytes(self._bytes[_HEAD.size : _HEAD.size + size]))
            del self._bytes[: _HEAD.size + size]
            if message.get("v") != VERSION:
                raise Conflict(
                    f"the other side speaks version {message.get('v')} of the control protocol, this one {VERSION}",
                    hint="both must be the same stackup; `stackup down` with the older one first",
                )
            count = int(message.get("fds", 0))
            mine, self._fds = self._fds[:count], self._fds[count:]
            yield message, mine

    def close(self) -> None:
        for descriptor in self._fds:
            os.close(descriptor)
        self._fds = []


def receive(sock: socket.socket, size: int = 1 << 16) -> tuple[bytes, list[int]]:
    """recvmsg(2): bytes (b"" at the end of the connection) and descriptors, all of them close-on-exec."""
    space = socket.CMSG_SPACE(MAX_FDS * 4)
    data, ancillary, _flags, _address = sock.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
            fds += numbers
    return data, fds


def connect(run: str) -> socket.socket:
    """A connection to `control.sock` in folder `run`, through a directory descriptor: a socket's path has 108 bytes.

    Raises OSError (FileNotFoundError, ConnectionRefusedError) where nobody listens.
    """
    folder = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(f"/proc/self/fd/{folder}/control.sock")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock
