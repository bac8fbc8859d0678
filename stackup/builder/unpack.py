"""A layer's tar stream -> its tree. The stream may be hostile: nothing outside the tree is touched whatever it says.

Every name is walked from the tree's own descriptor, component by component, following no link (a name that leads
through a link is refused). Whiteouts become what overlay understands; marks of overlay itself and devices are refused.
Owners are the image's, kept as they are; times are the stream's. Raises Damaged for a stream that cannot be a layer.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from typing import BinaryIO, cast

from stackup.builder.changeset import CHUNK, OPAQUE, OPAQUE_NAME, WHITEOUT_PREFIX, Digested, Ids
from stackup.builder.view import Parts
from stackup.errors import Damaged

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_XATTR = "SCHILY.xattr."


def unpack(stream: BinaryIO, folder: str, ids: Ids | None = None) -> Digested:
    """Make the new folder `folder` from an uncompressed tar stream; what was read: its sha256 is the diff ID."""
    reader = _Hashing(stream)
    os.mkdir(folder, 0o755)
    os.chmod(folder, 0o755)
    unpacker = _Unpacker(os.open(folder, _FOLDER), ids or Ids.mine())
    try:
        # errors: names that are no UTF-8 pass as they are; ENCODING is that of os.fsencode.
        with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                unpacker.member(member, tar)
        unpacker.finish()
    except (tarfile.TarError, UnicodeError, EOFError) as error:
        raise Damaged(f"the stream is no sound tar archive: {error}") from error
    finally:
        unpacker.close()
    reader.drain()
    return Digested("sha256:" + reader.sha256.hexdigest(), reader.size, unpacker.size)


class _Hashing:
    """A file that hashes what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.sha256, self.size = stream, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.sha256.update(data)
        self.size += len(data)
        return data

    def drain(self) -> None:
        """What stands behind the end of the archive belongs to the digest too."""
        while self.read(CHUNK):
            pass


