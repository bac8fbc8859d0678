"""The spawner's protocol: its messages (version 1, frozen: fields are only ever added) and the channel they travel on.

Both ends hold one end of a unix SOCK_SEQPACKET pair. A packet is one JSON object (UTF-8, at most MAX_PACKET bytes) and
up to 250 descriptors. **Descriptors have names**: the message's `fds` lists them in the order in which SCM_RIGHTS
carries them; `Channel.send(message, {"pidfd": 7})` and `Channel.receive() -> (message, {"pidfd": 12})` hide the list.
Who receives a descriptor owns it and closes it. All of them arrive close-on-exec.

Shapes
  request  {"v": 1, "id": n, "op": OP, ...}                       n: chosen by the asker, unique among the open ones
  reply    {"v": 1, "re": n, "ok": true, ...}
           {"v": 1, "re": n, "ok": false, "error": StackupError.to_plain(), "exit": 125 | 126 | 127}
           `exit` is what a shell would say: 127 program not found, 126 not executable, 125 everything else
  event    {"v": 1, "event": EVENT, ...}                          spawner -> supervisor, unasked
Replies come in any order; a `create` that waits for its child does not hold up the next request.

Requests
  hello   {}  -> {"pid": spawner's, "private": bool, "foreground": bool, "supervisor_starts": n,
                  "sealed": runs from a sealed copy of the interpreter}
          and then, as events: every `container`, every `exec`, every `stored`, every kept `exited`, and `hello_end`.
  create  {"container": ID, "bundle": FOLDER with config.json | "spec": OCI runtime spec, "rootfs": [Mount.to_json()],
           "stdout": FIFO path?, "stderr": FIFO path?, "cgroup": CGROUP?, "join": {"net": ID of a container, ...}?}
          fds, all optional: stdin, stdout, stderr (instead of the FIFO paths; what is not given is /dev/null)
          A FIFO that is not there is made (0666). It is opened for reading and writing for the container, and read-only
          (non-blocking) for the pump. `process.terminal: true` in the spec makes a pty instead of all three.
          -> {"pid": n, "start_time": clock ticks, field 22 of /proc/PID/stat}
             fds: pidfd, user, net, ipc (those namespaces that are its own), stdout, stderr (read ends of the FIFOs),
                  terminal (pty master)
          The child is ready and waits for `start`. Until then it dies with the spawner.
  start   {"container": ID} -> {}     once its exec succeeded; a failed one is the error (NotFound, KernelError), and
          the container is gone as if it never was: no `exited` event, nothing to forget
  run     create and start in one: the same fields, the same reply (a step of a build)
  exec    {"exec": ID, "container": ID, "process": OCI process, "user": "name|uid[:group]"?, "cgroup": CGROUP?,
           "seccomp": "default" | "unconfined"?}
          fds: stdin, stdout, stderr (what is not given is /dev/null); `process.terminal: true` makes a pty instead
          -> {"pid": n, "start_time": ticks}    fds: pidfd, terminal (pty master)
          `user` (else process.user) is looked up in the container's passwd. The exec is leader of its own session.
  kill    {"container": ID | "exec": ID, "signal": n, "group": bool?} -> {}
          `group`: the whole process group (the whole of an exec); NotFound where it has ended
  forget  {"container": ID | "exec": ID} -> {}      drops its exit and its descriptors; Conflict while it runs
  store   {"key": TEXT, "value": JSON} + any fds -> {}   replaces what is there under this key
  drop    {"key": TEXT} -> {}
  adopt   {"container": ID, "pid": n, "start_time": n} + fds as `create` answered them -> {}
          also {"exec": ID, "container": ID, ...}. For processes that are not the spawner's children: their exit is
          read with PIDFD_GET_INFO (Linux 6.15), else reported with neither code nor signal.
  shutdown {} -> {}  the spawner takes run/start.lock, removes run/control.sock, replies and ends. Conflict (and all
          stays as it is) while a container exists, a connection waits on the stored `control` socket, or a start
          holds the lock.

  CGROUP  {"tasks": [path of each v1 `tasks` file]} | {"directory": path of the v2 group}

Events
  container {"container": ID, "pid", "start_time", "state": "created" | "running" | "exited"} + fds as in `create`
            after `hello`; later only for one that a supervisor asked for that died before it was answered
  exec      {"exec": ID, "container": ID, "pid", "start_time", "state"} + fds as in `exec`
  stored    {"key", "value"} + its fds
  exited    {"container": ID | "exec": ID, "pid", "code": n | null, "signal": n | null, "time": unix seconds}
            code where it exited, signal where one killed it, both null where nobody can know
            kept, and sent again at every hello, until forgotten
  hello_end {}

The spawner starts the supervisor as `python -m stackup.engine.supervisor --channel FD --root PATH`; descriptors it
stored for it come with `hello`. The listening control socket is stored under the key `control` (fd name `socket`)
before the first supervisor starts. One that has died 5 times in a minute is started again after that minute, or, where
no container lives, not at all: then the spawner removes run/control.sock and ends, which resets waiting connections.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any

from stackup.errors import StackupError

VERSION = 1
MAX_PACKET = 160 * 1024  # below the default SO_SNDBUF, which bounds a SOCK_SEQPACKET message
MAX_DESCRIPTORS = 250  # SCM_MAX_FD is 253

Message = dict[str, Any]


def pair() -> tuple[Channel, Channel]:
    """Two connected channels; both descriptors are close-on-exec."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)


