"""A layer's tree <-> its canonical tar stream, whose sha256 is the layer's identity (diff ID).

Canonical: depth first, names of a folder sorted by bytes; ustar headers, PAX only where a value does not fit; numeric
owners, no names; every time is SOURCE_DATE_EPOCH (default 315532800: zip refuses years before 1980), set on the tree
itself; extended attributes `security.capability` and `user.*`, sorted; later names of a file are hard links to its
first; whiteouts `.wh.NAME`, opaque folders `.wh..wh..opq` (image-spec, layer.md). `./` is an entry only where `/` is
not 0755 0:0. On disk a whiteout is a character device 0:0 and an opaque folder has `user.overlay.opaque=y`, as overlay
wants them.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator

from stackup.classes import dataclass
from stackup.errors import Damaged, StackupError

DEFAULT_EPOCH = 315532800
OPAQUE = "user.overlay.opaque"
WHITEOUT_PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"
CHUNK = 1 << 20
END = bytes(1024)  # two empty blocks end an archive
# Kinds of entries (tar(5)). Not from tarfile: the supervisor imports this module and has no use for that one.
FILE, HARD_LINK, LINK, FOLDER, FIFO, EXTENDED = b"0", b"1", b"2", b"5", b"6", b"x"


def epoch() -> int:
    """SOURCE_DATE_EPOCH of the environment (reproducible-builds.org), else 1980."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_EPOCH


@dataclass(frozen=True, slots=True)
class Ids:
    """Owners in the image <-> owners on disk. Root keeps 0..65535 as they are; a user can only keep 0, as himself."""

    uid: int = 0
    gid: int = 0
    count: int = 65536

    @classmethod
    def mine(cls) -> Ids:
        return cls() if os.geteuid() == 0 else cls(os.geteuid(), os.getegid(), 1)

    def to_disk(self, uid: int, gid: int) -> tuple[int, int]:
        if not (0 <= uid < self.count and 0 <= gid < self.count):
            hint = None if self.count > 1 else "run as root"
            raise StackupError(f"owner {uid}:{gid} cannot be given to a file", hint=hint)
        return self.uid + uid, self.gid + gid

    def from_disk(self, uid: int, gid: int) -> tuple[int, int]:
        found = uid - self.uid, gid - self.gid
        if not (0 <= found[0] < self.count and 0 <= found[1] < self.count):
            raise Damaged(f"a file of a layer belongs to {uid}:{gid}, which is no owner an image can have")
        return found


@dataclass(frozen=True, slots=True)
class Digested:
    """What a walk found: `diff_id`, the length of the stream, the bytes in files."""

    diff_id: str
    stream_size: int
    tree_size: int


def header(
    name: str, kind: bytes, mode: int, owner: tuple[int, int], size: int, link: str,
    attributes: dict[str, bytes] | None, when: int,
) -> bytes:  # fmt: skip
    """The header blocks of an entry (POSIX.1-2001, pax). Names are in the file system's encoding.

    Our own, not `TarInfo.tobuf`: the same bytes from every version of Python, at a quarter of the price.
    """
    name_bytes, link_bytes = os.fsencode(name), os.fsencode(link)
    records: dict[str, bytes] = {}
    if len(name_bytes) > 100 or not name_bytes.isascii():
        records["path"] = name_bytes
    if len(link_bytes) > 100 or not link_bytes.isascii():
        records["linkpath"] = link_bytes
    if size >= 1 << 33:
        records["size"] = b"%d" % size
    for key, value in (attributes or {}).items():
        records[f"SCHILY.xattr.{key}"] = value
    if not records:
        return _block(name_bytes, kind, mode, owner, size, link_bytes, when)
    size_field = size if size < 1 << 33 else 0
    return _pax(records) + _block(name_bytes[:100], kind, mode, owner, size_field, link_bytes[:100], when)


