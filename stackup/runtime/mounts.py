"""The mounts of a container as values: read from the spec, described, then executed by the child.

Two kinds of values. A `Tree` is a detached copy of a place on the host that the creator makes (only it has the right to
id-map one); the child gets the trees as descriptors and never walks a path of the host. An operation is executed by the
child, in order, before the old root goes: everything in it is resolved beneath the new root, by descriptor.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from stackup.classes import dataclass
from stackup.errors import StackupError
from stackup.linux import beneath, syscalls
from stackup.oci import Document
from stackup.runtime.namespaces import Mapping

_ATTRIBUTES = {
    "ro": syscalls.MOUNT_ATTR_RDONLY,
    "nosuid": syscalls.MOUNT_ATTR_NOSUID,
    "nodev": syscalls.MOUNT_ATTR_NODEV,
    "noexec": syscalls.MOUNT_ATTR_NOEXEC,
    "noatime": syscalls.MOUNT_ATTR_NOATIME,
    "strictatime": syscalls.MOUNT_ATTR_STRICTATIME,
}
# Said by default, or about propagation, which is always private here.
_WITHOUT_EFFECT = frozenset((
    "rw", "suid", "dev", "exec", "relatime", "defaults", "bind", "rbind", "idmap", "ridmap", "private", "rprivate",
    "slave", "rslave", "nodiratime", "diratime",
))  # fmt: skip
KERNEL_FILESYSTEMS = frozenset(("proc", "sysfs", "devpts", "mqueue", "tmpfs"))
_MAX_DATA = 4095  # mount(2): one page with its final zero


@dataclass(frozen=True, slots=True)
class Tree:
    """A place of the host, copied by open_tree(2). `attributes` are MOUNT_ATTR_*."""

    path: str
    mapping: Mapping | None = None
    recursive: bool = False
    attributes: int = 0


@dataclass(frozen=True, slots=True)
class At:
    """A path inside of a tree: `tree` is its number among the container's trees, `path` is "" for the tree itself."""

    tree: int
    path: str = ""


@dataclass(slots=True)
class Stage:
    """What operations work on, in the child: the trees' descriptors, and the new root once there is one."""

    trees: list[int]
    root: int = -1
    attached: set[int] = field(default_factory=set)

    def attach(self, tree: int) -> int:
        """Put a tree into our mount namespace, unseen on top of `/`: overlay and open_tree want it there."""
        descriptor = self.trees[tree]
        if tree not in self.attached:
            syscalls.move_mount(descriptor, "", syscalls.AT_FDCWD, "/")
            self.attached.add(tree)
        return descriptor


class Operation(Protocol):
    def describe(self) -> str: ...
    def execute(self, stage: Stage) -> None: ...


@dataclass(frozen=True, slots=True)
class BindRoot:
    """The root file system is a folder, as it stands."""

    tree: int
    source: str

    def describe(self) -> str:
        return f"bind {self.source} on /"

    def execute(self, stage: Stage) -> None:
        stage.root = stage.attach(self.tree)


