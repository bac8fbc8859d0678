"""The networks of a root's stacks: bridges, addresses, published ports, and who serves which name.

What the kernel and the name service are to show is computed from the records whenever something changed; several
changes become one transaction of the firewall. All netlink and nftables work happens in the worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING

from stackup.engine import topology
from stackup.engine.children import Fds
from stackup.engine.names import NameService
from stackup.engine.ports import Ports
from stackup.engine.records import ContainerRecord, NetworkRecord, Records
from stackup.engine.world import Live, World
from stackup.errors import StackupError
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.runtime.network import ipam, sysctls
from stackup.runtime.network.fabric import Fabric
from stackup.runtime.network.values import Attachment, NetworkValue, State, host_link
from stackup.spec.model import Service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def _gateway(network: NetworkRecord) -> str:
    return network.network.gateway or ""


_CROWD, _GATHER = 0.05, 0.008  # seconds: changes so close to the last ones wait so long for others
_COMING = 0.03  # seconds for which those are waited for who are about to change something
_USED = "network.used"  # a fact: links or rules of this root may be in the kernel


class Networks:
    """Use it from the loop's thread. `world` is set right after both are made."""

    world: World

    def __init__(self, host: Host, records: Records) -> None:
        self._host = host
        self._records = records
        self._fabric = Fabric(host.id)
        self._applied = State()
        self._way_out = bool(sysctls.way_out(host.proc))
        self._values: dict[str, NetworkValue] = {}
        self._released: dict[str, list[str]] = {}  # network name -> addresses given back, oldest first
        self._dirty = False
        self._flush: asyncio.Task[None] | None = None
        self._coming = 0
        self._alone = asyncio.Event()  # nobody is coming
        self._failure: StackupError | None = None
        self._shown = 0.0  # when changes were shown last, monotonic seconds
        self.names = NameService()
        self.ports = Ports(records)

    # Networks

    async def create(self, desired: Desired, key: str) -> None:
        """Make a network of the wish, or mend what is missing of it."""
        wanted = desired.networks[key]
        record = self._records.network(wanted.name)
        self._records.remember(_USED, True)
        if record is None:
            record = self._choose(desired, key)
            self._records.add_network(record)
        await self._show(record)
        self._fabric.forget()  # where somebody took our rules away, all of them are written again
        self._applied = State()
        self.changed(desired.stack)
        await self.settle()
        lost = {record.name} - self._with_bridge()
        await self.world.blocking(self._fabric.create, self._values[record.name])
        await self._reattach(lost)

    def _choose(self, desired: Desired, key: str) -> NetworkRecord:
        wanted, known = desired.networks[key], self._records.networks()
        taken, routed = [n.subnet for n in known], sysctls.foreign_subnets(self._host.id, self._host.proc)
        if wanted.network.subnet:
            subnet = ipam.check_subnet(wanted.network.subnet, taken, routed)
        else:
            users = [s.service for s in desired.services.values() if key in s.service.networks]
            subnet = ipam.choose_subnet(taken, routed, addresses=sum(s.replicas + 1 for s in users))
        number = topology.free_number([n.bridge for n in known], self._host.id)
        value = NetworkValue(name=wanted.name, number=number, subnet=subnet)  # for its link alone
        return NetworkRecord(
            name=wanted.name, stack=desired.stack, key=key, subnet=subnet, bridge=value.link(self._host.id),
            network=wanted.network,
        )  # fmt: skip

    async def _show(self, record: NetworkRecord) -> None:
        """Know a network from now on, with a name server of its own."""
        if record.name not in self._values:
            value = topology.network_value(record, self._host.id)
            port = await self.names.serve(self.world, value)
            self._values[record.name] = topology.network_value(record, self._host.id, port)

    async def delete(self, stack: str, key: str) -> None:
        """Take a network away; nothing is on it any more."""
        record = next((n for n in self._records.networks(stack) if n.key == key), None)
        if record is None:
            return
        value = self._values.get(record.name) or topology.network_value(record, self._host.id)
        await self.world.blocking(self._fabric.delete, value)
        self._values.pop(record.name, None)
        self._released.pop(record.name, None)
        await self.names.end(self.world, record.name)
        self._records.delete_network(record)
        self.changed(stack)
        await self.settle()

    def gateway(self, stack: str, key: str) -> str:
        record = self._record(stack, key)
        return topology.network_value(record, self._host.id).gateway if record else ""

    def _record(self, stack: str, key: str) -> NetworkRecord | None:
        return next((n for n in self._records.networks(stack) if n.key == key), None)

    # Containers

    def lease(self, desired: Desired, container_id: str, service: Service) -> dict[str, str]:
        """Addresses for a new container on each of its networks, and for its service. Network key -> address."""
        found: dict[str, str] = {}
        if service.network_mode != "bridge":
            return found
        for key, attachment in service.networks.items():
            record = self._record(desired.stack, key)
            assert record is not None, f"network {key} was not created"
            taken = set(self._records.ledger.values("address", record.name))
            self._service_address(desired.stack, service, record, taken)
            if attachment.ipv4_address and service.replicas == 1:
                address = ipam.static_address(record.subnet, attachment.ipv4_address, taken, gateway=_gateway(record))
            else:
                address = ipam.container_address(
                    record.subnet, taken, self._released.get(record.name, ()), within=record.network.ip_range,
                    gateway=_gateway(record),
                )  # fmt: skip
            self._records.ledger.take("address", record.name, address, container_id)
            found[key] = address
        return found

    def _service_address(self, stack: str, service: Service, network: NetworkRecord, taken: set[str]) -> None:
        """Lease one where the service has none yet; `taken` then has it, too."""
        owner, ledger = topology.owner(stack, service.name), self._records.ledger
        if service.endpoint_mode == "vip" and not any(
            lease.kind == "address" and lease.scope == network.name for lease in ledger.of(owner)
        ):
            released = self._released.get(network.name, ())
            address = ipam.service_address(
                network.subnet, taken, released, within=network.network.ip_range, gateway=_gateway(network)
            )  # fmt: skip
            ledger.take("address", network.name, address, owner)
            taken.add(address)

    def given_back(self, record: ContainerRecord) -> None:
        """The addresses of a deleted container are free again; they are given out last."""
        for key, address in record.addresses.items():
            if network := self._record(record.stack, key):
                self._released.setdefault(network.name, []).append(address)

    async def attach(self, record: ContainerRecord, live: Live) -> None:
        """Give a container its interfaces and its ports; rules that let its packets pass stand after `settle`."""
        if record.service.network_mode != "bridge":
            return
        await self.ports.publish(self.world, record)
        self.changed(record.stack)
        if record.addresses:
            attachments = self._attachments(record)
            await self.world.blocking(self._fabric.attach, live.fds["net"], attachments)

    def _attachments(self, record: ContainerRecord) -> list[Attachment]:
        found = []
        for position, (key, address) in enumerate(record.addresses.items()):
            network = self._record(record.stack, key)
            assert network is not None, f"network {key} was not created"
            found.append(Attachment(network=self._values[network.name], address=address, position=position))
        return found

    async def forget_stack(self, stack: str) -> None:
        """After `down`: give back the services' addresses and ports."""
        self.ports.release(self.world, stack)
        self.changed(stack)
        await self.settle()

    def forget_service(self, stack: str, name: str) -> None:
        """The same for one service that was removed from the file."""
        self.ports.release(self.world, stack, name)
        self.changed(stack)

    # What changed

    def changed(self, stack: str) -> None:
        """Something that the network shows is another one now; it will be shown soon, together with what else is."""
        self._dirty = True
        if self._flush is None:
            self._flush = self.world.spawn(self._show_changes())

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Around what ends with a change: changes of others wait a while for this one."""
        self._coming += 1
        self._alone.clear()
        try:
            yield
        finally:
            self._coming -= 1
            if not self._coming:
                self._alone.set()

    async def settle(self) -> None:
        """Wait until everything is shown. Raises what went wrong."""
        while self._flush is not None:
            await asyncio.shield(self._flush)
        if self._failure is not None:
            raise self._failure

    async def _show_changes(self) -> None:
        try:
            while self._dirty:
                await self._gather()
                self._dirty = False
                await self._apply(self._state())
                self._failure = None
                self._shown = time.monotonic()
        except StackupError as error:
            self._failure = error
            print(f"network: {error.message}", file=sys.stderr, flush=True)  # noqa: T201
        except Exception as error:
            traceback.print_exc()
            self._failure = StackupError(f"a mistake in stackup: {type(error).__name__}: {error}")
        finally:
            self._flush = None

    async def _gather(self) -> None:
        """Whoever changes something meanwhile joins: in a crowd a transaction for each would cost more than all the
        rest; a single change waits for nobody."""
        crowd = time.monotonic() - self._shown < _CROWD
        await asyncio.sleep(_GATHER if crowd else 0)
        if self._coming:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._alone.wait(), _COMING)

    async def _apply(self, state: State) -> None:
        self.names.show(state)
        if state != self._applied:
            await self.world.blocking(self._fabric.apply, state)
            self._applied = state

    def _state(self) -> State:
        if not self._values:
            return State()
        records, networks = self._records.containers(), self._records.networks()
        return topology.state(
            networks=[n for n in networks if n.name in self._values], containers=records,
            running=set(self.world.live), leases=self._records.ledger.all("address"),
            published=self.ports.published(), values=self._values,
            way_out=self._way_out,
        )  # fmt: skip

    def look(self) -> None:
        """Follow a host that forwards by now, or no more: nobody tells us."""
        before, self._way_out = self._way_out, bool(sysctls.way_out(self._host.proc))
        if self._values and self._way_out != before:
            self.changed("")

    # Death and return

    async def recover(self, stored: Mapping[str, tuple[object, Fds]]) -> None:
        """Take up the sockets that the spawner kept, and mend what the kernel lost (all of it after a reboot)."""
        self.names.take_up(stored)
        self.ports.take_up(stored)
        for record in self._records.networks():
            await self._show(record)
        if not self._values:
            return
        self.ports.reserve_again(self.world)
        self.changed("")
        await self.settle()
        lost = set(self._values) - self._with_bridge()
        for name in lost:
            await self.world.blocking(self._fabric.create, self._values[name])
        await self._reattach(lost)

    def _with_bridge(self) -> set[str]:
        """The networks whose bridge is there."""
        links = {link for _index, link in socket.if_nameindex()}
        return {name for name, value in self._values.items() if value.link(self._host.id) in links}

    async def _reattach(self, lost: Collection[str]) -> None:
        """Containers whose links are gone get them again (we died between their process and their links, or somebody
        deleted them), and so do those of networks that had lost their bridge: their links hang in the air."""
        links = {link for _index, link in socket.if_nameindex()}
        hanging = {(n.stack, n.key) for n in self._records.networks() if n.name in lost}
        for record in self._records.containers() if self.world.live else ():
            live = self.world.live.get(record.id)
            cut = any(
                (record.stack, key) in hanging or host_link(self._host.id, address) not in links
                for key, address in record.addresses.items()
            )
            if live is None or not cut:
                continue
            try:
                await self.world.blocking(self._fabric.attach, live.fds["net"], self._attachments(record))
            except StackupError:
                if record.id in self.world.live:
                    raise

    async def hand_over(self) -> None:
        """A new spawner keeps our sockets from now on."""
        self.names.hand_over(self.world)
        self.ports.hand_over(self.world)

    async def close(self) -> None:
        """The root's last stack is down: nothing of ours stays in the kernel."""
        await self.names.close()
        self.ports.close()
        await self.rest()

    async def rest(self) -> None:
        """The same for a supervisor that stays: it can make networks again."""
        if self._records.recall(_USED):
            await self.world.blocking(self._fabric.clear)
            self._applied = State()
            if not self._records.networks():  # else one was asked for meanwhile
                self._records.forget(_USED)