class _Unpacker:
    def __init__(self, root: int, ids: Ids) -> None:
        self._root, self._ids, self.size = root, ids, 0
        self._folders: dict[Parts, tarfile.TarInfo | None] = {}

    def close(self) -> None:
        os.close(self._root)

    def member(self, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        parts = _parts(member.name)
        _refuse_marks(member)
        if not parts or member.isdir():
            return self._folder(parts, member)
        name = parts[-1]
        parent = self._open(parts[:-1])
        try:
            if name == OPAQUE_NAME:
                os.setxattr(parent, OPAQUE, b"y")
            elif name.startswith(WHITEOUT_PREFIX * 2):
                pass  # bookkeeping of aufs, image-spec keeps these names for it
            elif name.startswith(WHITEOUT_PREFIX):
                hidden = name.removeprefix(WHITEOUT_PREFIX)
                if hidden in ("", ".", ".."):
                    raise Damaged(f"{member.name}: a whiteout of nothing")
                self._replace(parent, hidden)
                os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
                self._dress(member, parent, hidden)
            else:
                self._entry(member, tar, parent, name)
        finally:
            os.close(parent)

    def _entry(self, member: tarfile.TarInfo, tar: tarfile.TarFile, parent: int, name: str) -> None:
        self._replace(parent, name)
        if member.isreg():
            self._file(member, tar, parent, name)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
            self._dress(member, parent, name)
        elif member.islnk():
            self._hard_link(member, parent, name)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
            self._dress(member, parent, name)
        else:
            raise Damaged(f"{member.name} is a device, which no layer may bring")

    def _file(self, member: tarfile.TarInfo, tar: tarfile.TarFile, parent: int, name: str) -> None:
        content = tar.extractfile(member)
        assert content is not None
        descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            left = member.size
            while left:
                piece = content.read(min(left, CHUNK))
                if not piece:
                    raise Damaged(f"{member.name}: the stream ends in the middle of it")
                left -= len(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            self._dress_open(member, descriptor)
        finally:
            os.close(descriptor)
        self.size += member.size

    def _hard_link(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        target = _parts(member.linkname)
        if not target:
            raise Damaged(f"{member.name}: a hard link to nothing")
        folder = self._open(target[:-1], make=False)
        try:
            info = os.lstat(target[-1], dir_fd=folder)
            if not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode) or stat.S_ISFIFO(info.st_mode)):
                raise Damaged(f"{member.name}: a hard link to {member.linkname}, which is no file")
            os.link(target[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise Damaged(f"{member.name}: a hard link to {member.linkname}, which is not in the layer") from None
        finally:
            os.close(folder)

    def _folder(self, parts: Parts, member: tarfile.TarInfo) -> None:
        if parts:
            parent = self._open(parts[:-1])
            try:
                if not _is_folder(parent, parts[-1]):
                    self._replace(parent, parts[-1])
                    os.mkdir(parts[-1], 0o700, dir_fd=parent)
            finally:
                os.close(parent)
        self._folders[parts] = member

    def _open(self, parts: Parts, *, make: bool = True) -> int:
        """A folder of the tree; folders missing on the way are made, 0755 0:0."""
        current = os.dup(self._root)
        for length, part in enumerate(parts, 1):
            try:
                if make and not _exists(current, part):
                    os.mkdir(part, 0o755, dir_fd=current)
                    self._folders.setdefault(parts[:length], None)
                deeper = os.open(part, _FOLDER, dir_fd=current)
            except OSError as error:
                where = "/".join(parts[:length])
                raise Damaged(f"the stream leads through {where}, which is no folder of the layer") from error
            finally:
                os.close(current)
            current = deeper
        return current

    @staticmethod
    def _replace(parent: int, name: str) -> None:
        """A later entry of a name takes the earlier one's place; a folder with content is not thrown away."""
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError as error:
                raise Damaged(f"{name} is in the stream as a folder and as something else") from error

    def _dress_open(self, member: tarfile.TarInfo, descriptor: int) -> None:
        """Owner, mode, attributes, time: in this order, since a change of owner drops set-id bits."""
        os.fchown(descriptor, *self._ids.to_disk(member.uid, member.gid))
        os.fchmod(descriptor, member.mode & 0o7777)
        for key, value in _attributes(member).items():
            os.setxattr(descriptor, key, value)
        os.utime(descriptor, ns=_times(member))

    def _dress(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        owner = self._ids.to_disk(member.uid, member.gid)
        os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        if member.isfifo():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent)  # made by us just now: no link
        os.utime(name, ns=_times(member), dir_fd=parent, follow_symlinks=False)

    def finish(self) -> None:
        """Folders last and deepest first: filling one moves its time."""
        for parts in sorted(self._folders, key=len, reverse=True):
            descriptor = self._open(parts, make=False)
            try:
                member = self._folders[parts]
                if member is None:
                    os.fchmod(descriptor, 0o755)
                else:
                    self._dress_open(member, descriptor)
            finally:
                os.close(descriptor)
        if () not in self._folders:
            times = [_times(m) for m in self._folders.values() if m]
            os.utime(self._root, ns=times[0] if times else (315532800 * 10**9,) * 2)


def _parts(name: str) -> Parts:
    parts = tuple(p for p in name.split("/") if p not in ("", "."))
    if ".." in parts or "\0" in name:
        raise Damaged(f"the stream holds the name {name!r}, which leads out of the layer")
    return parts


def _times(member: tarfile.TarInfo) -> tuple[int, int]:
    when = int(member.mtime * 10**9) if isinstance(member.mtime, float) else member.mtime * 10**9
    return when, when


def _attributes(member: tarfile.TarInfo) -> dict[str, bytes]:
    """Those that layers keep: capabilities and user attributes. Others mean something on their own machine only."""
    found = {k.removeprefix(_XATTR): os.fsencode(v) for k, v in member.pax_headers.items() if k.startswith(_XATTR)}
    return {k: v for k, v in found.items() if k == "security.capability" or k.startswith("user.")}


def _refuse_marks(member: tarfile.TarInfo) -> None:
    for key in member.pax_headers:
        if key.startswith((_XATTR + "user.overlay.", _XATTR + "trusted.overlay.")):
            raise Damaged(f"{member.name} carries {key.removeprefix(_XATTR)}, a mark for overlay no layer may bring")


def _exists(folder: int, name: str) -> bool:
    return _look(folder, name, lambda mode: True)


def _is_folder(folder: int, name: str) -> bool:
    return _look(folder, name, stat.S_ISDIR)


def _look(folder: int, name: str, wanted: Callable[[int], bool]) -> bool:
    try:
        return wanted(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:
        return False
