"""A container's processes: start, stop, signal, change while it runs, and what follows its end.

Start makes everything that lives only as long as the process: control group, namespaces, links. The root file system,
the addresses and the record outlast it, so a restart finds them again.
"""

from __future__ import annotations

import asyncio
import signal as signals
import time
from collections.abc import Iterable
from dataclasses import replace

from stackup.engine import bundle, containers, groups, limits, processes
from stackup.engine.ends import describe
from stackup.engine.records import ContainerRecord
from stackup.engine.world import End, Live, World
from stackup.errors import BadInput, StackupError
from stackup.runtime.channel import close_all
from stackup.spec.model import Service


async def launch(world: World, container_id: str) -> None:
    """Make the process of a container and let it run. Nothing is left of it where a step fails."""
    if container_id in world.live:
        return
    record = world.record(container_id)
    with world.networks.coming():
        live = await _create(world, record)
    try:
        with world.networks.coming():
            world.output.open(container_id, live.fds.get("terminal"))
            await world.networks.attach(record, live)
        await world.networks.settle()  # rules that let its packets pass stand before it runs
        with world.networks.coming():
            # Until it is started the process dies with the spawner, so nobody has to find it by its pid before this.
            world.records.change_container(
                container_id, pid=live.pid, start_time=live.start_time, boot_id=world.boot, started=time.time(),
                oom=False, health="none",
            )  # fmt: skip
            await world.children.call("start", container=container_id)
    except BaseException:
        await _abandon(world, live)
        raise
    if not live.ended.done():
        world.records.change_container(container_id, state="running", wish="running")
    world.networks.changed(record.stack)
    world.notify()
    await world.networks.settle()


async def _create(world: World, record: ContainerRecord) -> Live:
    """The process of a container, ready and waiting for its start."""
    container_id = record.id
    spec = containers.write_bundle(world, record)
    world.output.prepare(container_id)
    group = groups.make(world.cgroups, record.cgroup, spec["linux"]["resources"])
    try:
        reply, fds = await world.children.call(
            "create", container=container_id, bundle=world.host.container(container_id),
            rootfs=[m.to_json() for m in containers.rootfs(world, record)], cgroup=group.join.to_json(),
            stdout=world.host.container(container_id, "out.fifo"),
            stderr=world.host.container(container_id, "err.fifo"),
        )  # fmt: skip
    except StackupError:
        groups.remove(group)
        raise
    close_all([fds.pop(name) for name in ("stdout", "stderr") if name in fds])  # the pump has its own
    live = Live(
        container_id, reply["pid"], reply["start_time"], fds, group, asyncio.get_running_loop().create_future()
    )  # fmt: skip
    world.live[container_id] = live
    return live


async def _abandon(world: World, live: Live) -> None:
    """A process that never ran, or that the spawner started while it died: nothing may be left of it.

    A refused `start` has taken it away already, then there is nothing to wait for.
    """
    live.dropped = True
    _signal(live, signals.SIGKILL)
    try:
        await world.children.call("kill", container=live.id, signal=signals.SIGKILL)
        await asyncio.wait_for(asyncio.shield(live.ended), 5)
    except (StackupError, TimeoutError):
        pass
    if world.live.pop(live.id, None) is not None:
        _let_go(world, live)
    world.records.change_container(live.id, pid=None, start_time=None, boot_id=None)


def _let_go(world: World, live: Live) -> None:
    """Give back what lived with the process."""
    world.output.finish(live.id)
    live.close()
    world.children.tell("forget", container=live.id)
    groups.remove(live.group)


def ended(world: World, container_id: str, end: End) -> ContainerRecord | None:
    """The process of a container has ended: let go of it and record how. None: it never ran, or is known already."""
    live = world.live.pop(container_id, None)
    if live is None:
        world.children.tell("forget", container=container_id)
        return None
    if live.dropped:
        _let_go(world, live)
        live.ended.set_result(end)
        return None
    record = world.record(container_id)
    asked = record.wish == "stopped" or record.held
    oom = not asked and oom_kills(live) > 0  # the SIGKILL of a stop is no OOM kill, whatever befell a child before
    _let_go(world, live)
    world.records.change_container(
        container_id, state="exited", pid=None, start_time=None, boot_id=None, finished=end.time or time.time(),
        exit_code=end.code if end.signal is None else 128 + end.signal, signal=end.signal, oom=oom,
        exit=describe(end, oom, record.service.resources.memory), health="none",
    )  # fmt: skip
    world.networks.changed(record.stack)
    world.notify()
    if not live.ended.done():
        live.ended.set_result(end)
    return world.record(container_id)


