"""What the spawner knows of its children: a table of containers and execs, their descriptors and their ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stackup.errors import Conflict, KernelError, NotFound, StackupError
from stackup.oci import Document
from stackup.runtime.channel import Channel, Message, close_all
from stackup.runtime.container import Child, Exit

Fds = dict[str, int]


@dataclass(slots=True, eq=False)
class Entry:
    """A container or an exec. `fds` are ours to close. `child`, `request`, `asker`, `op`: who is answered, on which
    channel, when it speaks.

    state: made (on its way), created, running, exited.
    """

    kind: str
    id: str
    pid: int
    start_time: int
    fds: Fds
    container: str = ""
    state: str = "made"
    adopted: bool = False
    child: Child | None = None
    request: object = None
    asker: Channel | None = None
    op: str = ""
    exit: Exit | None = None
    ended_at: float = 0.0

    def event(self) -> Message:
        about: Message = {"container": self.id} if self.kind == "container" else {"exec": self.id}
        if self.kind == "exec":
            about["container"] = self.container
        return {"event": self.kind, **about, "pid": self.pid, "start_time": self.start_time, "state": self.state}

    def exit_event(self) -> Message:
        assert self.exit is not None
        return {
            "event": "exited", self.kind: self.id, "pid": self.pid, "code": self.exit.code,
            "signal": self.exit.signal, "time": self.ended_at,
        }  # fmt: skip


class Table:
    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self.own: dict[int, Entry] = {}  # by pid: children that we reap
        self.ended: list[Entry] = []  # in order, not told yet

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def must_be_new(self, kind: str, name: str) -> None:
        if (kind, name) in self._entries:
            raise Conflict(f"there is a {kind} {name} already", hint="forget it first")

    def add(self, entry: Entry) -> None:
        self._entries[entry.kind, entry.id] = entry
        if not entry.adopted:
            self.own[entry.pid] = entry

    def find(self, kind: str, name: str) -> Entry:
        entry = self._entries.get((kind, name))
        if entry is None:
            raise NotFound(f"no {kind} {name}")
        return entry

    def named(self, message: Message) -> Entry:
        kind = "exec" if "exec" in message else "container"
        return self.find(kind, str(message[kind]))

    def running(self, kind: str, name: str) -> Entry:
        entry = self.find(kind, name)
        if entry.state != "running":
            raise Conflict(f"{kind} {name} is {entry.state}, not running")
        return entry

    def joined(self, wanted: Mapping[str, str]) -> Fds:
        """{"net": a container} -> {"net": its pidfd}, with which setns(2) joins any of its namespaces."""
        return {namespace: self.running("container", name).fds["pidfd"] for namespace, name in wanted.items()}

    def end(self, entry: Entry, ended: Exit) -> None:
        self.own.pop(entry.pid, None)
        entry.state, entry.exit, entry.ended_at = "exited", ended, time.time()
        self.ended.append(entry)

    def remove(self, entry: Entry) -> None:
        del self._entries[entry.kind, entry.id]
        self.own.pop(entry.pid, None)
        if entry in self.ended:
            self.ended.remove(entry)
        close_all(entry.fds)


def read_bundle(message: Message) -> tuple[Document, str]:
    """The spec, and the folder that its relative paths mean."""
    if "spec" in message:
        return message["spec"], "/"
    folder = str(message["bundle"])
    path = os.path.join(folder, "config.json")
    try:
        with open(path, "rb") as file:
            spec: Document = json.loads(file.read())
    except OSError as error:
        raise KernelError.of(f"read {path}", error) from error
    except ValueError as error:
        raise StackupError(f"{path} is damaged: {error}") from error
    return spec, folder