@dataclass(frozen=True, slots=True)
class OverlayRoot:
    """The root file system is an overlay, mounted from inside the user namespace (so with `userxattr`)."""

    lowers: tuple[At, ...]
    upper: At | None
    work: At | None
    options: tuple[str, ...]

    def describe(self) -> str:
        return "mount overlay on /"

    def execute(self, stage: Stage) -> None:
        for place in (*self.lowers, *filter(None, (self.upper, self.work))):
            stage.attach(place.tree)
        base, name = os.path.split(self.lowers[0].path)
        tree = stage.trees[self.lowers[0].tree]
        folder = beneath.open_path(tree, base, os.O_PATH | os.O_DIRECTORY, follow=False)
        os.fchdir(folder)
        data = ",".join(self._data(stage, base))
        if len(data.encode()) <= _MAX_DATA:
            # On top of its own first layer: that folder is there in every case, and nobody else looks at it here.
            syscalls.mount("overlay", name or ".", "overlay", 0, data)
            stage.root = os.open(name or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            stage.root = self._by_descriptors(stage)
        os.close(folder)

    def _data(self, stage: Stage, base: str) -> list[str]:
        def path(place: At) -> str:
            head, name = os.path.split(place.path)
            if place.tree == self.lowers[0].tree and head == base and name:
                return name
            return f"/proc/self/fd/{stage.trees[place.tree]}/{place.path}"

        data = ["lowerdir=" + ":".join(path(lower) for lower in self.lowers)]
        if self.upper and self.work:
            data += [f"upperdir={path(self.upper)}", f"workdir={path(self.work)}"]
        return data + list(self.options)

    def _by_descriptors(self, stage: Stage) -> int:
        """For more layers than a page has room for (Linux 6.13)."""
        context = syscalls.fsopen("overlay")
        for option in self.options:
            _configure(context, option)
        named = [("lowerdir+", lower) for lower in self.lowers]
        if self.upper and self.work:
            named += [("upperdir", self.upper), ("workdir", self.work)]
        for key, place in named:
            layer = beneath.open_path(stage.trees[place.tree], place.path, follow=False)
            syscalls.fsconfig_fd(context, key, layer)
            os.close(layer)
        syscalls.fsconfig_create(context)
        root = syscalls.fsmount(context)
        os.close(context)
        syscalls.move_mount(root, "", syscalls.AT_FDCWD, "/")
        return root


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A new file system of the kernel: proc, sysfs, tmpfs, devpts, mqueue."""

    type: str
    target: str
    attributes: int = 0
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount {self.type} on {self.target}"

    def execute(self, stage: Stage) -> None:
        mounted = make_filesystem(self.type, self.attributes, self.options)
        attach_at(stage.root, mounted, self.target, folder=True, follow=not _is_special(self.type, self.target))


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host. `source` is for people; `place` says where it is."""

    source: str
    place: At
    target: str
    attributes: int = 0

    def describe(self) -> str:
        return f"bind {self.source} on {self.target}"

    def execute(self, stage: Stage) -> None:
        mounted = stage.trees[self.place.tree]
        if self.place.path:
            shared = stage.attach(self.place.tree)
            mounted = syscalls.open_tree(shared, self.place.path, syscalls.OPEN_TREE_CLONE)
            if self.attributes:
                syscalls.mount_setattr(mounted, set=self.attributes)
        folder = stat.S_ISDIR(os.fstat(mounted).st_mode)
        attach_at(stage.root, mounted, self.target, folder=folder, follow=not _is_special("bind", self.target))


def make_filesystem(kind: str, attributes: int, options: Sequence[str]) -> int:
    """A detached mount of a new file system. OSError names the option that was refused."""
    context = syscalls.fsopen(kind)
    try:
        syscalls.fsconfig_string(context, "source", kind)  # what df(1) shows
        for option in options:
            _configure(context, option)
        syscalls.fsconfig_create(context)
        return syscalls.fsmount(context, attributes)
    finally:
        os.close(context)


def _configure(context: int, option: str) -> None:
    key, equals, value = option.partition("=")
    if equals:
        syscalls.fsconfig_string(context, key, value)
    else:
        syscalls.fsconfig_flag(context, key)


def attach_at(root: int, mounted: int, target: str, *, folder: bool, follow: bool) -> None:
    """Move a detached mount to a path beneath the root, made there where missing, and close it.

    OSError ELOOP: a symbolic link is in the way of one of the kernel's file systems.
    """
    try:
        place = beneath.open_target(root, target, folder=folder, follow=follow)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and not follow:
            raise OSError(errno.ELOOP, f"{target}: the image has a symbolic link there") from error
        raise
    try:
        syscalls.move_mount(mounted, "", place, "")
    finally:
        os.close(place)
        os.close(mounted)


def _is_special(kind: str, target: str) -> bool:
    """Where no link of an image is followed (CVE-2019-19921): the kernel's file systems and what lies in them."""
    first = target.strip("/").partition("/")[0]
    return first in ("proc", "sys", "dev") or kind in KERNEL_FILESYSTEMS - {"tmpfs"}


# --- from the spec


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a container's mounts: what its creator prepares, what the child executes."""

    trees: tuple[Tree, ...]
    operations: tuple[Operation, ...]


class _Trees:
    """Collects the trees; what carries the container's own ids and lies in one file system shares one."""

    def __init__(self, mapping: Mapping | None) -> None:
        self.mapping = mapping
        self.found: list[Tree] = []
        self._shared: tuple[str, int] | None = None

    def share(self, paths: Sequence[str]) -> None:
        """One tree for all these paths, if nothing is mounted between their common folder and each of them."""
        common = os.path.commonpath(paths)
        if common.count("/") >= 2 and all(_within_one_mount(common, p) for p in paths):
            self._shared = (common, self.add(Tree(common, self.mapping)))

    def add(self, tree: Tree) -> int:
        self.found.append(tree)
        return len(self.found) - 1

    def place(self, path: str) -> At:
        """Where to find a folder that carries the container's ids."""
        if self._shared and (path + "/").startswith(self._shared[0] + "/"):
            return At(self._shared[1], path[len(self._shared[0]) + 1 :])
        folder, name = os.path.split(path)
        for number, tree in enumerate(self.found):
            if tree == Tree(folder, self.mapping):
                return At(number, name)
        return At(self.add(Tree(folder, self.mapping)), name)

    def shares(self, path: str) -> bool:
        """Whether a file is reached through the shared tree (a folder may have something mounted below it)."""
        if not self._shared or not path.startswith(self._shared[0] + "/"):
            return False
        return os.path.isfile(path) and _within_one_mount(self._shared[0], path)


def _within_one_mount(folder: str, path: str) -> bool:
    relative = path[len(folder) :].strip("/")
    if not relative:
        return True
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_SYMLINKS
        os.close(syscalls.openat2(descriptor, relative, os.O_PATH, resolve))
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP):
            return False
        raise
    finally:
        os.close(descriptor)
    return True


