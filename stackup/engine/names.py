"""The name servers, one a network: sockets on the gateway's high port, kept by the spawner through our deaths.

They lie in its descriptor store under `dns:<network>`, so a question that is asked while we are away waits in them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stackup.engine.children import Fds
from stackup.runtime.network import nameserver
from stackup.runtime.network.names import Directory
from stackup.runtime.network.nameserver import Forwarder, NameServer
from stackup.runtime.network.values import NetworkValue, State

if TYPE_CHECKING:
    from stackup.engine.world import World

_STORED = "dns:"


class NameService:
    def __init__(self) -> None:
        self._directory = Directory()
        self._forwarder = Forwarder()
        self._sockets: dict[str, tuple[socket.socket, socket.socket]] = {}
        self._servers: dict[str, NameServer] = {}

    async def serve(self, world: World, network: NetworkValue) -> int:
        """Answer for a network from now on; the port on its gateway."""
        kept = self._sockets.get(network.name)
        if kept is None:
            udp, tcp, _port = nameserver.bind(network.gateway)
            kept = self._sockets[network.name] = (udp, tcp)
            self._store(world, network.name)
        # The server closes what it is given; ours stay for handing over.
        server = NameServer(kept[0].dup(), kept[1].dup(), self._directory.view, self._forwarder)
        await server.start()
        self._servers[network.name] = server
        return int(kept[0].getsockname()[1])

    async def end(self, world: World, network: str) -> None:
        if server := self._servers.pop(network, None):
            await server.close()
        for one in self._sockets.pop(network, ()):
            one.close()
        world.children.tell("drop", key=_STORED + network)

    def show(self, state: State) -> None:
        self._directory.update(state)

    def _store(self, world: World, network: str) -> None:
        udp, tcp = self._sockets[network]
        world.children.tell("store", key=_STORED + network, value=None, fds={"udp": udp.fileno(), "tcp": tcp.fileno()})

    # Death and return

    def take_up(self, stored: Mapping[str, tuple[object, Fds]]) -> None:
        for key, (_value, fds) in stored.items():
            if key.startswith(_STORED):
                kept = (socket.socket(fileno=fds["udp"]), socket.socket(fileno=fds["tcp"]))
                self._sockets[key.removeprefix(_STORED)] = kept

    def hand_over(self, world: World) -> None:
        for network in self._sockets:
            self._store(world, network)

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()
        for kept in self._sockets.values():
            for one in kept:
                one.close()
        self._servers.clear()
        self._sockets.clear()
