"""What a layer reads from outside: files of the project folder, files of this machine, with their digests.

Only content, executable bit, relative path and link text count; never time, umask or owner. Digests are remembered
by (device, inode, size, mtime, ctime), so a file that nobody touched is not read again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from stackup.builder.store.graph import Graph
from stackup.classes import dataclass
from stackup.errors import BadInput, KernelError, StackupError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
SETTLED = 0.1  # seconds; a file changed more recently may change again within one tick of the kernel's clock
SETTLED_COARSE = 2.5  # the same where a file system keeps whole seconds (FAT: two)


class Changed(StackupError):
    """A source changed between its digest and its copy. The step is tried again once."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} changed while it was read", hint="run the command again when nothing writes to it")


class Identity(NamedTuple):
    """What tells whether a file is still the same; times in ns."""

    dev: int
    ino: int
    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, info: os.stat_result) -> Identity:
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)

    def settled(self, now: float) -> bool:
        """Can no later change hide behind these times?"""
        coarse = self.mtime % 10**9 == 0 and self.ctime % 10**9 == 0
        margin = SETTLED_COARSE if coarse else SETTLED
        return max(self.mtime, self.ctime) / 1e9 + margin < now


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing read. `name` is relative to what was named, "" for that itself; `value` a file's digest (hex) or a
    link's text. `path` and `identity` say where it lies now; they are no part of the digest.
    """

    name: str
    kind: Literal["folder", "file", "link"]
    value: str
    executable: bool
    path: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a layer reads, in order of name."""

    entries: tuple[Entry, ...] = ()

    def pack(self) -> bytes:
        """The byte form: what is hashed, and kept to tell next time what changed."""
        return pack((e.name, _sign(e), e.value) for e in self.entries)

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.pack()).hexdigest()


def _sign(entry: Entry) -> str:
    return {"folder": "d", "link": "l", "file": "x" if entry.executable else "f"}[entry.kind]


def pack(rows: Iterator[tuple[str, str, str]] | Sequence[tuple[str, str, str]]) -> bytes:
    return b"".join(os.fsencode(part) + b"\0" for row in rows for part in row)


def unpack(data: bytes) -> dict[str, tuple[str, str]]:
    """name -> (sign, value) of packed inputs."""
    parts = [os.fsdecode(p) for p in data.split(b"\0")[:-1]]
    return {parts[i]: (parts[i + 1], parts[i + 2]) for i in range(0, len(parts) - 2, 3)}


class Digester:
    """Digests of files, through the memory of the graph. What was read anew is kept by `save` (builds only)."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._new: list[tuple[int, int, int, int, int, bytes]] = []
        self._closures: dict[str, bytes] = {}
        self._buffer = memoryview(bytearray(1 << 20))

    def file(self, name: str, folder: int | None, path: str, info: os.stat_result) -> tuple[str, Identity]:
        """Digest (hex) and identity of the regular file `name` below the folder descriptor.

        `info` is its lstat. Raises Changed where it is not that file any more.
        """
        identity = Identity.of(info)
        if remembered := self._graph.file_digest(*identity):
            return remembered.hex(), identity
        try:
            descriptor = os.open(name, _READ, dir_fd=folder)
        except FileNotFoundError:
            raise Changed(path) from None
        except OSError as error:
            raise KernelError.of(f"read {path}", error) from error
        try:
            digest = self._read(descriptor)
            if Identity.of(os.fstat(descriptor)) != identity:
                raise Changed(path)
        finally:
            os.close(descriptor)
        if identity.settled(time.time()):
            self._new.append((*identity, digest))
        return digest.hex(), identity

    def _read(self, descriptor: int) -> bytes:
        sha256 = hashlib.sha256()
        while got := os.readv(descriptor, [self._buffer]):
            sha256.update(self._buffer[:got])
        return sha256.digest()

    def remember_closure(self, request: str, content: bytes | None) -> None:
        """Keep the outcome of a search for host programs; None: it is too new to be kept."""
        if content is not None:
            self._closures[request] = content

    def save(self) -> None:
        """Keep what was learnt."""
        if not self._new and not self._closures:
            return
        with self._graph.transaction():
            self._graph.add_file_digests(self._new)
            for request, content in self._closures.items():
                self._graph.add_closure(request, content)
        self._new, self._closures = [], {}


def scan(top: str, digester: Digester, *, what: str) -> Inputs:
    """Everything at and below `top` (a file, a link or a folder); links are never followed.

    `what` names it in errors. Raises BadInput for a socket, device or fifo.
    """
    try:
        info = os.lstat(top)
    except OSError as error:
        raise BadInput(f"{what}: {os.strerror(error.errno or 0).lower()}") from error
    if stat.S_ISDIR(info.st_mode):
        entries = [Entry("", "folder", "", True, top, Identity.of(info))]
        entries += _below(_open_folder(top, None, top), top, "", digester)
        return Inputs(tuple(entries))
    return Inputs((entry_of(top, None, top, "", info, digester),))


def _open_folder(name: str, parent: int | None, path: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError):
        raise Changed(path) from None
    except OSError as error:
        raise KernelError.of(f"read {path}", error) from error


def _below(descriptor: int, path: str, prefix: str, digester: Digester) -> Iterator[Entry]:
    """Entries of an open folder, depth first, sorted by bytes. Closes the descriptor."""
    try:
        with os.scandir(descriptor) as found:
            children = sorted(found, key=lambda e: os.fsencode(e.name))
        for child in children:
            try:
                info = child.stat(follow_symlinks=False)
            except FileNotFoundError:
                raise Changed(f"{path}/{child.name}") from None
            name, where = prefix + child.name, f"{path}/{child.name}"
            if stat.S_ISDIR(info.st_mode):
                yield Entry(name, "folder", "", True, where, Identity.of(info))
                yield from _below(_open_folder(child.name, descriptor, where), where, name + "/", digester)
            else:
                yield entry_of(child.name, descriptor, where, name, info, digester)
    finally:
        os.close(descriptor)


def entry_of(
    name: str, folder: int | None, path: str, relative: str, info: os.stat_result, digester: Digester
) -> Entry:
    if stat.S_ISLNK(info.st_mode):
        return Entry(relative, "link", os.readlink(name, dir_fd=folder), False, path, Identity.of(info))
    if stat.S_ISREG(info.st_mode):
        digest, identity = digester.file(name, folder, path, info)
        return Entry(relative, "file", digest, bool(info.st_mode & 0o111), path, identity)
    raise BadInput(f"{path} is {_special(info.st_mode)}, which cannot be copied", hint="keep it out of the source")


def _special(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISFIFO(mode):
        return "a fifo"
    return "a device"


def source(folder: str, text: str) -> str:
    """The absolute path of a source the user wrote, relative to the stack file's folder.

    Links on the way are followed only as far as they stay inside the folder; the last component is left as it is, so
    that a link is copied as a link. Raises BadInput.
    """
    if os.path.isabs(text) or ".." in text.split("/"):
        raise BadInput(
            f"source {text} leaves the stack file's folder", hint=f"move it below {folder} and write it relative to it"
        )
    top = os.path.realpath(folder)
    plain = os.path.normpath(text)
    if plain == ".":
        return top
    parent, name = os.path.split(os.path.join(top, plain))
    real = os.path.realpath(parent)
    if real != top and not real.startswith(top.rstrip("/") + "/"):
        raise BadInput(f"source {text} leaves the stack file's folder through a link: {parent} is {real}")
    path = os.path.join(real, name)
    if not os.path.lexists(path):
        raise BadInput(f"source {text} does not exist in {folder}", hint="create it or correct the name")
    return path
