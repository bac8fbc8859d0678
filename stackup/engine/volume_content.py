"""Fill a fresh volume with what an image shows at its path, as the first container that mounts it expects.

Content, owners (the container's own ids, as everywhere on our disk), modes, times, attributes, links and hard links.
The image may be hostile: its links are followed inside it only (`builder.view`), and device nodes are left out, which
the image's own root file system would never open but a volume might.
"""

from __future__ import annotations

import os
import stat

from stackup.builder import changeset
from stackup.builder.view import Found, Parts, View

_CHUNK = 1 << 27


def fill(view: View, path: str, target: str) -> bool:
    """Copy the image's folder at `path` into the empty folder `target`; False where the image has no folder there.

    Raises OSError (no space left ...), BadInput for links that go round in a circle.
    """
    resolved = view.resolve(tuple(p for p in path.split("/") if p), follow_last=True)
    if resolved.found is None or not resolved.found.is_folder:
        return False
    _Copy(view).folder(resolved.parts, resolved.found, target)
    return True


class _Copy:
    def __init__(self, view: View) -> None:
        self._view = view
        self._links: dict[tuple[int, int], str] = {}  # first copy of a file with several names

    def folder(self, parts: Parts, found: Found, target: str) -> None:
        for name in sorted({name for folder in found.folders for name in os.listdir(folder)}):
            inside = self._view.lookup((*parts, name))
            if inside is not None:
                self._one((*parts, name), inside, os.path.join(target, name))
        _dress(found.path, found.info, target)  # last: its time must not move again

    def _one(self, parts: Parts, found: Found, target: str) -> None:
        mode = found.info.st_mode
        if stat.S_ISDIR(mode):
            os.mkdir(target, 0o700)
            return self.folder(parts, found, target)
        if found.info.st_nlink > 1:
            first = self._links.setdefault((found.info.st_dev, found.info.st_ino), target)
            if first != target:
                return os.link(first, target, follow_symlinks=False)
        if stat.S_ISREG(mode):
            _copy_bytes(found.path, target)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(found.path), target)
        elif stat.S_ISFIFO(mode):
            os.mkfifo(target, 0o600)
        else:
            return None  # devices and sockets
        return _dress(found.path, found.info, target)


def _copy_bytes(source: str, target: str) -> None:
    """Inside the kernel, shared where the file system can (copy_file_range(2))."""
    with open(source, "rb") as reading:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.copy_file_range(reading.fileno(), writing, _CHUNK):
                pass
        finally:
            os.close(writing)


def _dress(source: str, info: os.stat_result, target: str) -> None:
    """Owner first: changing it takes setuid bits and capabilities away."""
    os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(target, stat.S_IMODE(info.st_mode))
        for name in os.listxattr(source):
            if not name.startswith((changeset.OPAQUE.rpartition(".")[0], "system.", "security.selinux")):
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
