"""Volumes: folders below <root>/volumes whose files carry the containers' own ids. Bind sources are in `binds`.

A new volume is marked fresh until the first container that mounts it is made: then it takes content, owner and mode
from that container's image, built aside and renamed into place. An anonymous volume belongs to its container, is named
after it, and goes with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stackup import paths
from stackup.builder import snapshotter
from stackup.builder.view import View
from stackup.classes import dataclass
from stackup.engine import binds
from stackup.engine import records as state
from stackup.engine.mounts import Source, anonymous_targets
from stackup.engine.records import ContainerRecord, Records, VolumeRecord
from stackup.engine.volume_content import fill
from stackup.errors import Conflict, KernelError, NotFound
from stackup.oci import Document
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.spec.model import Service

if TYPE_CHECKING:
    from stackup.engine.world import World

_FRESH = "user.stackup.fresh"


@dataclass(frozen=True, slots=True)
class Needed:
    """A volume that a container mounts at `target`; `name` as kept in the root. `copy`: fill it while it is fresh."""

    target: str
    name: str
    copy: bool = True
    anonymous: bool = False


def needed(service: Service, container_id: str, image_config: Document, names: Mapping[str, str]) -> tuple[Needed, ...]:
    """The volumes of a container, its image's anonymous ones too. `names`: volume key -> name in the root, for mounts
    that do not say it. Pure."""
    found = []
    for mount in service.volumes:
        if mount.type != "volume":
            continue
        if mount.source and not mount.name and mount.source not in names:
            raise NotFound(f"volume {mount.source} of service {service.name} does not exist", hint="run `stackup up`")
        name = anonymous_name(container_id, mount.target)
        if mount.source:
            name = mount.name or names[mount.source]
        found.append(Needed(mount.target, name, not mount.nocopy, not mount.source))
    for target in anonymous_targets(service, image_config):
        found.append(Needed(target, anonymous_name(container_id, target), anonymous=True))
    return tuple(found)


def anonymous_name(container_id: str, target: str) -> str:
    import hashlib  # here: it brings OpenSSL, and hardly any service has such a volume

    return f"{container_id}_{hashlib.sha256(target.encode()).hexdigest()[:12]}"


# Named volumes


def create(host: Host, records: Records, desired: Desired, key: str) -> None:
    """Make a volume of the stack known, and its folder. A folder that is there keeps its content.

    Raises NotFound for an external volume that does not exist, Conflict for a name that is another stack's.
    """
    wanted = desired.volumes[key]
    if wanted.volume.external:
        if not os.path.isdir(host.volume(wanted.name)):
            raise NotFound(
                f"external volume {wanted.name} does not exist", hint="the stack that owns it must be up first",
                resource=f"volume:{key}",
            )  # fmt: skip
        return
    known = records.volume(wanted.name)
    if known is not None and known.stack not in (None, desired.stack):
        raise Conflict(
            f"volume {wanted.name} belongs to stack {known.stack}", hint="'external: true' shares it",
            resource=f"volume:{key}",
        )  # fmt: skip
    make_folder(host, wanted.name)
    if known is None:
        labels = wanted.volume.labels
        records.add_volume(
            VolumeRecord(name=wanted.name, stack=desired.stack, key=key, created=time.time(), labels=labels)
        )


def make_folder(host: Host, name: str) -> None:
    """An empty folder marked fresh, unless it is there."""
    final = host.volume(name)
    if os.path.isdir(final):
        return
    try:
        aside = _aside(host)
        os.setxattr(aside, _FRESH, b"1")
        with contextlib.suppress(FileExistsError):
            os.rename(aside, final)
    except OSError as error:
        raise KernelError.of(f"make volume {name}", error) from error


def _aside(host: Host) -> str:
    path = os.path.join(host.tmp, f"volume.{os.urandom(6).hex()}")
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)  # whatever our umask is
    return path


def users(records: Records, name: str) -> tuple[str, ...]:
    """Addresses (`shop service:web/1`) of the containers that mount a named volume."""
    found = []
    names: dict[str, Mapping[str, str]] = {}
    for container in records.containers():
        if container.stack not in names:
            names[container.stack] = records.volume_names(container.stack)
        mounts = [m for m in container.service.volumes if m.type == "volume" and m.source]
        if name in {m.name or names[container.stack].get(m.source) for m in mounts}:
            found.append(f"{container.stack} service:{container.service_name}/{container.number}")
    return tuple(found)


def refuse_in_use(records: Records, name: str) -> None:
    """Raises Conflict that names who mounts the volume."""
    if mounting := users(records, name):
        raise Conflict(f"volume {name} is in use by {', '.join(mounting)}", hint="take those services down first")


def remove_files(host: Host, name: str) -> None:
    """Take the folder away, all at once for whoever looks. Not there is no error."""
    gone = os.path.join(host.tmp, f"volume.{os.urandom(6).hex()}")
    try:
        os.rename(host.volume(name), gone)
        paths.remove_tree(gone)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError.of(f"remove volume {name}", error) from error


def forget(records: Records, name: str) -> None:
    """The folder is gone: the record goes too."""
    if record := records.volume(name):
        records.delete_volume(record)


# For a container


def prepare(world: World, record: ContainerRecord) -> None:
    """Make sure that every volume and bind source of a container is there, fresh volumes filled from its image.

    For the worker thread: reads the records over a connection of its own. Raises NotFound, BadInput, KernelError.
    """
    if not record.service.volumes and not _declares(world, record):
        return
    names, folder = _wish(world.host, record)
    image = world.images.get(record.digest)
    wanted = needed(record.service, record.id, image.config, names)
    fresh = [one for one in wanted if _ensure(world.host, one)]
    if fresh:
        view = View(snapshotter.lower_folders(world.host, image.diff_ids))
        for one in fresh:
            settle(world.host, one, view)
    binds.keep(world.host, record.id, binds.resolve(world.host, record.service, folder))


def _declares(world: World, record: ContainerRecord) -> bool:
    return bool((world.images.get(record.digest).config.get("config") or {}).get("Volumes"))


def _wish(host: Host, record: ContainerRecord) -> tuple[Mapping[str, str], str]:
    """Volume key -> name, and the stack file's folder."""
    reader = state.read(host)
    assert reader is not None
    with reader:
        stack = reader.stack(record.stack)
        assert stack is not None
        return reader.volume_names(record.stack), stack.folder


