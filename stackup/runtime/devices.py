"""A minimal /dev: the host's harmless nodes bound into a tmpfs (nobody makes device nodes in a user namespace), and the
links that programs expect (OCI runtime-spec, config-linux.md, "Default Devices")."""

from __future__ import annotations

import errno
import os

from stackup.classes import dataclass
from stackup.linux import beneath, syscalls
from stackup.oci import Document
from stackup.runtime.mounts import Operation, Stage, attach_at

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """A device node of the host at the same path in the container."""

    path: str

    def describe(self) -> str:
        return f"bind device {self.path}"

    def execute(self, stage: Stage) -> None:
        mounted = syscalls.open_tree(syscalls.AT_FDCWD, self.path, syscalls.OPEN_TREE_CLONE)
        attach_at(stage.root, mounted, self.path, folder=False, follow=False)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of a minimal /dev, which was mounted for them; together, as each would look for the folder again."""

    def describe(self) -> str:
        return "bind devices"

    def execute(self, stage: Stage) -> None:
        folder = beneath.open_folder(stage.root, "dev", follow=False)
        try:
            for name in NODES:
                _bind(folder, name)
        finally:
            os.close(folder)


def _bind(folder: int, name: str) -> None:
    mounted = syscalls.open_tree(syscalls.AT_FDCWD, f"/dev/{name}", syscalls.OPEN_TREE_CLONE)
    try:
        place = _place(folder, name)
        syscalls.move_mount(mounted, "", place, "")
        os.close(place)
    finally:
        os.close(mounted)


def _place(folder: int, name: str) -> int:
    """A new empty file, or what a mount of the service has put there."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    except FileExistsError:
        return os.open(name, flags | os.O_PATH, dir_fd=folder)


@dataclass(frozen=True, slots=True)
class Links:
    """The symbolic links of /dev; one that is there already stays."""

    def describe(self) -> str:
        return "make links in /dev"

    def execute(self, stage: Stage) -> None:
        folder = beneath.open_folder(stage.root, "dev", follow=False)
        try:
            for name, target in LINKS:
                try:
                    os.symlink(target, name, dir_fd=folder)
                except OSError as error:
                    if error.errno != errno.EEXIST:
                        raise
        finally:
            os.close(folder)


def operations(spec: Document) -> tuple[Operation, ...]:
    """What fills /dev, where the spec mounts a tmpfs there; and the spec's own devices."""
    own = tuple(Node(d["path"]) for d in spec.get("linux", {}).get("devices", ()))
    if not any(m["destination"].rstrip("/") == "/dev" and m.get("type") == "tmpfs" for m in spec.get("mounts", ())):
        return own
    return (Nodes(), Links(), *own)