def _block(name: bytes, kind: bytes, mode: int, owner: tuple[int, int], size: int, link: bytes, when: int) -> bytes:
    block = struct.pack(
        "100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x",
        name, b"%07o\0" % mode, b"%07o\0" % owner[0], b"%07o\0" % owner[1], b"%011o\0" % size, b"%011o\0" % when,
        b"        ", kind, link, b"ustar\x0000", b"", b"", b"", b"", b"",
    )  # fmt: skip
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax(records: dict[str, bytes]) -> bytes:
    """An extended header: `LENGTH KEY=VALUE` and a line end each, sorted.

    `hdrcharset=BINARY` stands before values that are no UTF-8.
    """
    binary = not all(_is_utf8(value) for value in records.values())
    body = _record(b"hdrcharset", b"BINARY") if binary else b""
    body += b"".join(_record(os.fsencode(key), records[key]) for key in sorted(records))
    head = _block(b"././@PaxHeader", EXTENDED, 0, (0, 0), len(body), b"", 0)
    return head + body + bytes(-len(body) % 512)


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3  # a space, an equals sign, a line end
    length = rest + len(str(rest))
    length = rest + len(str(length))  # the length counts its own digits
    return b"%d %s=%s\n" % (length, key, value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def layer_attributes(path: str) -> dict[str, bytes]:
    """The extended attributes that belong to a layer. Overlay's own marks are left out."""
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if name == "security.capability":
            found[name] = _plain_capability(os.getxattr(path, name, follow_symlinks=False))
        elif name.startswith("user.") and not name.startswith("user.overlay."):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def _plain_capability(value: bytes) -> bytes:
    """Version 3 with root id 0 says the same as version 2 (capabilities(7)); layers carry version 2."""
    if len(value) == 24 and value[3] == 3 and value[20:] == bytes(4):
        return value[:3] + b"\x02" + value[4:20]
    return value


class Walk:
    """A walk over a canonical tree. Iterating gives the pieces of its stream; a piece is valid until the next.

    Raises Damaged for what no layer can hold. `tree_size` counts the bytes of files on the way.
    """

    def __init__(self, folder: str, ids: Ids) -> None:
        self.tree_size = 0
        self._folder, self._ids = folder, ids
        self._first_names: dict[int, str] = {}
        self._buffer = memoryview(bytearray(CHUNK))

    def __iter__(self) -> Iterator[bytes | memoryview]:
        info = os.lstat(self._folder)
        mode, owner = stat.S_IMODE(info.st_mode), self._ids.from_disk(info.st_uid, info.st_gid)
        attributes = layer_attributes(self._folder)
        if (mode, owner) != (0o755, (0, 0)) or attributes:
            yield header("./", FOLDER, mode, owner, 0, "", attributes, int(info.st_mtime))
        yield from self._entries(self._folder, "", int(info.st_mtime))
        yield END

    def _entries(self, folder: str, prefix: str, when: int) -> Iterator[bytes | memoryview]:
        if is_opaque(folder):
            yield header(prefix + OPAQUE_NAME, FILE, 0, (0, 0), 0, "", None, when)
        with os.scandir(folder) as found:
            entries = [(os.fsencode(stream_name(e)), e) for e in found]
        for name, entry in sorted(entries, key=lambda pair: pair[0]):
            yield from self._entry(entry, prefix + os.fsdecode(name))

    def _entry(self, entry: os.DirEntry[str], name: str) -> Iterator[bytes | memoryview]:
        info = entry.stat(follow_symlinks=False)
        when = int(info.st_mtime)
        mode, owner = stat.S_IMODE(info.st_mode), self._ids.from_disk(info.st_uid, info.st_gid)
        if is_whiteout(info):
            yield header(name, FILE, 0, (0, 0), 0, "", None, when)
            return
        if stat.S_ISDIR(info.st_mode):
            yield header(name + "/", FOLDER, mode, owner, 0, "", layer_attributes(entry.path), when)
            yield from self._entries(entry.path, name + "/", when)
            return
        first = self._first_names.setdefault(info.st_ino, name) if info.st_nlink > 1 else name
        if first != name:
            yield header(name, HARD_LINK, mode, owner, 0, first, None, when)
        elif stat.S_ISLNK(info.st_mode):
            yield header(name, LINK, 0o777, owner, 0, os.readlink(entry.path), None, when)
        elif stat.S_ISFIFO(info.st_mode):
            yield header(name, FIFO, mode, owner, 0, "", None, when)
        elif stat.S_ISREG(info.st_mode):
            attributes = layer_attributes(entry.path)
            yield header(name, FILE, mode, owner, info.st_size, "", attributes, when)
            yield from self._content(entry.path, info.st_size)
        else:
            raise Damaged(f"{entry.path} is a device or a socket, which no layer can hold")

    def _content(self, path: str, size: int) -> Iterator[bytes | memoryview]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            left = size
            while left:
                got = os.readv(descriptor, [self._buffer[: min(left, CHUNK)]])
                if got == 0:
                    raise Damaged(f"{path} became shorter while it was read")
                yield self._buffer[:got]
                left -= got
        finally:
            os.close(descriptor)
        self.tree_size += size
        if rest := size % 512:
            yield bytes(512 - rest)


def digest_tree(folder: str, ids: Ids | None = None) -> Digested:
    """Walk a canonical tree and hash its stream. Raises Damaged for what no layer can hold."""
    import hashlib  # here: it brings OpenSSL, and the supervisor digests nothing

    walk = Walk(folder, ids or Ids.mine())
    sha256, size = hashlib.sha256(), 0
    for piece in walk:
        sha256.update(piece)
        size += len(piece)
    return Digested("sha256:" + sha256.hexdigest(), size, walk.tree_size)


def stream(folder: str, ids: Ids | None = None) -> Iterator[bytes]:
    """The canonical stream of a layer's tree, in pieces; their sha256 is its diff ID."""
    return (bytes(piece) for piece in Walk(folder, ids or Ids.mine()))


def is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def stream_name(entry: os.DirEntry[str]) -> str:
    """The name an entry has in the stream: a whiteout is `.wh.NAME` there."""
    if entry.name.startswith(WHITEOUT_PREFIX):
        raise StackupError(f"{entry.path}: a name that begins with .wh. means a deleted file and cannot be in a layer")
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink():
        return entry.name
    return WHITEOUT_PREFIX + entry.name if is_whiteout(entry.stat(follow_symlinks=False)) else entry.name


def is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
