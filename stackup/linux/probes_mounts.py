"""The probes of probes.py that mount: what a container's root file system is made of."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time

from stackup.linux import syscalls
from stackup.linux.probes import Missing, Scene, enter_user_namespace

_MAPPED = 100_000  # an arbitrary host id for the probe's user namespace


def mount_interface(scene: Scene) -> str:
    enter_user_namespace(syscalls.CLONE_NEWNS)
    context = syscalls.fsopen("tmpfs")
    syscalls.fsconfig_create(context)
    mounted = syscalls.fsmount(context)
    syscalls.mount_setattr(mounted, set=syscalls.MOUNT_ATTR_RDONLY)
    syscalls.move_mount(mounted, "", syscalls.AT_FDCWD, scene.folder)
    try:
        os.mkdir(os.path.join(scene.folder, "x"))
    except OSError as error:
        if error.errno == errno.EROFS:
            return "fsopen, fsmount, mount_setattr, move_mount"
        raise
    raise Missing("a read-only mount took a write")


def _layers(scene: Scene) -> str:
    """A folder with lower, upper, work and merged."""
    folder = tempfile.mkdtemp(dir=scene.folder)
    os.chmod(folder, 0o755)
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(os.path.join(folder, name))
    with open(os.path.join(folder, "lower/old"), "w", encoding="ascii") as file:
        file.write("old")
    return folder


def _use_overlay(folder: str, layers: str) -> None:
    """Mount and use an overlay: copy up, delete, rename. `layers`: the path to the layers for the options."""
    merged = os.path.join(folder, "merged")
    data = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work,userxattr"
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("overlay", merged, "overlay", 0, data)
    with open(os.path.join(merged, "old"), "a", encoding="ascii") as file:
        file.write("new")
    os.rename(os.path.join(merged, "old"), os.path.join(merged, "moved"))
    if os.listdir(merged) != ["moved"]:
        raise Missing("a deleted file shows through")


def overlay(scene: Scene) -> str:
    folder = _layers(scene)
    enter_user_namespace(syscalls.CLONE_NEWNS)
    _use_overlay(folder, folder)
    return f"with userxattr, on {_file_system(scene.folder)}"


def _holder(more: int) -> tuple[int, socket.socket]:
    """(pid, its end) of a child in a new user namespace whose root is the host's id 100,000; in the child: (0, end)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER | more)
            theirs.send(b"unshared")
            theirs.recv(10)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        except OSError:
            os._exit(1)  # the parent sees the end of the channel
        return 0, theirs
    theirs.close()
    if not ours.recv(10):
        raise Missing("no user namespace")
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
            file.write(f"0 {_MAPPED} 1000")
    ours.send(b"mapped")
    return child, ours


def _id_mapped_copy(path: str, holder: int) -> int:
    """A detached copy of the mount at a path on which host root's files belong to the holder's root."""
    namespace = os.open(f"/proc/{holder}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    tree = syscalls.open_tree(syscalls.AT_FDCWD, path, syscalls.OPEN_TREE_CLONE)
    try:
        syscalls.mount_setattr(tree, set=syscalls.MOUNT_ATTR_IDMAP, userns=namespace)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise Missing(f"{_file_system(path)}, on which {path} lies, cannot do it") from error
        raise
    return tree


def id_mapped_mount(scene: Scene) -> str:
    holder, _channel = _holder(0)
    if holder == 0:
        time.sleep(60)  # ended with the process group
    tree = _id_mapped_copy(scene.store, holder)
    owner = os.fstat(tree).st_uid
    # The outer view of an inner id: root of the file system is the holder's root, the host's 100,000.
    if owner != _MAPPED + os.stat(scene.store).st_uid:
        raise Missing(f"the owner reads as {owner}")
    return f"on {_file_system(scene.store)}"


def overlay_over_id_mapped(scene: Scene) -> str:
    folder = _layers(scene)
    os.chmod(scene.folder, 0o711)
    holder, channel = _holder(syscalls.CLONE_NEWNS)
    if holder == 0:
        _answer_from_holder(channel, folder)
    tree = _id_mapped_copy(folder, holder)
    socket.send_fds(channel, [b"tree"], [tree])
    answer = channel.recv(1000).decode()
    if answer != "worked":
        raise Missing(answer or "the probe crashed")
    owner = os.stat(os.path.join(folder, "upper/moved")).st_uid
    if owner != os.geteuid():
        raise Missing(f"what is written belongs to {owner}")
    return "what a container writes lies on disk under its own ids"


def _answer_from_holder(channel: socket.socket, folder: str) -> None:
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 10, 1)
        # The mount point must be reachable for an id that owns nothing here: a tmpfs of its own.
        context = syscalls.fsopen("tmpfs")
        syscalls.fsconfig_create(context)
        mounted = syscalls.fsmount(context)
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.move_mount(mounted, "", syscalls.AT_FDCWD, "/proc")
        os.mkdir("/proc/merged")
        answer = "no descriptor"
        if descriptors:
            syscalls.move_mount(descriptors[0], "", syscalls.AT_FDCWD, _made("/proc/layers"))
            _use_overlay("/proc", "/proc/layers")
            answer = "worked"
    except BaseException as error:  # nothing of this child may run on in the probe's name
        answer = str(error)
    channel.send(answer.encode())
    os._exit(0)


def _made(path: str) -> str:
    os.mkdir(path)
    return path


def _file_system(path: str) -> str:
    """The type of the file system a path lies on, from the mount table; `unknown` where it cannot be told."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split(" ")
            if fields[2] == wanted:
                return fields[fields.index("-") + 1]
    return "unknown"
