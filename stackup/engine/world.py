"""What the supervisor's parts share: the root, its records, the doors to spawner, control groups and network."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from stackup.classes import dataclass
from stackup.engine.children import Children, Fds
from stackup.engine.output import Output
from stackup.engine.pictures import Pictures
from stackup.engine.records import ContainerRecord, Records
from stackup.paths import Host
from stackup.runtime.cgroups.driver import Driver, Group
from stackup.runtime.channel import close_all

if TYPE_CHECKING:
    from stackup.engine.execs import Execution
    from stackup.engine.networks import Networks

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended: its code, or the signal that ended it; both None: unknown. `time`: unix seconds."""

    code: int | None
    signal: int | None
    time: float


@dataclass(slots=True)
class Live:
    """A container whose process exists. `fds`: its pidfd and namespaces, ours to close. `ended` gives its End."""

    id: str
    pid: int
    start_time: int
    fds: Fds
    group: Group
    ended: asyncio.Future[End]
    dropped: bool = False  # its start failed: its end is no end of a container

    @property
    def pidfd(self) -> int:
        return self.fds["pidfd"]

    def close(self) -> None:
        close_all(self.fds)
        self.fds = {}


@dataclass(slots=True)
class World:
    host: Host
    boot: str
    records: Records
    children: Children
    cgroups: Driver
    networks: Networks
    output: Output
    images: Pictures
    worker: ThreadPoolExecutor
    live: dict[str, Live] = field(default_factory=dict)
    execs: dict[str, asyncio.Future[End]] = field(default_factory=dict)  # also those that are just being made
    commands: dict[str, Execution] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _waiters: set[asyncio.Event] = field(default_factory=set)

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the one worker thread: netlink and nftables, which belong to a thread, and copies that take long."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.worker, functools.partial(function, *args, **kwargs))

    def record(self, container_id: str) -> ContainerRecord:
        record = self.records.container(container_id)
        assert record is not None, f"no record of container {container_id}"
        return record

    def cgroup_path(self, container_id: str) -> str:
        return f"stackup/{self.host.id}/c/{container_id}"

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until `met()`; it is asked again after every `notify`. What it raises ends the wait."""
        woken = asyncio.Event()
        self._waiters.add(woken)
        try:
            while not met():
                await woken.wait()
                woken.clear()
        finally:
            self._waiters.discard(woken)

    def notify(self) -> None:
        """Something changed that somebody may wait for: a start, an end, a change of health."""
        for woken in self._waiters:
            woken.set()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Keep a background task alive until it ends; the loop holds tasks only weakly."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task
