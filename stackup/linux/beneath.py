"""Open, make and replace what lies below a root folder, by descriptor: no path, however a hostile tree is made, leads
outside.

Every function takes a descriptor of the root (O_PATH is enough) and a path inside it; a leading `/` means the root.
`follow=True` follows symbolic links as a chroot into the root would (RESOLVE_IN_ROOT), `follow=False` refuses any link
on the way with OSError ELOOP (RESOLVE_BENEATH and NO_SYMLINKS). Magic links are never followed. Needs Linux 5.6.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from stackup.linux import syscalls

_FOLLOW = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_MAX_LINKS = 8
_REFUSE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS


def open_path(root: int, path: str, flags: int = os.O_PATH, mode: int = 0, *, follow: bool = True) -> int:
    """A close-on-exec descriptor of `path`. FileNotFoundError, and OSError ELOOP for a refused link."""
    inside = path.strip("/") or "."
    return syscalls.openat2(root, inside, flags, _FOLLOW if follow else _REFUSE, mode)


def open_folder(root: int, path: str, *, make: int | None = None, follow: bool = True) -> int:
    """An O_PATH descriptor of a folder; with `make` (a mode) what is missing on the way is made, owned by the caller.

    NotADirectoryError where something else is in the way, also a link that leads nowhere.
    """
    try:
        return open_path(root, path, os.O_PATH | os.O_DIRECTORY, follow=follow)
    except FileNotFoundError:
        if make is None:
            raise
    return _make_folders(root, path, make, follow)


def _make_folders(root: int, path: str, mode: int, follow: bool) -> int:
    """From the longest part that is there, one folder after the other, each opened as it is made."""
    parts = [p for p in path.split("/") if p and p != "."]
    if ".." in parts:
        raise OSError(errno.EINVAL, f"make folder {path}: a path with '..' is not made")
    for done in range(len(parts) - 1, -1, -1):
        try:
            current = open_path(root, "/".join(parts[:done]), os.O_PATH | os.O_DIRECTORY, follow=follow)
        except FileNotFoundError:
            continue
        break
    else:
        raise FileNotFoundError(errno.ENOENT, f"open {path}: {os.strerror(errno.ENOENT)}")
    for part in parts[done:]:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, mode, dir_fd=current)
            deeper = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
        except NotADirectoryError as error:
            raise NotADirectoryError(errno.ENOTDIR, f"make folder {path}: {part} is in the way") from error
        finally:
            os.close(current)
        current = deeper
    return current


def open_parent(root: int, path: str, *, make: int | None = None, follow: bool = True) -> tuple[int, str]:
    """A descriptor of the folder that `path` lies in, and its last name. EINVAL for a path without one."""
    head, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, f"open {path}: it names no entry of a folder")
    return open_folder(root, head, make=make, follow=follow), name


def open_target(root: int, path: str, *, folder: bool, follow: bool = True) -> int:
    """An O_PATH descriptor to mount on: the folder or file at `path`, made (0755 or an empty 0644) where missing.

    A link that leads to nothing has what it names made, inside the root (images link /etc/resolv.conf into /run).
    """
    for _ in range(_MAX_LINKS):
        try:
            return _open_target(root, path, folder, follow)
        except (FileExistsError, NotADirectoryError):
            link = _link_at(root, path) if follow else None
            if link is None:
                raise
            # Lexical, so not exact where a folder on the way is a link itself; inside the root all the same.
            path = os.path.normpath(os.path.join("/", os.path.dirname(path), link))
    raise OSError(errno.ELOOP, f"open {path}: {os.strerror(errno.ELOOP)}")


def _open_target(root: int, path: str, folder: bool, follow: bool) -> int:
    if folder:
        return open_folder(root, path, make=0o755, follow=follow)
    try:
        found = open_path(root, path, follow=follow)
    except FileNotFoundError:
        return _make_empty(root, path, follow)
    if stat.S_ISDIR(os.fstat(found).st_mode):
        os.close(found)
        raise IsADirectoryError(errno.EISDIR, f"open {path}: {os.strerror(errno.EISDIR)}")
    return found


def _link_at(root: int, path: str) -> str | None:
    parent, name = open_parent(root, path)
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)


def _make_empty(root: int, path: str, follow: bool) -> int:
    parent, name = open_parent(root, path, make=0o755, follow=follow)
    try:
        # O_EXCL: a link that leads nowhere is not written through.
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, 0o644, dir_fd=parent)
        os.close(made)
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)


def read(root: int, path: str, *, limit: int = 1 << 20, follow: bool = True) -> bytes:
    """Content of a regular file, at most `limit` bytes of it. OSError EINVAL for anything but a regular file."""
    descriptor = open_path(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, follow=follow)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, f"read {path}: not a regular file")
        data, most = b"", max(4096, info.st_size + 1)  # a file of the kernel's has no size
        while len(data) < limit and (piece := os.read(descriptor, min(most, limit - len(data)))):
            data += piece
        return data
    finally:
        os.close(descriptor)


def write(root: int, path: str, data: bytes, *, follow: bool = True) -> None:
    """Write into a file that is there, in one write (for /proc/sys)."""
    descriptor = open_path(root, path, os.O_WRONLY, follow=follow)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def replace(root: int, path: str, data: bytes, mode: int = 0o644, *, follow: bool = True) -> None:
    """Make or replace a file as a whole; what was there (also a link) is replaced, never followed at its last name."""
    parent, name = open_parent(root, path, make=0o755, follow=follow)
    temporary = f".{os.urandom(6).hex()}~"
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, mode, dir_fd=parent), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=parent)
        raise
    finally:
        os.close(parent)


def symlink(root: int, target: str, path: str, *, follow: bool = True) -> None:
    """Make a link at `path` that says `target`. FileExistsError where something is."""
    parent, name = open_parent(root, path, make=0o755, follow=follow)
    try:
        os.symlink(target, name, dir_fd=parent)
    finally:
        os.close(parent)


def lstat(root: int, path: str, *, follow: bool = True) -> os.stat_result:
    """Status of `path` itself; `follow` concerns the folders on the way, never the last name."""
    if not path.strip("/"):
        return os.fstat(root)
    parent, name = open_parent(root, path, follow=follow)
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)
