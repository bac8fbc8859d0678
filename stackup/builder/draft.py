"""A new layer as a value (`Draft`), and the one place where such a value becomes a tree on disk.

Layer kinds that run nothing decide in a draft what the layer holds; `write` then makes the tree and hashes its
canonical stream in the same pass, so each source is read once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import field
from typing import Literal

from stackup.builder import changeset
from stackup.builder.changeset import Digested, Ids
from stackup.builder.inputs import Changed, Identity
from stackup.builder.view import Parts
from stackup.classes import dataclass
from stackup.errors import KernelError

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FICLONE = 0x40049409  # _IOW(0x94, 9, int), linux/fs.h
_CLONE_FROM = 1 << 16  # below, sharing costs more than it saves
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: it must still be the one whose digest is known."""

    path: str
    identity: Identity


@dataclass(slots=True)
class Node:
    """An entry of a layer. `content`: bytes, a Source, or (links) the link's text. Owners are the image's."""

    kind: Literal["folder", "file", "link"]
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    content: bytes | Source | str = b""
    children: dict[str, Node] = field(default_factory=dict)
    attributes: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """The entries of a layer, as a tree below `/`."""

    root: Node = field(default_factory=lambda: Node("folder"))

    def find(self, parts: Parts) -> Node | None:
        node: Node | None = self.root
        for part in parts:
            node = node.children.get(part) if node else None
        return node

    def put(self, parts: Parts, node: Node) -> None:
        """Put an entry into a folder that is there already; it takes the place of what has its name."""
        parent = self.find(parts[:-1])
        assert parent is not None, parts
        parent.children[parts[-1]] = node


def write(draft: Draft, folder: str, ids: Ids) -> Digested:
    """Make the tree of a draft in the new folder `folder`. Raises Changed where a source is no longer what it was."""
    return _Writer(ids).run(draft.root, folder)


class _Writer:
    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._epoch = changeset.epoch()
        self._times = (self._epoch * 10**9, self._epoch * 10**9)
        self._hash, self._size, self._tree_size = hashlib.sha256(), 0, 0
        self._own = ids.to_disk(0, 0) if (os.geteuid(), os.getegid()) == (ids.uid, ids.gid) else None
        self._no_clones: set[int] = set()
        self._buffer = memoryview(bytearray(changeset.CHUNK))

    def run(self, root: Node, folder: str) -> Digested:
        os.mkdir(folder, 0o700)
        if (root.mode, root.owner) != (0o755, (0, 0)) or root.attributes:
            self._head(root, "./", changeset.FOLDER)
        self._fill(os.open(folder, _FOLDER), root, "")
        self._hash.update(changeset.END)
        size = self._size + len(changeset.END)
        return Digested("sha256:" + self._hash.hexdigest(), size, self._tree_size)

    def _feed(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._size += len(data)

    def _head(self, node: Node, name: str, kind: bytes, size: int = 0, link: str = "") -> None:
        attributes = node.attributes
        self._feed(changeset.header(name, kind, node.mode, node.owner, size, link, attributes, self._epoch))

    def _fill(self, descriptor: int, node: Node, prefix: str) -> None:
        """Fill a folder, then set what filling it would have changed. Closes the descriptor."""
        try:
            for name, child in _in_order(node):
                self._entry(descriptor, name, child, prefix + name)
            self._finish(descriptor, node)
        finally:
            os.close(descriptor)

    def _finish(self, descriptor: int, node: Node) -> None:
        """Owner, mode, attributes, times: in this order, since a change of owner drops set-id bits."""
        owner = self._ids.to_disk(*node.owner)
        if owner != self._own:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, node.mode)
        for key, value in node.attributes.items():
            os.setxattr(descriptor, key, value)
        os.utime(descriptor, ns=self._times)

    def _entry(self, parent: int, name: str, node: Node, path: str) -> None:
        if node.kind == "folder":
            self._head(node, path + "/", changeset.FOLDER)
            os.mkdir(name, 0o700, dir_fd=parent)
            self._fill(os.open(name, _FOLDER, dir_fd=parent), node, path + "/")
        elif node.kind == "link":
            assert isinstance(node.content, str)
            self._link(parent, name, node, path, node.content)
        else:
            self._file(parent, name, node, path)

    def _link(self, parent: int, name: str, node: Node, path: str, text: str) -> None:
        node.mode = 0o777
        self._head(node, path, changeset.LINK, link=text)
        os.symlink(text, name, dir_fd=parent)
        owner = self._ids.to_disk(*node.owner)
        if owner != self._own:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=self._times, dir_fd=parent, follow_symlinks=False)

    def _file(self, parent: int, name: str, node: Node, path: str) -> None:
        descriptor = os.open(name, _WRITE, 0o600, dir_fd=parent)
        try:
            if isinstance(node.content, Source):
                size = node.content.identity.size
                self._head(node, path, changeset.FILE, size)
                self._copy(node.content, descriptor)
            else:
                assert isinstance(node.content, bytes)
                size = len(node.content)
                self._head(node, path, changeset.FILE, size)
                self._feed(node.content)
                _write_all(descriptor, memoryview(node.content))
            self._finish(descriptor, node)
        finally:
            os.close(descriptor)
        self._tree_size += size
        if rest := size % 512:
            self._feed(bytes(512 - rest))

    def _copy(self, source: Source, target: int) -> None:
        try:
            descriptor = os.open(source.path, _READ)
        except FileNotFoundError:
            raise Changed(source.path) from None
        except OSError as error:
            raise KernelError.of(f"open {source.path}", error) from error
        try:
            if Identity.of(os.fstat(descriptor)) != source.identity:
                raise Changed(source.path)
            size = source.identity.size
            cloned = size >= _CLONE_FROM and self._clone(descriptor, target, source.identity.dev)
            left = size
            while left:
                got = os.readv(descriptor, [self._buffer[: min(left, changeset.CHUNK)]])
                if got == 0:
                    raise Changed(source.path)
                if not cloned:
                    _write_all(target, self._buffer[:got])
                self._feed(self._buffer[:got])
                left -= got
            if Identity.of(os.fstat(descriptor)) != source.identity:
                raise Changed(source.path)
        finally:
            os.close(descriptor)

    def _clone(self, source: int, target: int, device: int) -> bool:
        """Share the source's blocks where the file system can (ioctl_ficlone(2)); asked once of each device."""
        if device in self._no_clones:
            return False
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            self._no_clones.add(device)
            return False
        return True


def _in_order(node: Node) -> Iterator[tuple[str, Node]]:
    for name in sorted(node.children, key=os.fsencode):
        yield name, node.children[name]


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def folder_like(info: os.stat_result, path: str, ids: Ids) -> Node:
    """A folder with mode, owner and attributes of one in a layer below, so that overlay shows them on."""
    owner = ids.from_disk(info.st_uid, info.st_gid)
    return Node("folder", stat.S_IMODE(info.st_mode), owner, attributes=changeset.layer_attributes(path))
