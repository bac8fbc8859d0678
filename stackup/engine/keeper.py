"""Keeps what should run running: restart policies with back-off, and health checks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import replace

from stackup.engine import containers, execs, health, restart, running
from stackup.engine.records import ContainerRecord
from stackup.engine.views import Replica
from stackup.engine.world import World
from stackup.errors import StackupError


class Keeper:
    def __init__(self, world: World) -> None:
        self._world = world
        self._timers: dict[str, tuple[asyncio.TimerHandle, float]] = {}  # container id -> timer, unix time of its end
        self._starting: set[str] = set()
        self._checkers: dict[str, health.Checker] = {}

    # Restarts

    def ended(self, record: ContainerRecord) -> None:
        """A container has ended by itself: start it again where its policy says so."""
        self._uncheck(record.id)
        if record.wish != "running" or record.id in self._timers:
            return
        ran = (record.finished or time.time()) - (record.started or record.created)
        decision = restart.decide(
            record.service.restart, restart.History(record.restarts, ran), restart.Exit(record.exit_code),
            held=record.held,
        )  # fmt: skip
        match decision:
            case restart.Start(after, attempts):
                self._world.records.change_container(record.id, restarts=attempts)
                timer = asyncio.get_running_loop().call_later(after, self._due, record.id)
                self._timers[record.id] = (timer, time.time() + after)
            case restart.Stay():
                self._world.records.bump(record.stack)  # an end that nobody answers is something to plan for
        self._world.notify()

    def _due(self, container_id: str) -> None:
        self._timers.pop(container_id, None)
        self._starting.add(container_id)
        self._world.spawn(self._again(container_id))

    async def _again(self, container_id: str) -> None:
        try:
            record = self._world.records.container(container_id)
            if record is not None and record.wish == "running" and not record.held:
                await running.launch(self._world, container_id)
                self.watch(container_id)
        except StackupError as error:
            print(f"start container {container_id} again: {error}", file=sys.stderr, flush=True)  # noqa: T201
            self._world.records.change_container(container_id, exit=error.message, exit_code=None, started=time.time())
            self._starting.discard(container_id)
            self.ended(self._world.record(container_id))
        finally:
            self._starting.discard(container_id)
            self._world.notify()

    def will_start(self, record: ContainerRecord) -> bool:
        """Will a policy start this ended container again?"""
        return record.id in self._timers or record.id in self._starting

    async def take_over(self, container_id: str) -> None:
        """The user takes over: no start by policy, no check. A start that is under way is waited for: nobody else may
        touch a container that is half started."""
        self._forget(container_id)
        if container_id in self._starting:
            await self._world.until(lambda: container_id not in self._starting)
            self._forget(container_id)

    def _forget(self, container_id: str) -> None:
        if waiting := self._timers.pop(container_id, None):
            waiting[0].cancel()
        self._uncheck(container_id)

    def annotate(self, replica: Replica) -> Replica:
        """What only the supervisor knows for `ps`: when the next start is due, and who was killed for its memory while
        the container goes on."""
        live = self._world.live.get(replica.id or "")
        if live is not None and (kills := running.oom_kills(live)):
            return replace(replica, oom_kills=kills)
        if replica.id in self._timers:
            return replace(replica, state="restarting", next_start=self._timers[replica.id][1])
        return replica

    # Health

    def watch(self, container_id: str) -> None:
        """Check the health of a container that runs; what was known of it counts on."""
        record = self._world.records.container(container_id)
        if record is None or container_id not in self._world.live:
            return
        self._uncheck(container_id)
        check = health.effective(record.service, containers.image_config(self._world, record))
        if check is None:
            if record.health != "none":
                self._world.records.change_container(container_id, health="none")
            return
        checker = health.Checker(
            check,
            lambda argv, timeout: self._execute(container_id, argv, timeout),
            lambda state: self._healthy(container_id, state),
            noted=lambda results: self._world.records.put_checks(container_id, results),
        )  # fmt: skip
        self._checkers[container_id] = checker
        known = record.health if record.health != "none" else "starting"
        self._world.records.change_container(container_id, health=known)
        checker.start(known)

    def checked(self, container_id: str) -> bool:
        """Has this running container a health check?"""
        return container_id in self._checkers

    def _healthy(self, container_id: str, state: health.State) -> None:
        if container_id not in self._world.live:
            return
        self._world.records.change_container(container_id, health=state)
        self._world.networks.changed(self._world.record(container_id).stack)
        self._world.notify()

    def _uncheck(self, container_id: str) -> None:
        if checker := self._checkers.pop(container_id, None):
            self._world.spawn(checker.stop())

    async def _execute(self, container_id: str, argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
        """Run a check; its output by a pipe, its first bytes kept. Killed after `timeout` seconds."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        try:
            execution = await execs.begin(
                self._world, container_id, argv, fds={"stdout": writing, "stderr": writing}
            )  # fmt: skip
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        loop, output = asyncio.get_running_loop(), bytearray()
        loop.add_reader(reading, _drain, reading, output)
        code: int | None = None
        try:
            end = await asyncio.wait_for(asyncio.shield(execution.ended), timeout)
            code = end.code if end.code is not None else 128 + (end.signal or 0)
        except TimeoutError:
            pass
        finally:
            if not execution.ended.done():
                await self._kill(execution)
            loop.remove_reader(reading)
            _drain(reading, output)
            os.close(reading)
            execs.close(self._world, execution)
        return code, bytes(output)

    async def _kill(self, execution: execs.Execution) -> None:
        self._world.children.tell("kill", exec=execution.id, signal=9, group=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(execution.ended), 2)


def _drain(descriptor: int, output: bytearray) -> None:
    """Take what is there; keep only the first bytes, but never let the writer wait."""
    try:
        while data := os.read(descriptor, 1 << 16):
            output += data[: max(0, health.KEPT_OUTPUT - len(output))]
        asyncio.get_running_loop().remove_reader(descriptor)
    except BlockingIOError:
        pass
