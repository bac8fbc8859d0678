"""Bind sources: where they really lie, and that they go on lying there.

A container may be able to write beside its own bind sources (`.:/app` with `./data:/data`) and put a link in place of
one. So a source is resolved once, when the container is made, and kept beside it; every start uses that path and takes
no link on the way. What the file names inside the project folder must not lead out of it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping

from stackup.engine.mounts import Source
from stackup.errors import BadInput, Conflict, KernelError, NotFound
from stackup.linux import beneath
from stackup.oci import canonical_json
from stackup.paths import Host
from stackup.spec.model import Service, VolumeMount


def resolve(host: Host, service: Service, folder: str) -> dict[str, str]:
    """Target -> real path of each bind source, made where missing and allowed. `folder`: the stack file's.

    Raises NotFound, BadInput for a path in our own root or one that leads out of the folder, KernelError.
    """
    return {m.target: _resolve(host, service, m, folder) for m in service.volumes if m.type == "bind"}


def _resolve(host: Host, service: Service, mount: VolumeMount, folder: str) -> str:
    path = mount.source
    real = os.path.realpath(path)
    _refuse_own_root(host, service, path, real)
    project = _project_of(path, folder)
    if project is not None and not _within(real, project):
        raise BadInput(
            f"services.{service.name}.volumes: {path} leads out of the project folder, to {real}",
            hint=f"if that is meant, write the real path: {real}:{mount.target}", resource=f"service:{service.name}",
        )  # fmt: skip
    if not os.path.lexists(real):
        if not mount.create_host_path:
            raise missing(service, path)
        _make(real, project)
    return real


def _project_of(path: str, folder: str) -> str | None:
    """The real project folder if the path is written inside it. The folder itself may be reached over links."""
    inside = _within(os.path.normpath(path), os.path.normpath(folder))
    return os.path.realpath(folder) if inside else None


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _refuse_own_root(host: Host, service: Service, path: str, real: str) -> None:
    if _within(real, os.path.realpath(host.root)):
        raise BadInput(f"services.{service.name}.volumes: {path} lies in stackup's own root", hint="use a named volume")


def _make(real: str, project: str | None) -> None:
    """Make the folder; inside the project by descriptor, as a container may be at work there."""
    try:
        if project is None:
            os.makedirs(real, mode=0o755, exist_ok=True)
            return
        top = os.open(project, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(beneath.open_folder(top, os.path.relpath(real, project), make=0o755, follow=False))
        finally:
            os.close(top)
    except OSError as error:
        raise KernelError.of(f"make the bind source {real}", error) from error


def keep(host: Host, container_id: str, resolved: Mapping[str, str]) -> None:
    """Note beside the container where its sources lie."""
    if resolved:
        with open(_file(host, container_id), "wb") as file:
            file.write(canonical_json(dict(resolved)))


def kept(host: Host, container_id: str) -> dict[str, str]:
    try:
        with open(_file(host, container_id), "rb") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def _file(host: Host, container_id: str) -> str:
    return host.container(container_id, "binds.json")


def source(service: Service, target: str, real: str) -> Source:
    """A kept source as it is now, with its owner: the container's root appears as that user there.

    Raises Conflict where a link has come into the way since the container was made, NotFound where it is gone.
    """
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = beneath.open_path(top, real, follow=False)
    except FileNotFoundError as error:
        raise missing(service, real) from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise KernelError.of(f"open the bind source {real}", error) from error
        raise Conflict(
            f"services.{service.name}.volumes: the bind source {real} of {target} was replaced by a link",
            hint="put the folder back, or take the service down and up again", resource=f"service:{service.name}",
        ) from error  # fmt: skip
    finally:
        os.close(top)
    try:
        info = os.fstat(found)
    finally:
        os.close(found)
    return Source(real, (info.st_uid, info.st_gid))


def missing(service: Service, path: str) -> NotFound:
    return NotFound(
        f"services.{service.name}.volumes: bind source {path} does not exist", resource=f"service:{service.name}"
    )
