"""The root's layout, its format, its locks. `Host` is the value that all code takes to know where it works.

<root>/                 0700, owned by who uses it
  format                {"format": 1, "id": "3fa9c1"}; an older stackup refuses a newer root
  store/                an OCI layout: oci-layout, blobs/sha256/<hex>
    lock                gc takes it exclusively, whoever adds or mounts takes it shared
    trees/<hex>/        a layer unpacked, by diff ID
    images.db           names, digests, parents, layers, cache records
  state.db              containers, leases, generations, volumes; the supervisor is the only writer
  containers/<id>/      config.json (the OCI bundle), upper/ work/, etc/ (hosts, resolv.conf), out.fifo err.fifo, log/
  volumes/<name>/       the content of a named volume
  stacks/<name>.lock    one `up` or `build` at a time plans and builds the images of a stack
  run/                  control.sock, identity.json, start.lock; the lock alone after the last `down`
  tmp/                  half-made things; swept at start
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator

from stackup.classes import dataclass
from stackup.errors import Conflict, Damaged, KernelError, StackupError, Unsupported

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Host:
    """A root and the machine it works on. `id`: six hex digits that every machine-wide name of this root carries.

    `cgroup_fs` is where the control groups are mounted, `proc` where proc is.
    """

    root: str
    id: str
    cgroup_fs: str = "/sys/fs/cgroup"
    proc: str = "/proc"

    def path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    @property
    def store(self) -> str:
        return self.path("store")

    @property
    def trees(self) -> str:
        return self.path("store", "trees")

    @property
    def images_db(self) -> str:
        return self.path("store", "images.db")

    @property
    def state_db(self) -> str:
        return self.path("state.db")

    @property
    def run(self) -> str:
        return self.path("run")

    @property
    def tmp(self) -> str:
        return self.path("tmp")

    def container(self, container_id: str, *parts: str) -> str:
        return self.path("containers", container_id, *parts)

    def volume(self, name: str) -> str:
        return self.path("volumes", name)


_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000  # linux/fs.h
_FOLDERS = ("store/blobs/sha256", "store/trees", "containers", "volumes", "stacks", "run", "tmp")


def default_root() -> str:
    """`STACKUP_ROOT`, else /var/lib/stackup for root, $XDG_DATA_HOME/stackup for a user."""
    if chosen := os.environ.get("STACKUP_ROOT"):
        return os.path.abspath(chosen)
    if os.geteuid() == 0:
        return "/var/lib/stackup"
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local/share")
    return os.path.join(base, "stackup")


def find_root(root: str, *, cgroup_fs: str = "/sys/fs/cgroup") -> Host | None:
    """The Host of an existing root, or None where there is none yet. Writes nothing.

    Raises StackupError where the folder is not ours alone, Unsupported where a newer stackup wrote it.
    """
    path = os.path.join(root, "format")
    try:
        with open(path, encoding="utf-8") as file:
            _check_private(root)  # only of a root: any other folder is left as it is
            value = json.load(file)
        number, root_id = int(value["format"]), str(value["id"])
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise StackupError(f"root {root} is not a folder", hint="choose another with --root") from None
    except PermissionError as error:
        raise StackupError(f"root {root} belongs to another user", hint="use --root, or run as its owner") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged: {error}") from error
    if number > FORMAT:
        raise Unsupported(f"{root} has format {number}, this stackup knows {FORMAT}", hint="use the newer stackup")
    return Host(root, root_id, cgroup_fs)


def open_root(root: str, *, cgroup_fs: str = "/sys/fs/cgroup") -> Host:
    """The Host of a root, made where it does not exist yet."""
    if host := find_root(root, cgroup_fs=cgroup_fs):
        return host
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        _check_empty(root)
        os.chmod(root, 0o700)
        _check_private(root)
        for folder in _FOLDERS:
            os.makedirs(os.path.join(root, folder), mode=0o700, exist_ok=True)
        _spread(os.path.join(root, "containers"))
        write_atomically(os.path.join(root, "store/oci-layout"), b'{"imageLayoutVersion":"1.0.0"}')
        _write_format(root)
    except OSError as error:
        raise KernelError.of(f"make the root {root}", error, hint="choose another with --root") from error
    host = find_root(root, cgroup_fs=cgroup_fs)
    assert host is not None
    return host


def _spread(folder: str) -> None:
    """Tell ext4 that the folders in this one have nothing in common (chattr(1), `T`), so that it puts them far apart.

    In one block group, a new file looks at every inode that was freed there in the last minutes: after a `down` of 50
    containers that takes up to 0.5 ms a file instead of 0.01. Other file systems know no such hint.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = struct.unpack("=L", fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, bytes(4)))[0]
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("=L", flags | _FS_TOPDIR_FL))
        finally:
            os.close(descriptor)


