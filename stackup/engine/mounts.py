"""The mounts of a container as OCI mount values, in the order they are to be made. Pure.

Kernel file systems first, then the service's own, parents before children, then our files in /etc. A mount of the
service on a default's target takes its place.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from stackup.classes import dataclass
from stackup.errors import StackupError
from stackup.oci import Document
from stackup.runtime.idmap import IdMap
from stackup.spec.model import Service, VolumeMount

SHM_SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where a mount comes from on this machine.

    `owner` None: a volume of the root, whose files carry the container's own ids. (uid, gid): a path outside the root
    with that owner; the container's root appears as this owner, and no other id exists there.
    """

    path: str
    owner: tuple[int, int] | None = None


def mount_list(
    service: Service, sources: Mapping[str, Source], etc: Mapping[str, str], idmap: IdMap | None
) -> list[Document]:
    """All `mounts` of the spec. StackupError where a mount of the service has no source."""
    own = {v.target: _own_mount(service, v, sources, idmap) for v in service.volumes}
    for target, source in sources.items():  # the image's anonymous volumes
        if target not in own:
            own[target] = bind(source, target, idmap)
    for path, file in etc.items():
        if path not in own:
            own[path] = bind(Source(file), path, idmap, nodev=False)
    defaults = [m for m in _defaults(service, idmap) if m["destination"] not in own]
    return defaults + sorted(own.values(), key=lambda m: m["destination"].rstrip("/").split("/"))


def anonymous_targets(service: Service, image_config: Document) -> tuple[str, ...]:
    """Paths that the image declares as volumes and the service mounts nothing on: each gets an anonymous volume."""
    declared = (image_config.get("config") or {}).get("Volumes") or {}
    mounted = {posixpath.normpath(v.target) for v in service.volumes}
    return tuple(sorted({posixpath.normpath(target) for target in declared} - mounted))


def bind(source: Source, target: str, idmap: IdMap | None, read_only: bool = False, *, nodev: bool = True) -> Document:
    """A bind mount; id-mapped where the container has a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).

    `uidMappings`: id on the disk (containerID) -> id of this host (hostID), as runtime-spec 1.2 has it.
    """
    options = ["rbind", "ro" if read_only else "rw", "rprivate"]
    if nodev:  # a device node on the host's disk is live, unlike one in the container's own root file system
        options.append("nodev")
    mount: Document = {"destination": target, "type": "bind", "source": source.path, "options": options}
    if idmap is None:
        return mount
    options.append("idmap")
    if source.owner is None:
        mount["uidMappings"], mount["gidMappings"] = idmap.oci(), idmap.oci()
    else:
        uid, gid = source.owner
        mount["uidMappings"] = [{"containerID": uid, "hostID": idmap.to_host(0), "size": 1}]
        mount["gidMappings"] = [{"containerID": gid, "hostID": idmap.to_host(0), "size": 1}]
    return mount


def _own_mount(service: Service, wanted: VolumeMount, sources: Mapping[str, Source], idmap: IdMap | None) -> Document:
    if wanted.type == "tmpfs":
        return _tmpfs(wanted)
    source = sources.get(wanted.target)
    if source is None:
        raise StackupError(
            f"services.{service.name}.volumes: nothing is there to mount on {wanted.target}",
            resource=f"service:{service.name}",
        )
    return bind(source, wanted.target, idmap, wanted.read_only)


def _tmpfs(wanted: VolumeMount) -> Document:
    options = ["nosuid", "nodev", "noexec", f"mode={wanted.mode if wanted.mode is not None else 0o1777:o}"]
    if wanted.size is not None:
        options.append(f"size={wanted.size}")
    if wanted.read_only:
        options.append("ro")
    return {"destination": wanted.target, "type": "tmpfs", "source": "tmpfs", "options": options}


def _defaults(service: Service, idmap: IdMap | None) -> list[Document]:
    quiet = ["nosuid", "noexec", "nodev"]
    shm = service.shm_size if service.shm_size is not None else SHM_SIZE
    listed: list[tuple[str, str, list[str]]] = [
        ("/proc", "proc", quiet),
        ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/shm", "tmpfs", [*quiet, "mode=1777", f"size={shm}"]),
        ("/dev/mqueue", "mqueue", quiet),
    ]
    mounts = [{"destination": t, "type": k, "source": k, "options": list(o)} for t, k, o in listed]
    mounts.append(_sysfs(service, idmap))
    return mounts


def _sysfs(service: Service, idmap: IdMap | None) -> Document:
    """sysfs shows a network namespace, so only that one's owner may mount it: with the host's it must be bound."""
    options = ["nosuid", "noexec", "nodev", "ro"]
    if service.network_mode == "host" and idmap is not None:
        return {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rprivate", *options]}
    return {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options}