class Channel:
    """One end. Not thread-safe: one sender and one receiver at a time (they may be different threads)."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waiting: deque[tuple[bytes, list[int]]] = deque()

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Channel:
        """Take over an inherited descriptor."""
        os.set_inheritable(descriptor, False)
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        while self._waiting:
            close_all(self._waiting.popleft()[1])

    def hung_up(self) -> bool:
        """Whether the peer is gone."""
        poll = select.poll()
        poll.register(self._socket, select.POLLHUP)
        return bool(poll.poll(0))

    def send(self, message: Message, fds: Mapping[str, int] | None = None) -> None:
        """Send and wait until it is in the peer's queue. BrokenPipeError or ConnectionResetError: the peer is gone."""
        data, descriptors = _encode(message, fds)
        self._socket.setblocking(True)
        self._send(data, descriptors)

    def post(self, message: Message, fds: Mapping[str, int] | None = None) -> None:
        """Send without ever waiting: what does not fit is kept (descriptors duplicated) until `flush`."""
        data, descriptors = _encode(message, fds)
        if self._waiting or not self._try_send(data, descriptors):
            self._waiting.append((data, [os.dup(d) for d in descriptors]))

    def flush(self) -> bool:
        """Send what `post` kept, as far as it goes; True when nothing is left."""
        while self._waiting:
            data, descriptors = self._waiting[0]
            if not self._try_send(data, descriptors):
                return False
            self._waiting.popleft()
            close_all(descriptors)
        return True

    @property
    def behind(self) -> bool:
        """Whether posted messages wait: then poll for writing and `flush`."""
        return bool(self._waiting)

    def _try_send(self, data: bytes, descriptors: list[int]) -> bool:
        self._socket.setblocking(False)
        try:
            self._send(data, descriptors)
        except BlockingIOError:
            return False
        return True

    def _send(self, data: bytes, descriptors: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        self._socket.sendmsg([data], rights if descriptors else [], socket.MSG_NOSIGNAL)

    def receive(self, timeout: float | None = None) -> tuple[Message, dict[str, int]] | None:
        """Wait for the next message; None when the peer is gone. TimeoutError after `timeout` seconds."""
        self._socket.settimeout(timeout)
        return self._receive()

    def try_receive(self) -> tuple[Message, dict[str, int]] | None:
        """The next message if one is there: BlockingIOError if not, None when the peer is gone."""
        self._socket.setblocking(False)
        return self._receive()

    def _receive(self) -> tuple[Message, dict[str, int]] | None:
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(MAX_PACKET, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        descriptors: list[int] = []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors += struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4])
        if not data:
            return None
        return _decode(data, descriptors, flags)


def _encode(message: Message, fds: Mapping[str, int] | None) -> tuple[bytes, list[int]]:
    if fds:
        message = {**message, "fds": list(fds)}
    data = json.dumps({"v": VERSION, **message}, separators=(",", ":")).encode()
    if len(data) > MAX_PACKET:
        raise StackupError(f"a message of {len(data)} bytes is too long for the spawner's channel ({MAX_PACKET})")
    if fds and len(fds) > MAX_DESCRIPTORS:
        raise StackupError(f"{len(fds)} descriptors are too many for one message ({MAX_DESCRIPTORS})")
    return data, list(fds.values()) if fds else []


def _decode(data: bytes, descriptors: list[int], flags: int) -> tuple[Message, dict[str, int]]:
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("cut short")
        message = json.loads(data)
        names = message.pop("fds", [])
        if len(names) != len(descriptors):
            raise ValueError(f"{len(names)} names for {len(descriptors)} descriptors")
        if message.get("v") != VERSION:
            raise ValueError(f"version {message.get('v')} instead of {VERSION}")
    except (ValueError, AttributeError) as error:
        close_all(descriptors)
        raise StackupError(f"the spawner's channel carried a message it should not: {error}") from error
    return message, dict(zip(names, descriptors, strict=True))


def close_all(descriptors: Mapping[str, int] | list[int]) -> None:
    """Close descriptors, forgiving those that are closed already."""
    for descriptor in descriptors.values() if isinstance(descriptors, Mapping) else descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