def _write_format(root: str) -> None:
    """Last, and with O_EXCL semantics (link), so that two first runs at once agree on one id."""
    temporary = os.path.join(root, "tmp", f"format.{os.getpid()}")
    value = {"format": FORMAT, "id": os.urandom(3).hex()}
    write_atomically(temporary, json.dumps(value).encode() + b"\n")
    try:
        os.link(temporary, os.path.join(root, "format"))
    except FileExistsError:
        pass
    os.unlink(temporary)


def _check_private(root: str) -> None:
    info = os.stat(root)
    if info.st_uid != os.geteuid():
        raise StackupError(f"root {root} belongs to user {info.st_uid}", hint="use --root, or run as its owner")
    if info.st_mode & 0o077:
        raise StackupError(
            f"root {root} has mode {stat.S_IMODE(info.st_mode):04o}; others could reach its setuid files",
            hint=f"chmod 0700 {root}",
        )


def _check_empty(root: str) -> None:
    """A folder that holds something else never becomes a root: `uninstall` removes a root with all that is in it."""
    ours = {folder.partition("/")[0] for folder in _FOLDERS}
    foreign = sorted(set(os.listdir(root)) - ours - {"format", "lost+found"})
    if foreign:
        raise StackupError(
            f"root {root} is no folder of stackup's: it holds {foreign[0]}",
            hint="choose an empty or a new one (--root)",
        )


def write_atomically(path: str, data: bytes, mode: int = 0o600) -> None:
    """Temp file beside it, fsync, rename: after a crash the old content or the new one is there, never half."""
    temporary = f"{path}.{os.urandom(4).hex()}~"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def remove_tree(folder: str) -> None:
    """Remove a tree without following links, whatever modes it carries (overlay leaves a work folder of mode 000) and
    however deep it is: a container can dig deeper than a function can call itself and than a path is long. Not there is
    no error."""
    try:
        _remove_folder(folder)
    except RecursionError:
        _remove_deep(folder)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _remove_deep(folder)


def _remove_folder(folder: str) -> None:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except PermissionError:
        os.chmod(folder, 0o700)
        entries = list(os.scandir(folder))
    try:
        _remove_entries(entries)
    except PermissionError:
        os.chmod(folder, 0o700)
        _remove_entries(list(os.scandir(folder)))
    os.rmdir(folder)


def _remove_entries(entries: list[os.DirEntry[str]]) -> None:
    for entry in entries:
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            _remove_folder(entry.path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)


def _remove_deep(folder: str) -> None:
    """rm(1) goes down by descriptors, a folder at a time."""
    from stackup import programs  # brings subprocess, which a quick verb need not load

    programs.run(["rm", "-rf", "--", folder], timeout=3600)


@contextlib.contextmanager
def lock(
    path: str, *, shared: bool = False, wait: float | None = None, waiting: Callable[[str], None] | None = None,
    purpose: str = "",
) -> Iterator[None]:  # fmt: skip
    """Hold flock(2) on a file. Waits `wait` seconds at most (None: for ever), then raises Conflict.

    An exclusive holder leaves `pid purpose` in the file; `waiting` is called once with that text when we have to wait.
    The kernel frees the lock when the holder dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait, waiting)
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {purpose}".encode(), 0)
        yield
    finally:
        if not shared:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _acquire(
    descriptor: int, path: str, operation: int, wait: float | None, waiting: Callable[[str], None] | None
) -> None:
    try:
        return fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise KernelError.of(f"lock {path}", error) from error
    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
    if waiting:
        waiting(holder)
    if wait is None:
        return fcntl.flock(descriptor, operation)
    until = time.monotonic() + wait
    while time.monotonic() < until:
        try:
            return fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    raise Conflict(f"{path} is held by {holder}", hint="wait for it to end, then run the command again")
