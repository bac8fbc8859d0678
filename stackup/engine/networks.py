"""The networks of a root's stacks: bridges, addresses, who serves which name and port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stackup.engine.records import ContainerRecord, Records
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.spec.model import Service

if TYPE_CHECKING:
    from stackup.engine.world import Live, World


class Networks:
    world: World

    def __init__(self, host: Host, records: Records, worker: ThreadPoolExecutor) -> None:
        self._host = host
        self._records = records
        self._worker = worker

    async def create(self, desired: Desired, key: str) -> None: ...

    async def delete(self, stack: str, key: str) -> None: ...

    def lease(self, desired: Desired, container_id: str, service: Service) -> dict[str, str]:
        return {}

    def gateway(self, stack: str, key: str) -> str:
        return ""

    async def attach(self, record: ContainerRecord, live: Live) -> None: ...

    def detach(self, container_id: str) -> None: ...

    def changed(self, stack: str) -> None: ...

    async def settle(self) -> None: ...

    async def recover(self, stored: dict[str, Any]) -> None: ...

    async def hand_over(self) -> None: ...

    def forget_stack(self, stack: str) -> None: ...

    async def close(self) -> None: ...
