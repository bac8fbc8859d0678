"""Take up what is there: after a death of the supervisor, of the spawner, of both, or of the machine.

Records are claims. What the spawner hands over is true; what it does not know (it died, too) is looked for by pid,
start time and boot id; what is not found has ended, and nobody knows how. Operations that the journal shows as begun
are undone (make) or finished (delete). Control groups and folders that no record claims are taken away.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stackup import paths
from stackup.engine import containers, execs, groups, observe, processes, running
from stackup.engine.children import Fds
from stackup.engine.records import ContainerRecord
from stackup.engine.world import End, Live, World
from stackup.errors import NotFound, StackupError
from stackup.runtime.channel import Message, close_all

if TYPE_CHECKING:
    from stackup.engine.keeper import Keeper


@dataclass(slots=True)
class Found:
    """What the spawner told after `hello`."""

    containers: list[tuple[Message, Fds]] = field(default_factory=list)
    execs: list[tuple[Message, Fds]] = field(default_factory=list)
    values: dict[str, tuple[object, Fds]] = field(default_factory=dict)
    exits: list[Message] = field(default_factory=list)

    def add(self, message: Message, fds: Fds) -> None:
        match message["event"]:
            case "container":
                self.containers.append((message, fds))
            case "exec":
                self.execs.append((message, fds))
            case "stored":
                self.values[message["key"]] = (message.get("value"), fds)
            case "exited":
                self.exits.append(message)
            case _:
                close_all(fds)

    def stored(self, key: str) -> Fds:
        return self.values.get(key, (None, {}))[1]

    def close(self) -> None:
        for _message, fds in (*self.containers, *self.execs, *self.values.values()):
            close_all(fds)


async def everything(world: World, keeper: Keeper, found: Found) -> None:
    """Make the supervisor's view true, then let its policies work on it."""
    known = {r.id: r for r in world.records.containers()}
    for message, fds in found.execs:  # whoever asked for them went away with our predecessor
        close_all(fds)
        world.children.tell("kill", exec=message["exec"], signal=signals.SIGKILL, group=True)
    for message, fds in found.containers:
        record = known.get(message["container"])
        if record is None or message["state"] == "created":
            close_all(fds)
            await _end(world, message["container"])
        else:
            _take_up(world, record, message["pid"], message["start_time"], fds)
    for record in known.values():
        if record.pid is not None and record.id not in world.live:
            _find(world, record)
    try:
        await world.networks.recover(found.values)
    except StackupError as error:  # `up` mends what it can, `down` still has to work
        print(f"network: {error}", file=sys.stderr, flush=True)  # noqa: T201
    gone = [_exit_of(m) for m in found.exits if "container" in m]
    lost = [(r.id, _UNKNOWN) for r in known.values() if r.pid is not None and r.id not in world.live]
    for container_id, end in gone + lost:
        _note(world, container_id, end)
    for message in found.exits:
        if "exec" in message:
            world.children.tell("forget", exec=message["exec"])
    _journal(world)
    _sweep(world)
    for record in world.records.containers():
        if record.id in world.live:
            keeper.watch(record.id)
        elif record.state == "exited" and record.wish == "running":
            keeper.ended(record)
    for stack in world.records.stacks():
        world.networks.changed(stack.name)


_UNKNOWN = End(None, None, 0.0)


def _exit_of(message: Message) -> tuple[str, End]:
    return message["container"], End(message.get("code"), message.get("signal"), float(message.get("time") or 0.0))


async def _end(world: World, container_id: str) -> None:
    """A process that nobody waits for: end it, so that its name is free again."""
    world.children.tell("kill", container=container_id, signal=signals.SIGKILL)
    for _attempt in range(100):
        try:
            await world.children.call("forget", container=container_id)
            return
        except NotFound:
            return
        except StackupError:  # it still ends
            await asyncio.sleep(0.02)


def _take_up(world: World, record: ContainerRecord, pid: int, start_time: int, fds: Fds) -> None:
    close_all([fds.pop(name) for name in ("stdout", "stderr") if name in fds])
    group = world.cgroups.open(record.cgroup)
    ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
    world.live[record.id] = Live(record.id, pid, start_time, fds, group, ended)
    if record.state != "running" or record.pid != pid:
        world.records.change_container(
            record.id, state="running", pid=pid, start_time=start_time, boot_id=world.boot
        )  # fmt: skip
    try:
        world.output.open(record.id, fds.get("terminal"))
    except StackupError as error:
        print(f"container {record.id}: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _find(world: World, record: ContainerRecord) -> None:
    """A container that the spawner does not know: its spawner died. Open what belongs to it and hand it over."""
    if not processes.alive(world.host, world.boot, record):
        return
    assert record.pid is not None and record.start_time is not None
    try:
        fds = {"pidfd": os.pidfd_open(record.pid)}
        for name in ("user", "net", "ipc"):
            fds[name] = os.open(os.path.join(world.host.proc, str(record.pid), "ns", name), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    if not processes.alive(world.host, world.boot, record):  # it was not another one that we opened
        close_all(fds)
        return
    _take_up(world, record, record.pid, record.start_time, fds)
    world.children.tell(
        "adopt", container=record.id, pid=record.pid, start_time=record.start_time, fds=fds
    )  # fmt: skip


def _note(world: World, container_id: str, end: End) -> None:
    """An end that nobody watched."""
    if container_id in world.live:
        running.ended(world, container_id, end)
        return
    record = world.records.container(container_id)
    world.children.tell("forget", container=container_id)
    if record is None or (record.state != "running" and record.pid is None):
        return
    if record.state == "created":  # its process was not started, or nobody could say so
        groups.remove(world.cgroups.open(record.cgroup))
        world.records.change_container(container_id, pid=None, start_time=None, boot_id=None)
        return
    groups.remove(world.cgroups.open(record.cgroup))
    world.records.change_container(
        container_id, state="exited", pid=None, start_time=None, boot_id=None, exit_code=None, signal=None,
        finished=None, exit=observe.vanished(world.boot, record), health="none",
    )  # fmt: skip


def _journal(world: World) -> None:
    for entry in world.records.unfinished():
        plan = entry.operation or {}
        record = world.records.container(str(plan.get("id")))
        try:
            if record is not None and record.id not in world.live:
                containers.undo(world, record)
            world.records.end(entry.id)
        except (OSError, StackupError) as error:  # it stays in the journal, and is tried again at the next start
            print(f"{entry.resource}: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _sweep(world: World) -> None:
    """Groups and folders that no record claims."""
    ids = {r.id for r in world.records.containers()}
    top = f"stackup/{world.host.id}/c"
    for name in list(world.cgroups.list(top)):
        if name not in world.live:
            groups.remove(world.cgroups.open(f"{top}/{name}"))
    groups.sweep_steps(world.host, world.cgroups)
    for name in os.listdir(world.host.path("containers")):
        if name not in ids:
            paths.remove_tree(world.host.container(name))
    for name in os.listdir(world.host.tmp):
        if name.startswith("volume."):  # half filled, or half removed; the rest in there is the builder's
            paths.remove_tree(world.host.path("tmp", name))


async def hand_over(world: World, listener: socket.socket) -> None:
    """Give a new spawner all that the old one kept: containers, the control socket, the network's sockets."""
    await world.children.call("store", key="control", value=None, fds={"socket": listener.fileno()})
    for live in list(world.live.values()):
        await world.children.call("adopt", container=live.id, pid=live.pid, start_time=live.start_time, fds=live.fds)
    await execs.hand_over(world)
    await world.networks.hand_over()
