"""Walk a Plan in parallel, with no opinions: an outcome for each operation.

An operation begins when all that it needs are done. What needs a failed one is skipped and names the failure it comes
from, however far away. When the request is withdrawn (Ctrl-C), what runs ends and nothing more begins.
"""

from __future__ import annotations

import asyncio
import heapq
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from stackup.engine import waiting
from stackup.engine.views import Outcome
from stackup.errors import Interrupted, StackupError
from stackup.events import Done, Failed, Reporter, Skipped, Started
from stackup.planner import operations
from stackup.planner.operations import Operation
from stackup.planner.plan import Plan

Perform = Callable[[str, Operation], Coroutine[Any, Any, str | None]]
"""Carry out an operation; the text of what was done, None: nothing worth a line. Raises StackupError."""


_VERBS = {
    "create-network": "create", "delete-network": "delete", "create-volume": "create", "delete-volume": "delete",
    "create-container": "create", "start-container": "start", "update-container": "update",
    "restart-container": "restart", "stop-container": "stop", "delete-container": "delete", "await-service": "wait",
}  # fmt: skip


async def walk(
    plan: Plan, perform: Perform, report: Reporter, withdrawn: asyncio.Event | None = None, limit: int = 0
) -> dict[str, Outcome]:
    """The outcome of every operation, by the id of its node. `limit`: so many at a time, waits not counted; 0: all."""
    return await _Walk(plan, perform, report, withdrawn, limit).run()


class _Walk:
    def __init__(
        self, plan: Plan, perform: Perform, report: Reporter, withdrawn: asyncio.Event | None, limit: int
    ) -> None:  # fmt: skip
        self._operations = {n.id: n.operation for n in plan.nodes}
        self._perform = perform
        self._report = report
        self._withdrawn = withdrawn
        self._limit = limit
        self._busy: set[str] = set()
        self._left = {n.id: {a for a in n.after if a in self._operations} for n in plan.nodes}
        self._dependents: dict[str, list[str]] = {n.id: [] for n in plan.nodes}
        for key, needs in self._left.items():
            for need in needs:
                self._dependents[need].append(key)
        self._outcomes: dict[str, Outcome] = {}
        self._causes: dict[str, str] = {}  # id -> address of the failure it comes from
        self._running: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
        self._keys = list(self._operations)
        self._numbers = {key: number for number, key in enumerate(self._keys)}
        self._ready = [number for number, key in enumerate(self._keys) if not self._left[key]]  # a heap
        self._moved = asyncio.Event()

    async def run(self) -> dict[str, Outcome]:
        """One operation begins at a turn of the loop, in the order of the plan: the first container's process is made,
        by the spawner, while we make the second container, and not after all of them."""
        while len(self._outcomes) < len(self._operations):
            if self._ready and self._room():
                self._begin(self._keys[heapq.heappop(self._ready)])
                await asyncio.sleep(0)
            else:
                self._moved.clear()
                await self._moved.wait()
        return {key: self._outcomes[key] for key in self._operations}

    def _room(self) -> bool:
        """May the next one begin? A wait does nothing, so it is not counted."""
        if not self._limit or len(self._busy) < self._limit:
            return True
        return isinstance(self._operations[self._keys[self._ready[0]]], operations.AwaitService)

    def _begin(self, key: str) -> None:
        if self._withdrawn is not None and self._withdrawn.is_set():
            return self._end(key, "withdrawn")
        if not isinstance(self._operations[key], operations.AwaitService):
            self._busy.add(key)
        task = asyncio.ensure_future(self._one(key))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return None

    async def _one(self, key: str) -> None:
        operation = self._operations[key]
        address = operations.resource(operation)
        began = time.monotonic()
        self._report(Started(address, _VERBS.get(operation.kind, operation.kind)))
        try:
            text = await self._carry_out(key, operation)
        except Interrupted:
            return self._end(key, "withdrawn")
        except StackupError as error:
            self._report(Failed(address, error.message, error.hint))
            return self._end(key, "failed", error.message, error.hint)
        except Exception as error:
            traceback.print_exc()
            message = f"a mistake in stackup: {type(error).__name__}: {error}"
            self._report(Failed(address, message))
            return self._end(key, "failed", message)
        if text is not None:
            self._report(Done(address, text, time.monotonic() - began))
        return self._end(key, "done")

    async def _carry_out(self, key: str, operation: Operation) -> str | None:
        """A wait changes nothing, so it ends where the request is withdrawn; everything else runs to its end."""
        if self._withdrawn is None or not isinstance(operation, operations.AwaitService):
            return await self._perform(key, operation)
        return await waiting.unless(self._withdrawn, self._perform(key, operation))

    def _end(self, key: str, result: str, error: str | None = None, hint: str | None = None) -> None:
        operation = self._operations[key]
        address = operations.resource(operation)
        self._outcomes[key] = Outcome(
            operation=operation.kind, resource=address, result=result, error=error, hint=hint  # type: ignore[arg-type]
        )  # fmt: skip
        self._busy.discard(key)
        self._moved.set()
        if result == "failed":
            self._causes[key] = address
        for dependent in self._dependents[key]:
            self._left[dependent].discard(key)
            if result in ("failed", "skipped"):
                self._causes.setdefault(dependent, self._causes[key])
            if not self._left[dependent]:
                self._may_begin(dependent)

    def _may_begin(self, key: str) -> None:
        if cause := self._causes.get(key):
            address = operations.resource(self._operations[key])
            text = f"{cause} failed"
            self._report(Skipped(address, text))
            self._end(key, "skipped", text)
        else:
            heapq.heappush(self._ready, self._numbers[key])