def oom_kills(live: Live) -> int:
    """How many processes of a container were killed at its memory limit since it began."""
    try:
        return live.group.oom_kills()
    except StackupError:  # somebody took the group away
        return 0


_ASK_AGAIN = 0.1  # seconds
_DIES_WITHIN = 10.0  # seconds after SIGKILL; longer only in the kernel's own waiting


async def stop(world: World, container_id: str, *, held: bool) -> bool:
    """Stop a container and have no policy start it. False where it did not run.

    Its stop signal, then SIGKILL after its grace period; at once where its first process does not hear the signal.
    """
    record = world.record(container_id)
    if record.wish != "stopped" or (held and not record.held):
        world.records.change_container(container_id, wish="stopped", held=held or record.held)
    live = world.live.get(container_id)
    if live is None:
        return False
    number = signal_number(bundle.stop_signal(record.service, containers.image_config(world, record)))
    if number != signals.SIGKILL and await _ends_by(world, live, number, record.service.stop_grace_period):
        return True
    _signal(live, signals.SIGKILL)
    await gone(world, [container_id], _DIES_WITHIN)
    if not live.ended.done():
        address = f"service:{record.service_name}/{record.number}"
        raise StackupError(
            f"process {live.pid} of {address} does not die of SIGKILL: {processes.told_state(world.host, live.pid)}",
            hint="try again when what it waits for has come; nothing of the service was taken away", resource=address,
        )  # fmt: skip
    return True


async def _ends_by(world: World, live: Live, number: int, grace: float) -> bool:
    """Send a stop signal and wait; True when the process ended in time.

    The kernel drops what comes before a starting program has set its handler, so such a one is asked until it has. What
    is blocked is kept, so it is not sent twice: many programs take a second one for impatience.
    """
    until, before = time.monotonic() + grace, ""
    while (now := processes.hearing(world.host, live.pid, number)) != "deaf":
        if before != "blocked":
            _signal(live, number)
        left = until - time.monotonic()
        try:
            await asyncio.wait_for(asyncio.shield(live.ended), left if now == "caught" else min(left, _ASK_AGAIN))
            return True
        except TimeoutError:
            if now == "caught" or time.monotonic() >= until:
                return False
        before = now
    return live.ended.done()


def kill(world: World, container_id: str, number: int) -> bool:
    """Send a signal to a container's first process. False where it does not run."""
    live = world.live.get(container_id)
    if live is None:
        return False
    if number in (signals.SIGKILL, signals.SIGTERM, signals.SIGINT, signals.SIGQUIT):
        world.records.change_container(container_id, held=True)
    _signal(live, number)
    return True


async def gone(world: World, containers: Iterable[str], seconds: float = 5) -> None:
    """Wait a while for the ends of containers."""
    ends = [world.live[one].ended for one in containers if one in world.live]
    if ends:
        await asyncio.wait(ends, timeout=seconds)


def _signal(live: Live, number: int) -> None:
    try:
        signals.pidfd_send_signal(live.pidfd, number)
    except ProcessLookupError:
        pass


def signal_number(name: str) -> int:
    """`SIGTERM`, `TERM`, `15` -> 15. BadInput for what is no signal."""
    text = name.strip().upper()
    if text.isdigit() and 0 < int(text) <= 64:
        return int(text)
    found = getattr(signals, text if text.startswith("SIG") else f"SIG{text}", None)
    if not isinstance(found, signals.Signals):
        raise BadInput(f"{name} is not a signal", hint="for example SIGTERM, SIGHUP or 9")
    return int(found)


def _other_limits(live: Live, applied: Service, wished: Service) -> bool:
    if bundle.resources(applied) != bundle.resources(wished):
        return True
    return limits.as_they_are(live.group, wished.resources) != wished.resources


async def update(world: World, container_id: str, service: Service) -> None:
    """Apply the values that a running container can take; the record then says them."""
    record, live = world.record(container_id), world.live.get(container_id)
    if live is not None and _other_limits(live, record.service, service):
        live.group.update(bundle.resources(service))
    if service.network_mode == "bridge" and record.service.ports != service.ports:
        await world.networks.ports.publish(world, replace(record, service=service))
    world.records.change_container(container_id, service=service)
    world.networks.changed(record.stack)
