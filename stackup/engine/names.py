"""The name servers, one a network: sockets on the gateway's high port, kept by the spawner through our deaths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackup.engine.children import Fds
from stackup.runtime.network.values import NetworkValue, State

if TYPE_CHECKING:
    from stackup.engine.world import World


class NameService:
    async def serve(self, world: World, network: NetworkValue) -> int:
        return 0

    def end(self, world: World, network: NetworkValue) -> None: ...

    def show(self, state: State) -> None: ...

    def take_up(self, stored: Mapping[str, tuple[object, Fds]]) -> None: ...

    def hand_over(self, world: World) -> None: ...

    def close(self) -> None: ...