def _ensure(host: Host, one: Needed) -> bool:
    """Whether it is fresh. A named volume is made by its own operation, an anonymous one here."""
    path = host.volume(one.name)
    if one.anonymous:
        make_folder(host, one.name)
    try:
        os.getxattr(path, _FRESH)
    except FileNotFoundError as error:
        raise NotFound(f"volume {one.name} does not exist", hint="run `stackup up`") from error
    except OSError as error:
        if error.errno == errno.ENODATA:
            return False
        raise KernelError.of(f"look at volume {one.name}", error) from error
    return True


def settle(host: Host, one: Needed, view: View) -> None:
    """A fresh volume becomes what its first container is to see; from then on nobody but containers writes to it."""
    path = host.volume(one.name)
    try:
        if one.copy:
            aside = _aside(host)
            try:
                if fill(view, one.target, aside):
                    os.rename(aside, path)  # over the empty folder; the mark goes with it
                    return
                os.rmdir(aside)
            except BaseException:
                paths.remove_tree(aside)
                raise
        os.removexattr(path, _FRESH)
    except OSError as error:
        raise KernelError.of(f"fill volume {one.name} from the image's {one.target}", error) from error


def sources(world: World, record: ContainerRecord) -> dict[str, Source]:
    """Target -> where it comes from, for `bundle`. For the loop's thread."""
    config = world.images.get(record.digest).config
    named = any(m.type == "volume" and m.source for m in record.service.volumes)
    names = world.records.volume_names(record.stack) if named else {}
    found = {n.target: Source(world.host.volume(n.name)) for n in needed(record.service, record.id, config, names)}
    kept = binds.kept(world.host, record.id)
    for mount in record.service.volumes:
        if mount.type == "bind":
            found[mount.target] = binds.source(record.service, mount.target, kept.get(mount.target, mount.source))
    return found


def forget_anonymous(world: World, record: ContainerRecord) -> None:
    """Take away the anonymous volumes of a container, whatever its image is now."""
    with contextlib.suppress(FileNotFoundError):
        for name in anonymous(os.listdir(world.host.path("volumes")), record.id):
            remove_files(world.host, name)


def anonymous(names: Iterable[str], container_id: str) -> list[str]:
    """Those of a container among the names of volumes."""
    return [name for name in names if name.startswith(f"{container_id}_")]
