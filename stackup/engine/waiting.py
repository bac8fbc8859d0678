"""Wait until a service's replicas meet a condition, or until it is certain that they will not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from stackup import events
from stackup.engine.records import ContainerRecord
from stackup.errors import Interrupted, StackupError
from stackup.events import Done, Failed, Reporter, Started
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


_RUNS_WELL = 1.0  # seconds after which a service without a check counts as up
_TRIES = 3  # restarts while `up --wait` waits, after which it gives up on a service


async def settled(
    world: World, keeper: Keeper, stack: str, names: frozenset[str], report: Reporter = events.ignore
) -> None:
    """`up --wait`: every replica is healthy or ended well; where it has no check, it has run for a second.

    Raises as above, and for a replica that its policy has started again several times meanwhile.
    """
    began = time.monotonic()
    before = {c.id: c.restarts for c in world.records.containers(stack)}
    waiting: set[str] = set()

    def met(name: str) -> bool:
        replicas = [c for c in world.records.containers(stack) if c.service_name == name]
        try:
            good = all([_well(world, keeper, c, before.get(c.id, 0)) for c in replicas])  # noqa: C419 - each may raise
        except StackupError as error:
            address = error.resource or f"service:{name}"
            report(Failed(address, error.message.removeprefix(f"{address}: "), error.hint))
            raise
        if not good and name not in waiting:
            waiting.add(name)
            report(Started(f"service:{name}", "wait"))
        elif good and name in waiting:
            waiting.discard(name)
            report(Done(f"service:{name}", _how(replicas), time.monotonic() - began))
        return good

    await world.until(lambda: all([met(name) for name in sorted(names)]))  # noqa: C419


def _well(world: World, keeper: Keeper, record: ContainerRecord, restarts: int) -> bool:
    if record.state == "exited" and record.exit_code == 0:
        return True
    if record.restarts - restarts >= _TRIES:
        raise _failed(record, f"it keeps ending: {record.exit or 'nobody knows how'}")
    if not _meets(world, keeper, record, "service_healthy"):
        return False
    if keeper.checked(record.id):
        return True
    missing = (record.started or 0.0) + _RUNS_WELL - time.time()
    if missing > 0:
        asyncio.get_running_loop().call_later(missing, world.notify)
    return missing <= 0


def _how(replicas: Sequence[ContainerRecord]) -> str:
    if all(c.state == "exited" for c in replicas):
        return "ended well"
    return "healthy" if all(c.health == "healthy" for c in replicas) else "running"


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
