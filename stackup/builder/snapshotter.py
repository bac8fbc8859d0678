"""Root file systems as mount values; nothing is mounted here.

One snapshotter so far, `overlay`: lower directories are the store's unpacked layers, top first. The marks inside them
are `user.overlay.*` and character devices 0:0, so mounts carry `userxattr` (Linux 5.11). `redirect_dir` and `metacopy`
stay off, as `userxattr` demands (Documentation/filesystems/overlayfs.rst, "User xattr").
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from stackup import oci
from stackup.errors import StackupError
from stackup.paths import Host

MAX_LAYERS = 500  # OVL_MAX_STACK of fs/overlayfs/params.h


def mounts(host: Host, diff_ids: Sequence[str], upper: str | None, work: str | None) -> tuple[oci.Mount, ...]:
    """The root file system of layers applied in order (lowest first), with a writable `upper` or read-only (None).

    `upper` and `work` are folders of one file system; `prepare` makes them. Paths in `lowerdir` have `\\` and `:`
    escaped by a backslash, in `upperdir` and `workdir` nothing is escaped: they are values of single options, as
    fsconfig(2) takes them (mount(2) needs commas escaped besides).
    Raises StackupError for an image without layers, or with more of them than the kernel stacks.
    """
    lower = lower_folders(host, diff_ids)
    if not lower:
        raise StackupError("the image has no layers, there is nothing to run", hint="add a layer to the image")
    if len(lower) > MAX_LAYERS:
        raise StackupError(
            f"the image has {len(lower)} different layers, the kernel stacks {MAX_LAYERS}",
            hint="put several steps into one layer",
        )
    if upper is None:
        if len(lower) == 1:
            return (oci.Mount("bind", lower[0], "/", ("bind", "ro")),)
        return (oci.Mount("overlay", "overlay", "/", (_lowerdir(lower), "userxattr", "ro")),)
    if work is None:
        raise ValueError("an upper folder needs a work folder")
    options = (_lowerdir(lower), f"upperdir={upper}", f"workdir={work}", "userxattr")
    return (oci.Mount("overlay", "overlay", "/", options),)


def lower_folders(host: Host, diff_ids: Sequence[str]) -> list[str]:
    """The folders of layers, top first, each once.

    A layer that occurs twice is kept at its highest place only: whatever it holds hides its lower self completely,
    and overlay refuses the same folder twice (ELOOP).
    """
    top_first = dict.fromkeys(reversed(diff_ids))
    return [os.path.join(host.trees, oci.digest_hex(d)) for d in top_first]


def _lowerdir(folders: Sequence[str]) -> str:
    return "lowerdir=" + ":".join(f.replace("\\", "\\\\").replace(":", "\\:") for f in folders)


def prepare(host: Host, diff_ids: Sequence[str], upper: str, work: str) -> None:
    """Make `upper` and `work` for `mounts`. The upper folder gets mode and owner of the image's own `/`."""
    os.makedirs(work, mode=0o700, exist_ok=True)
    os.mkdir(upper, 0o755)
    folders = lower_folders(host, diff_ids)
    if folders:
        info = os.lstat(folders[0])
        os.chown(upper, info.st_uid, info.st_gid)
        os.chmod(upper, stat.S_IMODE(info.st_mode))
    else:
        os.chmod(upper, 0o755)
