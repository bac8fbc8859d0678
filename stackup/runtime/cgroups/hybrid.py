"""Which version this machine has, read from its mount table.

- v2: `cgroup_fs` itself is a cgroup2 file system.
- v1: a cgroup file system for each controller below it.
- hybrid: v1 hierarchies beside a cgroup2 one (systemd's `unified`). A controller belongs to one of the two; where v1
  has those we need, v1 drives. Where only v2 has memory and pids, v2 drives at its mount point.
"""

from __future__ import annotations

import os
import re

from stackup.errors import Unsupported
from stackup.runtime.cgroups.driver import Driver
from stackup.runtime.cgroups.files import KERNEL, Files
from stackup.runtime.cgroups.v1 import V1Driver
from stackup.runtime.cgroups.v2 import V2Driver

_CONTROLLERS = frozenset(
    {"memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio", "cpuset", "hugetlb", "net_cls", "net_prio",
     "perf_event", "rdma", "misc"}
)  # fmt: skip
_ESCAPE = re.compile(r"\\([0-7]{3})")


def detect(cgroup_fs: str, mounts: str, files: Files = KERNEL) -> Driver:
    """See `driver.detect`."""
    if os.path.exists(os.path.join(cgroup_fs, "cgroup.controllers")):
        return V2Driver(cgroup_fs, files)
    v1, v2 = hierarchies(files.read(mounts), cgroup_fs)
    if v2 is None and not v1.keys() & {"memory", "pids", "cpu", "cpuacct"}:
        raise Unsupported(f"no control groups are mounted at {cgroup_fs}", hint="mount -t cgroup2 none /sys/fs/cgroup")
    if "memory" in v1 or "pids" in v1 or v2 is None:
        return V1Driver(v1, files, "v1" if v2 is None else "hybrid")
    return V2Driver(v2, files)


def hierarchies(mounts: str, cgroup_fs: str) -> tuple[dict[str, str], str | None]:
    """(v1 controller -> mount point, mount point of cgroup2 or None) of a mount table's text (proc(5)), as far as they
    lie at or below `cgroup_fs`. Of several mounts of one controller the last counts: it lies on top."""
    v1: dict[str, str] = {}
    v2: str | None = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        place = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[1])
        if place != cgroup_fs and not place.startswith(cgroup_fs.rstrip("/") + "/"):
            continue
        if fields[2] == "cgroup2":
            v2 = place
        elif fields[2] == "cgroup":
            v1.update(dict.fromkeys(_CONTROLLERS & set(fields[3].split(",")), place))
    return v1, v2
