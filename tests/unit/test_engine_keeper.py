"""Starts by policy and the user's own verbs do not meet in the middle of a start."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stackup.engine import running
from stackup.engine.keeper import Keeper
from stackup.engine.world import World


class _World(World):
    """One container that ended; `launched` lets its start go on."""

    def __init__(self) -> None:
        self.live, self._waiters, self.tasks = {}, set(), set()
        record = SimpleNamespace(id="c1", wish="running", held=False)
        self.records = SimpleNamespace(container=lambda _id: record)  # type: ignore[assignment]


def test_who_takes_a_container_over_waits_for_a_start_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> list[str]:
        launched, said = asyncio.Event(), list[str]()

        async def launch(_world: Any, _container: str) -> None:
            said.append("begins")
            await launched.wait()
            said.append("started")

        monkeypatch.setattr(running, "launch", launch)
        keeper = Keeper(_World())
        keeper._due("c1")

        async def stop() -> None:
            await keeper.take_over("c1")
            said.append("stopped")

        stopping = asyncio.ensure_future(stop())
        for _ in range(5):
            await asyncio.sleep(0)
        said.append("...")
        launched.set()
        await stopping
        return said

    assert asyncio.run(scenario()) == ["begins", "...", "started", "stopped"]


def test_one_that_only_waits_for_its_start_is_taken_over_at_once() -> None:
    async def scenario() -> bool:
        keeper = Keeper(_World())
        timer = asyncio.get_running_loop().call_later(60, keeper._due, "c1")
        keeper._timers["c1"] = (timer, 0.0)
        await keeper.take_over("c1")
        return timer.cancelled() and not keeper._timers

    assert asyncio.run(scenario())