def plan(spec: Document, rootfs: Sequence[Document], bundle: str, mapping: Mapping | None) -> Plan:
    """The mounts of a container. `rootfs`: mounts in their JSON form, only one on "/"; none means `root.path`.

    StackupError for what is not understood, OSError where a source cannot be found.
    """
    trees = _Trees(mapping)
    operations: list[Operation] = [_root(spec, rootfs, bundle, trees)]
    for mount in spec.get("mounts", ()):
        operations.append(_operation(mount, trees, bundle))
    return Plan(tuple(trees.found), tuple(operations))


def _root(spec: Document, rootfs: Sequence[Document], bundle: str, trees: _Trees) -> Operation:
    if not rootfs:
        path = os.path.join(bundle, spec["root"]["path"])
        return BindRoot(trees.add(Tree(path, recursive=True)), path)
    mount = rootfs[0]
    if len(rootfs) > 1 or mount["destination"] != "/":
        raise StackupError("the root file system is one mount, on /")
    if mount["type"] == "bind":
        attributes, _ = split_options(mount.get("options", ()), "bind on /")
        return BindRoot(trees.add(Tree(mount["source"], trees.mapping, attributes=attributes)), mount["source"])
    if mount["type"] != "overlay":
        raise StackupError(f"a root file system of type {mount['type']} is not supported")
    return _overlay(mount, trees)


def _lower_folders(value: str) -> list[str]:
    """The folders of a `lowerdir=` value: a colon parts them, a backslash takes the next character as it is."""
    return [re.sub(r"\\(.)", r"\1", folder) for folder in re.findall(r"(?:\\.|[^:\\])+", value)]


def _overlay(mount: Document, trees: _Trees) -> OverlayRoot:
    lowers: list[str] = []
    folders: dict[str, str] = {}
    options = []
    for option in mount["options"]:
        key, _, value = option.partition("=")
        if key == "lowerdir":
            lowers = _lower_folders(value)
        elif key in ("upperdir", "workdir"):
            folders[key] = value
            if not os.path.isdir(value):
                os.makedirs(value, exist_ok=True)
        else:
            options.append(option)
    if not lowers:
        raise StackupError("an overlay needs a lowerdir")
    trees.share(sorted({*(os.path.dirname(p) for p in lowers), *(os.path.dirname(p) for p in folders.values())}))
    upper, work = folders.get("upperdir"), folders.get("workdir")
    return OverlayRoot(
        tuple(trees.place(p) for p in lowers),
        trees.place(upper) if upper else None,
        trees.place(work) if work else None,
        tuple(options),
    )


def _operation(mount: Document, trees: _Trees, bundle: str) -> Operation:
    kind, target, options = mount.get("type", "none"), mount["destination"], mount.get("options", ())
    if not target.strip("/"):
        raise StackupError("only the root file system is mounted on /")
    if kind == "bind" or "bind" in options or "rbind" in options:
        return _bind(mount, trees, bundle)
    if kind not in KERNEL_FILESYSTEMS:
        raise StackupError(f"mount {kind} on {target}: this type is not supported")
    attributes, data = split_options(options, f"mount {kind} on {target}")
    return Filesystem(kind, target, attributes, data)


def _bind(mount: Document, trees: _Trees, bundle: str) -> Bind:
    target, options = mount["destination"], mount.get("options", ())
    source = os.path.join(bundle, mount["source"])
    attributes, data = split_options(options, f"bind {source} on {target}")
    if data:
        raise StackupError(f"bind {source} on {target}: option {data[0]} is not known")
    mapping = None
    if "idmap" in options or "ridmap" in options:
        mapping = Mapping.of(mount.get("uidMappings"), mount.get("gidMappings")) or trees.mapping
    if mapping is not None and mapping == trees.mapping and trees.shares(source):
        return Bind(source, trees.place(source), target, attributes)
    tree = Tree(source, mapping, "rbind" in options, attributes)
    return Bind(source, At(trees.add(tree)), target, attributes)


def split_options(options: Sequence[str], doing: str) -> tuple[int, tuple[str, ...]]:
    """Mount attributes, and what is the file system's own."""
    attributes, data = 0, []
    for option in options:
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in ("shared", "rshared", "unbindable", "runbindable"):
            raise StackupError(f"{doing}: propagation {option} is not supported")
        elif option not in _WITHOUT_EFFECT:
            data.append(option)
    return attributes, tuple(data)
