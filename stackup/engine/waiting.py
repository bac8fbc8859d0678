"""Wait until a service's replicas meet a condition, or until it is certain that they will not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from stackup.engine.records import ContainerRecord
from stackup.errors import Interrupted, StackupError
from stackup.spec.model import Condition

if TYPE_CHECKING:
    from stackup.engine.keeper import Keeper
    from stackup.engine.world import World

T = TypeVar("T")


async def unless(withdrawn: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do something that changes nothing, such as waiting; Interrupted as soon as the command that asked went away."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(withdrawn.wait())
    await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if task.done():
        return task.result()
    task.cancel()
    raise Interrupted("the command was interrupted")


async def service(
    world: World, keeper: Keeper, stack: str, name: str, condition: Condition, number: int | None = None
) -> None:
    """Raises StackupError that names the replica and its end when the condition can no more be met."""

    def met() -> bool:
        replicas = [
            c for c in world.records.containers(stack) if c.service_name == name and number in (None, c.number)
        ]  # fmt: skip
        answers = [_meets(world, keeper, c, condition) for c in replicas]  # all are asked: each may raise
        return bool(answers) and all(answers)

    await world.until(met)


async def settled(world: World, keeper: Keeper, stack: str, names: frozenset[str]) -> None:
    """`up --wait`: every replica is healthy (or runs, where it has no check) or ended well. Raises as above."""

    def met() -> bool:
        replicas = [c for c in world.records.containers(stack) if c.service_name in names]
        answers = [
            (c.state == "exited" and c.exit_code == 0) or _meets(world, keeper, c, "service_healthy") for c in replicas
        ]  # fmt: skip
        return all(answers)

    await world.until(met)


def _meets(world: World, keeper: Keeper, record: ContainerRecord, condition: Condition) -> bool:
    if record.state == "exited" and not keeper.will_start(record):
        if condition == "service_completed_successfully" and record.exit_code == 0:
            return True
        raise _failed(record, record.exit or "it ended")
    if record.state != "running":
        return False
    if condition == "service_healthy":
        if record.health == "unhealthy":
            raise _failed(record, _unhealthy(world, record))
        return record.health == "healthy" or not keeper.checked(record.id)
    return condition == "service_started"


def _unhealthy(world: World, record: ContainerRecord) -> str:
    """With the last line that its check said, which most often is the reason."""
    results = world.records.checks(record.id)
    said = results[-1].output.strip().splitlines() if results else []
    return f"it is unhealthy: {said[-1][:200]}" if said else "it is unhealthy"


def _failed(record: ContainerRecord, why: str) -> StackupError:
    address = f"service:{record.service_name}/{record.number}"
    return StackupError(
        f"{address}: {why}", hint=f"stackup logs {record.service_name} shows what it said", resource=address
    )
