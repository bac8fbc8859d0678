"""Bundles for the runtime's tests: a busybox root file system, a container's spec, its overlay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from stackup.oci import Mount
from stackup.runtime import capabilities, container
from stackup.runtime.idmap import IdMap
from stackup.runtime.process import Stdio

IDS = IdMap(0x70000000)
QUIET = ["nosuid", "noexec", "nodev"]
MOUNTS = [
    ("/proc", "proc", QUIET),
    ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("/dev/shm", "tmpfs", [*QUIET, "mode=1777", "size=1048576"]),
    ("/dev/mqueue", "mqueue", QUIET),
    ("/sys", "sysfs", [*QUIET, "ro"]),
]
PROGRAMS = ("sh", "ls", "cat", "id", "sleep", "mount", "hostname", "touch", "readlink", "stat", "ln", "chmod", "tty")
PASSWD = "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/var/www:/bin/sh\n"
GROUP = "root:x:0:\nwww:x:33:\nextra:x:40:www\n"


def tree(folder: Path) -> Path:
    """A layer with busybox in it."""
    for name in ("bin", "etc", "tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "bin/busybox")
    for name in PROGRAMS:
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "etc/passwd").write_text(PASSWD)
    (folder / "etc/group").write_text(GROUP)
    return folder


def spec(
    *args: str, user: str | None = None, mounts: list[dict[str, Any]] | None = None, **linux: Any
) -> dict[str, Any]:
    annotations = {"stackup.seccomp": "default", **({"stackup.user": user} if user else {})}
    kinds = ("user", "pid", "ipc", "uts", "mount", "cgroup", "network")
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": process(*args),
        "mounts": [{"destination": t, "type": k, "source": k, "options": o} for t, k, o in MOUNTS] + (mounts or []),
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "uidMappings": IDS.oci(),
            "gidMappings": IDS.oci(),
            **linux,
        },
        "annotations": annotations,
    }


def process(*args: str, terminal: bool = False) -> dict[str, Any]:
    return {
        "terminal": terminal, "args": list(args), "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": True,
        "capabilities": capabilities.oci(capabilities.DEFAULT),
    }  # fmt: skip


def overlay(folder: Path, name: str = "c", layers: int = 1) -> tuple[Mount, ...]:
    """An overlay of `folder/trees/0` (made here) and empty layers; its upper is `folder/NAME/upper`."""
    if not (folder / "trees").exists():
        tree(folder / "trees" / "0")
    lowers = [str(folder / "trees" / str(n)) for n in range(layers)]
    for lower in lowers:
        os.makedirs(lower, exist_ok=True)
    own = folder / name
    own.mkdir(exist_ok=True)
    options = (f"lowerdir={':'.join(reversed(lowers))}", f"upperdir={own}/upper", f"workdir={own}/work", "userxattr")
    return (Mount("overlay", "overlay", "/", options),)


def output(bundle: dict[str, Any], rootfs: tuple[Mount, ...], **options: Any) -> tuple[str, container.Exit]:
    """Run a container to its end: what it printed on both streams, and how it ended."""
    reading, writing = os.pipe()
    try:
        made = container.create(
            bundle, container_id="c", rootfs=rootfs, stdio=Stdio(None, writing, writing), **options
        )  # fmt: skip
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        made.start()
        return read_all(reading), made.wait()
    finally:
        made.delete()
        os.close(reading)


def read_all(descriptor: int) -> str:
    data = b""
    while piece := os.read(descriptor, 65536):
        data += piece
    return data.decode()
