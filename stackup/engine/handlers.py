"""What the supervisor does for each request on the control socket: a method an `op`, plain values in and out.

Whatever changes a stack holds its lock. Plans for `up` come from the CLI with the serial they were made from; the other
verbs' plans are made here, from the same pure functions.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal as signals
from collections.abc import Awaitable, Callable

from stackup.engine import execs, generations, identity, observe, running, status, topology, waiting
from stackup.engine.apply import walk
from stackup.engine.keeper import Keeper
from stackup.engine.locks import StackLocks
from stackup.engine.perform import Performer
from stackup.engine.records import ContainerRecord
from stackup.engine.server import Request
from stackup.engine.views import Outcome
from stackup.engine.world import World
from stackup.errors import BadInput, Conflict, NotFound
from stackup.oci import Document
from stackup.planner import lifecycle
from stackup.planner.desired import Desired
from stackup.planner.observed import Observed
from stackup.planner.operations import DeleteContainer
from stackup.planner.plan import Plan
from stackup.values import from_plain, to_plain


class Handlers:
    def __init__(self, world: World, keeper: Keeper) -> None:
        self.world = world
        self.keeper = keeper
        self.locks = StackLocks()

    async def __call__(self, request: Request) -> Document:
        if request.op not in _OPS:
            raise BadInput(f"the supervisor knows no request {request.op!r}", hint="is it an older stackup?")
        handler: Callable[[Request], Awaitable[Document]] = getattr(self, request.op)
        return await handler(request)

    async def hello(self, request: Request) -> Document:
        ours, theirs = identity.version(), request.arguments.get("stackup")
        if theirs != ours:
            raise Conflict(
                f"the running supervisor is stackup {ours}, this command is {theirs}",
                hint=f"after an upgrade `kill {os.getpid()}`: services run on, the new version takes over; "
                "otherwise use the command it came from",
            )
        return {"stackup": ours, "pid": os.getpid(), "spawner": os.getppid()}

    async def _know_ends(self) -> None:
        """Wait for the spawner's word on processes that have just ended: until then nobody knows how."""
        poll = select.poll()
        for live in self.world.live.values():
            poll.register(live.pidfd, select.POLLIN)
        ended = {descriptor for descriptor, _ in poll.poll(0)}
        await running.gone(self.world, [c for c, live in self.world.live.items() if live.pidfd in ended], 1)

    async def observe(self, request: Request) -> Document:
        await self._know_ends()
        half = observe.machine(self.world.host, self.world.records, _stack(request), self.world.cgroups)
        return to_plain(half)  # type: ignore[no-any-return]

    async def ps(self, request: Request) -> Document:
        await self._know_ends()
        rows = status.replicas(self.world.host, self.world.records, request.arguments.get("stack"))
        return {"replicas": [to_plain(self.keeper.annotate(r)) for r in rows]}

    async def up(self, request: Request) -> Document:
        desired = from_plain(Desired, request.arguments["desired"])
        plan = from_plain(Plan, request.arguments["plan"])
        services = tuple(request.arguments.get("services") or ())
        records = self.world.records
        async with self.locks.hold(desired.stack, "up", request):
            if records.serial(desired.stack) != plan.serial:
                raise Conflict(f"stack {desired.stack} was changed meanwhile", hint="run the command again")
            before = records.wished(desired.stack)
            left = self._left(desired.stack, plan)
            wish = generations.merge(desired, before.desired if before else None, services, left)
            records.put_stack(desired.stack, desired.folder, desired.file)
            records.hold_stack(desired.stack, False)
            self._lift_holds(desired.stack, generations.with_dependencies(desired, services))
            number = before.number if before and before.desired == wish else records.add_generation(wish)
            performer = Performer(self.world, self.keeper, desired.stack, wish, number, request.report)
            self.world.networks.look()
            if not plan.empty:
                self.world.networks.ports.exchange(self.world, wish)
            limit = int(request.arguments.get("parallel") or 0)
            outcomes = await self._apply(plan, performer, request, limit)
            good = all(o.result == "done" for o in outcomes)
            if good:
                records.finish_generation(desired.stack, number)
                records.trim_generations(desired.stack, generations.KEEP)
        if good and request.arguments.get("wait"):
            chosen = generations.with_dependencies(desired, services)
            settled = waiting.settled(self.world, self.keeper, desired.stack, chosen, request.report)
            await waiting.unless(request.withdrawn, settled)
        ports = self.world.networks.ports.published()
        published = [p for name in desired.services for p in ports.get(topology.service_key(desired.stack, name), ())]
        return {"outcomes": [to_plain(o) for o in outcomes], "published": [to_plain(p) for p in published]}

    def _left(self, stack: str, plan: Plan) -> frozenset[str]:
        """The services that have containers which the plan does not take away."""
        deleted = {o.container for o in plan.operations if isinstance(o, DeleteContainer)}
        return frozenset(c.service_name for c in self.world.records.containers(stack) if c.id not in deleted)

    def _lift_holds(self, stack: str, services: frozenset[str]) -> None:
        """Who got a deadly signal from `kill` and lives on is kept up again."""
        for record in self.world.records.containers(stack):
            if record.held and record.service_name in services and record.id in self.world.live:
                self.world.records.change_container(record.id, held=False)

    async def down(self, request: Request) -> Document:
        stack, records = _stack(request), self.world.records
        async with self.locks.hold(stack, "down", request):
            generation = records.wished(stack)
            plan = lifecycle.down(
                stack, generation.desired if generation else None, self._observed(stack),
                volumes=bool(request.arguments.get("volumes")),
            )  # fmt: skip
            outcomes = await self._apply(plan, self._performer(stack, request), request)
            if all(o.result == "done" for o in outcomes) and records.stack(stack):
                await self.world.networks.forget_stack(stack)
                records.delete_stack(stack)
        return {"outcomes": [to_plain(o) for o in outcomes]}

    async def stop(self, request: Request) -> Document:
        return await self._lifecycle(request, "stop", lifecycle.stop, holds=True)

    async def start(self, request: Request) -> Document:
        return await self._lifecycle(request, "start", lifecycle.start)

    async def restart(self, request: Request) -> Document:
        return await self._lifecycle(request, "restart", lifecycle.restart)

    async def _lifecycle(
        self, request: Request, verb: str, plan: Callable[..., Plan], *, holds: bool = False
    ) -> Document:
        stack, services = self._chosen(request)
        async with self.locks.hold(stack, verb, request):
            if holds:  # also what waits for its next start
                for record in self._records(stack, services):
                    await self.keeper.take_over(record.id)
                    if self.world.record(record.id).state == "exited":
                        self.world.records.change_container(record.id, wish="stopped", held=True)
            drawn = plan(stack, self._observed(stack), services)
            outcomes = await self._apply(drawn, self._performer(stack, request, holds=holds), request)
        return {"outcomes": [to_plain(o) for o in outcomes]}

    async def kill(self, request: Request) -> Document:
        stack, services = self._chosen(request)
        number = running.signal_number(str(request.arguments.get("signal", "SIGKILL")))
        # Without the stack's lock: the one who holds it may be the stop that takes too long.
        hit = [r.id for r in self._records(stack, services) if running.kill(self.world, r.id, number)]
        if number == signals.SIGKILL:  # so that the next command finds it ended
            await running.gone(self.world, hit)
        return {"killed": len(hit)}

    async def exec(self, request: Request) -> Document:
        return await execs.run(self.world, request)

    def resume(self) -> None:
        """Finish the stops over which our predecessor died, before anything is planned: a plan must not count on a
        process that is about to end."""
        begun: dict[str, list[ContainerRecord]] = {}
        for record in self.world.records.containers():
            if record.wish == "stopped" and record.id in self.world.live:
                begun.setdefault(record.stack, []).append(record)
        for stack, records in begun.items():
            self.world.spawn(self._finish_stops(stack, records))

    async def _finish_stops(self, stack: str, begun: list[ContainerRecord]) -> None:
        async with self.locks.hold(stack, "an interrupted stop"):
            await asyncio.gather(*(running.stop(self.world, r.id, held=r.held) for r in begun))
            self.world.records.bump(stack)

    # Helpers

    async def _apply(self, plan: Plan, performer: Performer, request: Request, limit: int = 0) -> list[Outcome]:
        try:
            return list((await walk(plan, performer, request.report, request.withdrawn, limit)).values())
        finally:
            await self.world.networks.settle()

    def _performer(self, stack: str, request: Request, *, holds: bool = False) -> Performer:
        generation = self.world.records.wished(stack)
        return Performer(
            self.world, self.keeper, stack, None, generation.number if generation else 0, request.report, holds
        )  # fmt: skip

    def _observed(self, stack: str) -> Observed:
        return observe.assemble(observe.machine(self.world.host, self.world.records, stack), {})

    def _chosen(self, request: Request) -> tuple[str, tuple[str, ...]]:
        """The stack and the services of a request. NotFound names what the stack does not have."""
        stack = _stack(request)
        if self.world.records.stack(stack) is None:
            raise NotFound(f"stack {stack} is not up", hint="run `stackup up`")
        services = tuple(request.arguments.get("services") or ())
        there = {c.service_name for c in self.world.records.containers(stack)}
        for name in services:
            if name not in there:
                raise NotFound(
                    f"stack {stack} has no service {name}", hint=f"it has {', '.join(sorted(there)) or 'none'}"
                )
        return stack, services

    def _records(self, stack: str, services: tuple[str, ...]) -> list[ContainerRecord]:
        return [c for c in self.world.records.containers(stack) if not services or c.service_name in services]


def _stack(request: Request) -> str:
    return str(request.arguments.get("stack", ""))


_OPS = frozenset(("hello", "observe", "ps", "up", "down", "stop", "start", "restart", "kill", "exec"))
