"""The walk over a plan: an outcome for each operation, failures that stop only what needs them."""

from __future__ import annotations

import asyncio

import pytest

from stackup.engine.apply import walk
from stackup.errors import StackupError
from stackup.events import Event, Failed, Skipped
from stackup.planner.operations import CreateContainer, Operation, StartContainer
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
