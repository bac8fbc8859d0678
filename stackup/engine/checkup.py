"""What `doctor` finds about a root: its networks in the kernel beside its records. Reads only."""

from __future__ import annotations

from stackup.engine import identity, processes, topology
from stackup.engine import records as state
from stackup.engine.records import Records
from stackup.linux.features import Feature
from stackup.paths import Host
from stackup.runtime.network import survey
from stackup.runtime.network.values import NetworkValue


def networks(host: Host) -> tuple[Feature, ...]:
    """One for each network of the root, and one where links are left that belong to nothing.

    Raises Conflict where the root's supervisor works in another network namespace, KernelError.
    """
    identity.check(host)
    records = state.read(host)
    if records is None:
        return ()
    with records:
        expected = _expected(host, records)
    if not expected:
        return ()
    findings = survey.compare(host.id, expected, survey.read(host.id))
    return tuple(_feature(one) for one in findings)


def _expected(host: Host, records: Records) -> dict[NetworkValue, list[str]]:
    """Each network with the addresses of the containers that run on it."""
    boot = identity.boot_id(host)
    known = {(n.stack, n.key): topology.network_value(n, host.id) for n in records.networks()}
    found: dict[NetworkValue, list[str]] = {value: [] for value in known.values()}
    for container in records.containers():
        if processes.alive(host, boot, container):
            for key, address in container.addresses.items():
                if value := known.get((container.stack, key)):
                    found[value].append(address)
    return found


def _feature(one: survey.Finding) -> Feature:
    name, degrades = "links", "nothing yet; a new container may want such a name"
    if one.network:
        name, degrades = f"network {one.network}", "its services may not reach one another"
    return Feature(name, not one.faults, "; ".join((one.about, *one.faults)), degrades, remedy="stackup up")
