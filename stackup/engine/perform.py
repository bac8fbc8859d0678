"""What each operation of a plan does, in the supervisor; one short method a kind. `apply.walk` calls it."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackup.engine import containers, running, volumes, waiting
from stackup.engine.keeper import Keeper
from stackup.engine.records import ContainerRecord
from stackup.engine.world import World
from stackup.errors import NotFound, StackupError
from stackup.events import Reporter, Warned
from stackup.planner.desired import Desired
from stackup.planner.operations import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DeleteContainer,
    DeleteNetwork,
    DeleteVolume,
    Operation,
    RestartContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from stackup.spec.model import Service


@dataclass(slots=True)
class Performer:
    """`desired`: the wish the plan comes from, None where the verb changes no wish. `holds`: a stop is the user's."""

    world: World
    keeper: Keeper
    stack: str
    desired: Desired | None
    generation: int
    report: Reporter
    holds: bool = False
    _made: dict[tuple[str, int], str] = field(default_factory=dict)

    async def __call__(self, node: str, operation: Operation) -> str | None:
        match operation:
            case CreateNetwork():
                await self.world.networks.create(self._wish, operation.key)
                return "mended" if operation.mend else "created"
            case DeleteNetwork():
                await self.world.networks.delete(self.stack, operation.key)
                return "deleted"
            case CreateVolume():
                volumes.create(self.world.host, self.world.records, self._wish, operation.key)
                return "created"
            case DeleteVolume():
                volumes.refuse_in_use(self.world.records, operation.name)
                await self.world.blocking(volumes.remove_files, self.world.host, operation.name)
                volumes.forget(self.world.records, operation.name)
                return "deleted"
            case CreateContainer():
                made = await containers.make(
                    self.world, self._wish, operation.service, operation.number, self.generation
                )  # fmt: skip
                self._made[operation.service, operation.number] = made.id
                return "created"
            case StartContainer():
                return await self._start(operation)
            case UpdateContainer():
                await running.update(self.world, operation.container, self._service(operation.service))
                self.keeper.watch(operation.container)
                return f"updated {', '.join(operation.fields)}"
            case RestartContainer():
                return await self._restart(operation)
            case StopContainer():
                stopped = await self._stop(operation.container)
                return "stopped" if stopped else None
            case DeleteContainer():
                await self._stop(operation.container)
                await containers.delete(self.world, operation.container)
                self._last_of(operation.service)
                self.world.networks.changed(self.stack)
                return "deleted"
            case AwaitService():
                return await self._await(operation)
        raise AssertionError(f"{operation.kind} is no operation of the supervisor")

    def _last_of(self, service: str) -> None:
        """A service that the wish no longer has gives back its address and ports with its last container."""
        if self.desired is None or service in self.desired.services:
            return
        if all(c.service_name != service for c in self.world.records.containers(self.stack)):
            self.world.networks.forget_service(self.stack, service)

    @property
    def _wish(self) -> Desired:
        assert self.desired is not None, "this plan makes things without a wish"
        return self.desired

    def _service(self, name: str) -> Service:
        return self._wish.services[name].service

    def _newest(self, service: str, number: int) -> ContainerRecord:
        found = [
            c for c in self.world.records.containers(self.stack) if (c.service_name, c.number) == (service, number)
        ]
        if not found:
            raise NotFound(f"service:{service}/{number} has no container", hint="run `stackup up`")
        return found[-1]

    async def _start(self, operation: StartContainer) -> str:
        container_id = operation.container or self._made.get((operation.service, operation.number))
        if container_id is None:
            container_id = self._newest(operation.service, operation.number).id
        await self._begin(container_id, operation.service)
        return "started"

    async def _begin(self, container_id: str, service: str) -> None:
        """Start as the user's wish: whatever held it is over, and its policy counts from here."""
        await self.keeper.take_over(container_id)
        wished = self.desired.services.get(service) if self.desired else None
        values = wished.service if wished else self.world.record(container_id).service
        self.world.records.change_container(
            container_id, bump=True, wish="running", held=False, restarts=0, service=values
        )  # fmt: skip
        await running.launch(self.world, container_id)
        self.keeper.watch(container_id)

    async def _restart(self, operation: RestartContainer) -> str:
        await self._stop(operation.container)
        await self._begin(operation.container, operation.service)
        return "restarted"

    async def _stop(self, container_id: str) -> bool:
        await self.keeper.take_over(container_id)
        if self.world.records.container(container_id) is None:
            return False
        return await running.stop(self.world, container_id, held=self.holds)

    async def _await(self, operation: AwaitService) -> str | None:
        try:
            await waiting.service(
                self.world, self.keeper, self.stack, operation.service, operation.condition, operation.number
            )
        except StackupError as error:
            if not operation.optional:
                raise
            self.report(Warned(f"service:{operation.service}", f"{error.message}; nobody requires it"))
            return None
        return operation.condition.removeprefix("service_").replace("_", " ")
