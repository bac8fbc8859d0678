"""Published ports: reserved by a bound socket while the service exists, remembered with the number they really have.

The sockets lie in the spawner's descriptor store too, under `ports:<stack>/<service>`, so no death of ours gives a
port away. What is published is a fact in state.db, `published:<stack>/<service>`, which `ps` reads.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from stackup.engine import topology
from stackup.engine.children import Fds
from stackup.engine.records import ContainerRecord, Records
from stackup.engine.views import Published
from stackup.errors import Conflict, StackupError
from stackup.runtime.network import ports
from stackup.runtime.network.values import Protocol
from stackup.spec.model import Port
from stackup.values import from_plain, to_plain

if TYPE_CHECKING:
    from stackup.engine.world import World
    from stackup.planner.desired import Desired

_STORED, _FACT = "ports:", "published:"


class Ports:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._sockets: dict[str, dict[str, socket.socket]] = {}  # service key -> name -> bound socket
        self._lock = asyncio.Lock()
        facts = records.facts(_FACT)
        self._published = {k.removeprefix(_FACT): tuple(from_plain(Published, p) for p in facts[k]) for k in facts}

    def published(self) -> Mapping[str, tuple[Published, ...]]:
        """Service key -> its published ports."""
        return self._published

    def _remember(self, key: str, published: Iterable[Published]) -> None:
        self._published = {**self._published, key: tuple(published)}
        self._records.remember(_FACT + key, [to_plain(p) for p in self._published[key]])

    async def publish(self, world: World, record: ContainerRecord) -> None:
        """Reserve what the service of this container publishes, and give up what it no longer does.

        Raises Conflict that names the port where somebody else has it.
        """
        key = topology.service_key(record.stack, record.service_name)
        if not record.service.ports and not self.published().get(key, ()):
            return
        async with self._lock:  # replicas of a service ask for the same ports at the same time
            await self._publish(world, record, key)

    async def _publish(self, world: World, record: ContainerRecord, key: str) -> None:
        before = self.published().get(key, ())
        held = self._sockets.setdefault(key, {})
        try:
            now = await self._taken(world, record, before, held)
        except StackupError:
            _keep(held, before)
            self._again(world, key, before)
            raise
        wanted = _keep(held, now)
        if tuple(now) != before:
            self._remember(key, now)
        if wanted != {_name(p.protocol, p.host_ip, p.published) for p in before}:
            self._store(world, key)

    def exchange(self, world: World, desired: Desired) -> None:
        """Give up what one service has, no longer wants, and another one wants: two that exchange their ports would
        wait for each other."""
        for key, published in self.published().items():
            stack, _, name = key.partition("/")
            if stack != desired.stack or name not in desired.services:
                continue
            kept = {_name(p.protocol, p.host_ip, p.published) for p in desired.services[name].service.ports}
            others = {
                (p.protocol, p.published) for other, s in desired.services.items() if other != name
                for p in s.service.ports if p.published
            }  # fmt: skip
            left = tuple(
                p for p in published
                if _name(p.protocol, p.host_ip, p.published) in kept or (p.protocol, p.published) not in others
            )  # fmt: skip
            if left != published:
                _keep(self._sockets.setdefault(key, {}), left)
                self._remember(key, left)
                self._store(world, key)

    async def _taken(
        self, world: World, record: ContainerRecord, before: tuple[Published, ...], held: dict[str, socket.socket]
    ) -> list[Published]:
        """Reserve each port of a service. A reservation of our own that only stands in the way goes first: one of
        127.0.0.1:80 keeps 0.0.0.0:80 from being made."""
        key = topology.service_key(record.stack, record.service_name)
        wanted = {_name(p.protocol, p.host_ip, p.published) for p in record.service.ports}
        numbers = {_number(name) for name in wanted}
        for name in [n for n in held if n not in wanted and _number(n) in numbers]:
            held.pop(name).close()
            self._store(world, key)
        now: list[Published] = []
        for port in record.service.ports:
            number = port.published or _number_before(port, before, now)
            if number == 0 or _name(port.protocol, port.host_ip, number) not in held:
                bound, number = await self._reserve(world, key, port.host_ip, number, port.protocol)
                held[_name(port.protocol, port.host_ip, number)] = bound
            now.append(
                Published(
                    service=record.service_name, host_ip=port.host_ip, published=number, target=port.target,
                    protocol=port.protocol,
                )
            )  # fmt: skip
        return now

    async def _reserve(
        self, world: World, key: str, host_ip: str, number: int, protocol: Protocol
    ) -> tuple[socket.socket, int]:
        try:
            return ports.reserve(host_ip, number, protocol)
        except Conflict:
            await world.children.call("drop", key="")  # when this is answered, what we gave up is closed there, too
            return self._reserve_now(key, host_ip, number, protocol)

    def _reserve_now(self, key: str, host_ip: str, number: int, protocol: Protocol) -> tuple[socket.socket, int]:
        """Raises Conflict that names the service that has the port, where it is one of this root."""
        try:
            return ports.reserve(host_ip, number, protocol)
        except Conflict as error:
            for other, published in self.published().items():
                if other != key and any(_overlap(p, host_ip, number, protocol) for p in published):
                    stack, _, service = other.partition("/")
                    raise Conflict(
                        f"port {host_ip}:{number}/{protocol} is taken by service:{service} of stack {stack}",
                        hint="publish another one",
                    ) from error
            raise

    def release(self, world: World, stack: str, service: str | None = None) -> None:
        """Give up ports and addresses of a service, or of all services of a stack."""
        keys = {*self._sockets, *self.published()}
        owners = {lease.owner.removeprefix("service:") for lease in self._records.ledger.all("address")}
        for key in keys | {o for o in owners if "/" in o}:
            name = key.removeprefix(f"{stack}/")
            if not key.startswith(f"{stack}/") or service not in (None, name):
                continue
            for bound in self._sockets.pop(key, {}).values():
                bound.close()
            world.children.tell("drop", key=_STORED + key)
            if key in self._published:
                self._published = {k: p for k, p in self._published.items() if k != key}
                self._records.forget(_FACT + key)
            self._records.ledger.release(topology.owner(stack, name))

    def _store(self, world: World, key: str) -> None:
        held = self._sockets.get(key, {})
        if held:
            world.children.tell(
                "store", key=_STORED + key, value=None, fds={n: s.fileno() for n, s in held.items()}
            )  # fmt: skip
        else:
            world.children.tell("drop", key=_STORED + key)

    # Death and return

    def take_up(self, stored: Mapping[str, tuple[object, Fds]]) -> None:
        for key, (_value, fds) in stored.items():
            if key.startswith(_STORED):
                held = {name: socket.socket(fileno=descriptor) for name, descriptor in fds.items()}
                self._sockets[key.removeprefix(_STORED)] = held

    def reserve_again(self, world: World) -> None:
        """What nobody holds any more, as the spawner died with us: the ports of what runs on."""
        for key, published in self.published().items():
            self._again(world, key, published)

    def _again(self, world: World, key: str, published: Collection[Published]) -> None:
        held = self._sockets.setdefault(key, {})
        missing = [p for p in published if _name(p.protocol, p.host_ip, p.published) not in held]
        for one in missing:
            try:
                bound, _same = self._reserve_now(key, one.host_ip, one.published, one.protocol)
                held[_name(one.protocol, one.host_ip, one.published)] = bound
            except StackupError as error:
                print(f"service:{key}: {error.message}", file=sys.stderr, flush=True)  # noqa: T201
        if missing:
            self._store(world, key)

    def hand_over(self, world: World) -> None:
        for key in self._sockets:
            self._store(world, key)

    def close(self) -> None:
        for held in self._sockets.values():
            for bound in held.values():
                bound.close()
        self._sockets.clear()


def _name(protocol: str, host_ip: str, number: int) -> str:
    return f"{protocol}/{host_ip}/{number}"


def _keep(held: dict[str, socket.socket], wanted: Iterable[Published]) -> set[str]:
    """Close all others; the names of those that are wanted."""
    names = {_name(p.protocol, p.host_ip, p.published) for p in wanted}
    for name in [n for n in held if n not in names]:
        held.pop(name).close()
    return names


def _number(name: str) -> tuple[str, int]:
    protocol, _address, number = name.split("/")
    return protocol, int(number)


def _overlap(one: Published, host_ip: str, number: int, protocol: Protocol) -> bool:
    anywhere = "0.0.0.0" in (one.host_ip, host_ip)
    return (one.published, one.protocol) == (number, protocol) and (anywhere or one.host_ip == host_ip)


def _number_before(port: Port, before: Collection[Published], now: Collection[Published]) -> int:
    """A port that we chose keeps its number for as long as the service publishes it."""
    for one in before:
        same = (one.host_ip, one.target, one.protocol) == (port.host_ip, port.target, port.protocol)
        if same and one not in now:
            return one.published
    return 0
