"""A container on disk: make it and take it away. Its processes are running.py's.

Make: the record with its leases first (the intent, in the journal until the end), then the folder. Take away: the
folder first, the record last. Whatever a crash leaves between is found in the journal and undone or finished.
"""

from __future__ import annotations

import functools
import os
import time

from stackup import oci, paths
from stackup.builder import snapshotter
from stackup.builder.view import View
from stackup.engine import bundle, etc, groups, leases, mounts, volumes
from stackup.engine.records import ContainerRecord
from stackup.engine.world import World
from stackup.errors import KernelError
from stackup.oci import Document, Mount
from stackup.planner.desired import Desired
from stackup.runtime.idmap import IdMap

MAKE, DELETE = "make-container", "delete-container"


async def make(world: World, desired: Desired, service_name: str, number: int, generation: int) -> ContainerRecord:
    """Make a replica: record, ids, addresses, writable layer, volumes. Undone where a step fails."""
    record, entry = _intend(world, desired, service_name, number, generation)
    try:
        _folder(world, record)
        if record.service.volumes or mounts.anonymous_targets(record.service, image_config(world, record)):
            await world.blocking(volumes.prepare, world, record)
    except OSError as error:
        undo(world, record)
        raise KernelError.of(f"make the container of service:{service_name}/{number}", error) from error
    except BaseException:
        undo(world, record)
        raise
    finally:
        world.records.end(entry)
    return record


def _intend(
    world: World, desired: Desired, service_name: str, number: int, generation: int
) -> tuple[ContainerRecord, int]:
    wished = desired.services[service_name]
    assert wished.digest is not None, f"service:{service_name} has no image pinned"
    container_id = os.urandom(6).hex()
    with world.records.step():
        base = None
        if wished.service.userns_mode != "host":
            base = world.records.ledger.take_ids(container_id, world.host.id, leases.machine_ids(world.host.proc))
        record = ContainerRecord(
            id=container_id, stack=desired.stack, service_name=service_name, number=number, digest=wished.digest,
            service=wished.service, generation=generation, id_base=base, cgroup=world.cgroup_path(container_id),
            addresses=world.networks.lease(desired, container_id, wished.service), created=time.time(),
        )  # fmt: skip
        world.records.add_container(record)
        entry = world.records.begin(
            desired.stack, f"service:{service_name}/{number}", {"kind": MAKE, "id": container_id}
        )
    return record, entry


def _folder(world: World, record: ContainerRecord) -> None:
    os.mkdir(world.host.container(record.id), 0o700)
    for name in ("etc", "log"):
        os.mkdir(world.host.container(record.id, name), 0o700)
    world.images.use(record.id, record.digest)
    diff_ids = world.images.get(record.digest).diff_ids
    upper, work = world.host.container(record.id, "upper"), world.host.container(record.id, "work")
    snapshotter.prepare(world.host, diff_ids, upper, work)


async def delete(world: World, container_id: str) -> None:
    """Take away a container without processes: folder, anonymous volumes, leases, record. Gone already is no error."""
    record = world.records.container(container_id)
    if record is None:
        return
    entry = world.records.begin(
        record.stack, f"service:{record.service_name}/{record.number}", {"kind": DELETE, "id": container_id}
    )
    world.output.finish(container_id)
    await world.blocking(paths.remove_tree, world.host.container(container_id))  # it may be large
    undo(world, record)
    world.networks.given_back(record)
    world.records.end(entry)


def undo(world: World, record: ContainerRecord) -> None:
    """Everything of a container away, as far as it is there."""
    groups.remove(world.cgroups.open(record.cgroup))
    volumes.forget_anonymous(world, record)
    paths.remove_tree(world.host.container(record.id))
    world.images.release(record.id)
    world.records.delete_container(record.id)


def image_config(world: World, record: ContainerRecord) -> Document:
    return world.images.get(record.digest).config


def rootfs(world: World, record: ContainerRecord) -> tuple[Mount, ...]:
    diff_ids = world.images.get(record.digest).diff_ids
    container = world.host.container
    return snapshotter.mounts(world.host, diff_ids, container(record.id, "upper"), container(record.id, "work"))


def id_map(record: ContainerRecord) -> IdMap | None:
    return None if record.id_base is None else IdMap(record.id_base, record.id_size)


def write_bundle(world: World, record: ContainerRecord) -> Document:
    """The runtime spec from the values as they are now, also in `config.json`; and the files in /etc."""
    hostname = record.service.hostname or record.id
    spec = bundle.bundle(
        record.service, image_config(world, record), container_id=record.id, hostname=hostname, idmap=id_map(record),
        cgroup_path=record.cgroup, sources=volumes.sources(world, record), etc=etc.write(world, record, hostname),
        hard_limits=_hard_limits(), groups=_groups(world, record),
    )  # fmt: skip
    path = world.host.container(record.id, "config.json")
    with open(path, "wb") as file:  # made anew at every start, so no need to survive a power cut
        file.write(oci.canonical_json(spec))
    return spec


def read_bundle(world: World, container_id: str) -> Document:
    import json

    with open(world.host.container(container_id, "config.json"), "rb") as file:
        return json.load(file)  # type: ignore[no-any-return]


def _groups(world: World, record: ContainerRecord) -> dict[str, int]:
    """The image's groups, where the service names one."""
    if all(group.isdigit() for group in record.service.group_add):
        return {}
    view = View(snapshotter.lower_folders(world.host, world.images.get(record.digest).diff_ids))
    return bundle.group_ids(view.read("/etc/group").decode(errors="replace"))


@functools.cache
def _hard_limits() -> dict[str, int]:
    """Of the supervisor, and so of what it makes."""
    import resource

    names = {n[7:].lower(): getattr(resource, n) for n in dir(resource) if n.startswith("RLIMIT_")}
    return {name: resource.getrlimit(number)[1] for name, number in names.items()}
