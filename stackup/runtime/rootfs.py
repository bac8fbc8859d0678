"""What is done to a finished root file system: hidden and read-only paths, kernel settings, and the move into it."""

from __future__ import annotations

import errno
import os
import stat

from stackup.classes import dataclass
from stackup.linux import beneath, syscalls
from stackup.oci import Document
from stackup.runtime.mounts import Operation, Stage, make_filesystem


@dataclass(frozen=True, slots=True)
class Mask:
    """Hide paths: an empty read-only folder over a folder, /dev/null over a file; what is not there needs no hiding."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return "mask paths"

    def execute(self, stage: Stage) -> None:
        empty = -1
        for path in self.paths:
            found = _find(stage.root, path)
            if found is None:
                continue
            if not stat.S_ISDIR(os.fstat(found).st_mode):
                cover = syscalls.open_tree(syscalls.AT_FDCWD, "/dev/null", syscalls.OPEN_TREE_CLONE)
            elif empty < 0:
                options = ("mode=555", "nr_blocks=1", "nr_inodes=1")
                cover = empty = make_filesystem("tmpfs", syscalls.MOUNT_ATTR_RDONLY, options)
            else:
                cover = syscalls.open_tree(empty, "", syscalls.OPEN_TREE_CLONE)
            syscalls.move_mount(cover, "", found, "")
            os.close(found)
            if cover != empty:
                os.close(cover)
        if empty >= 0:
            os.close(empty)


@dataclass(frozen=True, slots=True)
class Protect:
    """Make paths read-only, with what is mounted below them."""

    paths: tuple[str, ...]

    def describe(self) -> str:
        return "make paths read-only"

    def execute(self, stage: Stage) -> None:
        flags = syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE
        for path in self.paths:
            found = _find(stage.root, path)
            if found is None:
                continue
            cover = syscalls.open_tree(found, "", flags)
            syscalls.mount_setattr(cover, set=syscalls.MOUNT_ATTR_RDONLY, recursive=True)
            syscalls.move_mount(cover, "", found, "")
            os.close(cover)
            os.close(found)


@dataclass(frozen=True, slots=True)
class Settings:
    """Kernel settings of the container's own namespaces, through its own /proc."""

    values: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        return "set " + ", ".join(f"{k}={v}" for k, v in self.values)

    def execute(self, stage: Stage) -> None:
        for name, value in self.values:
            try:
                beneath.write(stage.root, "proc/sys/" + name.replace(".", "/"), value.encode(), follow=False)
            except OSError as error:
                raise OSError(error.errno, f"{name}: {os.strerror(error.errno or 0)}") from error


@dataclass(frozen=True, slots=True)
class ReadOnlyRoot:
    def describe(self) -> str:
        return "make / read-only"

    def execute(self, stage: Stage) -> None:
        syscalls.mount_setattr(stage.root, set=syscalls.MOUNT_ATTR_RDONLY)


def operations(spec: Document) -> tuple[Operation, ...]:
    """What follows the mounts, in this order: settings need a writable /proc/sys."""
    linux = spec.get("linux", {})
    found: list[Operation] = []
    if settings := linux.get("sysctl"):
        found.append(Settings(tuple(sorted(settings.items()))))
    if masked := linux.get("maskedPaths"):
        found.append(Mask(tuple(masked)))
    if protected := linux.get("readonlyPaths"):
        found.append(Protect(tuple(protected)))
    if spec["root"].get("readonly"):
        found.append(ReadOnlyRoot())
    return tuple(found)


def enter(stage: Stage) -> None:
    """Make the root the only file system there is (pivot_root(2), "pivot_root(".", ".")").

    The old root is then stacked on the new one, and on it the trees that were attached to `/`; each is taken off.
    """
    os.fchdir(stage.root)
    syscalls.pivot_root(".", ".")
    helpers = [tree for tree in stage.attached if stage.trees[tree] != stage.root]
    for _ in range(len(helpers) + 1):
        syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _find(root: int, path: str) -> int | None:
    try:
        return beneath.open_path(root, path, follow=False)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
