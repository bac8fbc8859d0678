"""The walk over a plan: an outcome for each operation, failures that stop only what needs them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stackup.engine.apply import walk
from stackup.errors import StackupError
from stackup.events import Event, Failed, Skipped
from stackup.planner.operations import AwaitService, CreateContainer, Operation, StartContainer
from stackup.planner.plan import Node, Plan


def _plan(**after: tuple[str, ...]) -> Plan:
    """A plan of starts: name -> names it needs."""
    nodes = tuple(
        Node(id=name, operation=StartContainer(service=name, number=1, cause="new"), after=needs)
        for name, needs in after.items()
    )
    return Plan(stack="s", nodes=nodes)


class _World:
    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.log: list[str] = []
        self.events: list[Event] = []

    async def perform(self, node: str, operation: Operation) -> str | None:
        self.log.append(f"+{node}")
        await asyncio.sleep(0.001)
        if node in self.bad:
            raise StackupError(f"{node} is broken", hint="mend it")
        self.log.append(f"-{node}")
        return "started"


def _walk(plan: Plan, world: _World, withdrawn: asyncio.Event | None = None) -> dict[str, str]:
    async def run() -> dict[str, str]:
        outcomes = await walk(plan, world.perform, world.events.append, withdrawn)
        return {k: o.result for k, o in outcomes.items()}

    return asyncio.run(run())


def test_what_is_needed_is_done_before() -> None:
    world = _World()
    assert set(_walk(_plan(a=(), b=("a",), c=("b",)), world).values()) == {"done"}
    assert world.log == ["+a", "-a", "+b", "-b", "+c", "-c"]


def test_what_is_independent_runs_at_the_same_time() -> None:
    world = _World()
    _walk(_plan(a=(), b=(), c=("a", "b")), world)
    assert world.log[:2] == ["+a", "+b"]


def test_a_failure_skips_what_needs_it_however_far_away_and_nothing_else() -> None:
    world = _World("a")
    outcomes = _walk(_plan(a=(), b=("a",), c=("b",), d=()), world)
    assert outcomes == {"a": "failed", "b": "skipped", "c": "skipped", "d": "done"}


def test_a_skipped_operation_names_the_failure_it_comes_from() -> None:
    world = _World("a")
    _walk(_plan(a=(), b=("a",), c=("b",)), world)
    assert [e.text for e in world.events if isinstance(e, Skipped)] == ["service:a/1 failed"] * 2
    assert [(e.text, e.hint) for e in world.events if isinstance(e, Failed)] == [("a is broken", "mend it")]


def test_a_withdrawn_request_begins_nothing_new_and_ends_what_runs() -> None:
    async def run() -> tuple[dict[str, str], list[str]]:
        withdrawn, log = asyncio.Event(), []

        async def perform(node: str, operation: Operation) -> str | None:
            withdrawn.set()
            await asyncio.sleep(0)
            log.append(node)
            return None

        outcomes = await walk(_plan(a=(), b=("a",)), perform, lambda e: None, withdrawn)
        return {k: o.result for k, o in outcomes.items()}, log

    assert asyncio.run(run()) == ({"a": "done", "b": "withdrawn"}, ["a"])


@pytest.mark.parametrize("limit", [1, 2, 3, 0])
def test_no_more_than_so_many_at_a_time_waits_not_counted(limit: int) -> None:
    busy: set[str] = set()
    most = 0

    async def perform(node: str, operation: Operation) -> str | None:
        nonlocal most
        if isinstance(operation, AwaitService):
            while "d" not in done:  # what it waits for begins while it waits
                await asyncio.sleep(0.001)
            return None
        busy.add(node)
        most = max(most, len(busy))
        await asyncio.sleep(0.002)
        busy.discard(node)
        done.add(node)
        return None

    done: set[str] = set()
    wait = Node(id="wait", operation=AwaitService(service="x", condition="service_healthy", cause="new"))
    plan = _plan(a=(), b=(), c=(), d=(), e=("wait",))
    plan = replace(plan, nodes=(wait, *plan.nodes))
    outcomes = asyncio.run(asyncio.wait_for(walk(plan, perform, lambda e: None, None, limit), 5))
    assert {o.result for o in outcomes.values()} == {"done"} and most == (limit or 4)


def test_a_bound_lets_failures_and_what_they_skip_through() -> None:
    async def run() -> dict[str, str]:
        world = _World("a")
        found = await walk(_plan(a=(), b=("a",), c=("b",), d=()), world.perform, world.events.append, None, 1)
        return {k: o.result for k, o in found.items()}

    assert asyncio.run(run()) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "done"}


def test_an_empty_plan_has_no_outcomes() -> None:
    assert _walk(Plan(stack="s"), _World()) == {}


def test_a_mistake_of_ours_is_a_failure_of_that_operation(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> list[str]:
        async def perform(node: str, operation: Operation) -> str | None:
            raise ValueError("oops")

        node = Node(id="a", operation=CreateContainer(service="a", number=1, cause="new"))
        outcomes = await walk(Plan(stack="s", nodes=(node,)), perform, lambda e: None)
        return [str(o.error) for o in outcomes.values()]

    assert asyncio.run(run()) == ["a mistake in stackup: ValueError: oops"]
    assert "Traceback" in capsys.readouterr().err
