"""Records -> the network's State: who is where, who serves what. Pure.

Services are called `<stack>/<service>` there, because a root holds many stacks; their bare names are aliases on their
networks. A replica is ready while it runs and its health check, where it has one, says healthy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from stackup.engine.leases import Lease
from stackup.engine.records import ContainerRecord, NetworkRecord
from stackup.engine.views import Published
from stackup.runtime.network.values import Endpoint, NetworkValue, Publish, ServiceAddress, State
from stackup.spec.model import Service


def network_value(record: NetworkRecord, root_id: str, dns_port: int = 0) -> NetworkValue:
    return NetworkValue(
        name=record.name, number=number_of(record.bridge, root_id), subnet=record.subnet,
        internal=record.network.internal, dns_port=dns_port, chosen=record.network.gateway or "",
    )  # fmt: skip


def number_of(bridge: str, root_id: str) -> int:
    """The network's number back from its bridge's name (see runtime/network/values.py)."""
    return int(bridge.removeprefix(f"su{root_id}n"), 36)


def free_number(bridges: Iterable[str], root_id: str) -> int:
    used = {number_of(b, root_id) for b in bridges}
    return next(n for n in range(len(used) + 1) if n not in used)


def service_key(stack: str, service: str) -> str:
    return f"{stack}/{service}"


def owner(stack: str, service: str) -> str:
    """The owner in the ledger of what belongs to a service: its addresses and ports."""
    return f"service:{stack}/{service}"


def publishing_network(stack: str, service: Service, networks: Mapping[str, NetworkRecord]) -> str | None:
    """The network by which a service's published ports reach it: the first that is not internal."""
    for key in service.networks:
        record = next((n for n in networks.values() if (n.stack, n.key) == (stack, key)), None)
        if record is not None and not record.network.internal:
            return record.name
    return None


def state(
    *, networks: Collection[NetworkRecord], containers: Collection[ContainerRecord], running: Collection[str],
    leases: Collection[Lease], published: Mapping[str, tuple[Published, ...]], values: Mapping[str, NetworkValue],
    way_out: bool,
) -> State:  # fmt: skip
    """`running`: ids of containers with a process. `leases`: all address leases. `published`: service key -> its ports.
    `values`: network name -> its value."""
    by_name = {n.name: n for n in networks}
    by_key = {(n.stack, n.key): n for n in networks}
    endpoints, services, publishes = [], [], []
    seen: set[str] = set()
    addresses = {(lease.owner, lease.scope): lease.value for lease in leases}
    for record in containers:
        key = service_key(record.stack, record.service_name)
        if record.id in running:
            endpoints += _endpoints(record, by_key)
        if key in seen:
            continue
        seen.add(key)
        services += _addresses(record, by_key, addresses)
        through = publishing_network(record.stack, record.service, by_name)
        if through is not None:
            publishes += [
                Publish(
                    service=key, network=through, target=p.target, port=p.published, protocol=p.protocol,
                    host_ip=p.host_ip,
                )
                for p in published.get(key, ())
            ]  # fmt: skip
    return State(
        networks=tuple(values.values()), endpoints=tuple(endpoints), services=tuple(services),
        publishes=tuple(publishes), way_out=way_out,
    )  # fmt: skip


def _endpoints(record: ContainerRecord, networks: Mapping[tuple[str, str], NetworkRecord]) -> list[Endpoint]:
    ready = record.state == "running" and record.health in ("none", "healthy")
    full = record.service.container_name or f"{record.stack}-{record.service_name}-{record.number}"
    names = dict.fromkeys((full, record.service.hostname or record.id, record.id))
    links = [link.partition(":") for link in record.service.links]
    aliases = tuple((alias, service_key(record.stack, name)) for name, _, alias in links if alias)
    return [
        Endpoint(
            container=record.id, network=networks[record.stack, key].name, address=address,
            service=service_key(record.stack, record.service_name), names=tuple(names), ready=ready, links=aliases,
        )
        for key, address in record.addresses.items()
        if (record.stack, key) in networks
    ]  # fmt: skip


def _addresses(
    record: ContainerRecord, networks: Mapping[tuple[str, str], NetworkRecord], leased: Mapping[tuple[str, str], str]
) -> list[ServiceAddress]:
    found = []
    for key, attachment in record.service.networks.items():
        network = networks.get((record.stack, key))
        if network is None:
            continue
        aliases = tuple(dict.fromkeys((record.service_name, *attachment.aliases)))
        found.append(
            ServiceAddress(
                service=service_key(record.stack, record.service_name), network=network.name,
                address=leased.get((owner(record.stack, record.service_name), network.name)),
                mode=record.service.endpoint_mode, aliases=aliases,
            )
        )  # fmt: skip
    return found
