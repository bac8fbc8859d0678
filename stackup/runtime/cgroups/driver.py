"""Control groups: one interface, a driver for each version, numbers in and file contents out.

`detect` finds what this machine has. A driver makes groups by path (`stackup/<root id>/c/<container id>`), a group is
joined by a new process itself (v1: it writes `0` into each `tasks` file; v2: CLONE_INTO_CGROUP), its limits can be
changed while it runs, and it is deleted with its parents when it is the last of its root.
`resources` is `linux.resources` of the OCI runtime spec: memory.limit, memory.swap, memory.reservation, cpu.quota,
cpu.period, cpu.shares, pids.limit, devices. What is absent is unlimited.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

from stackup.classes import dataclass
from stackup.oci import Document
from stackup.runtime.stats import Limits, Stats


@dataclass(frozen=True, slots=True)
class CgroupJoin:
    """How a new process gets into a group, as paths, so that it can cross a process border.

    v1: `tasks` files into each of which the process writes `0`, while it has a single thread. v2: the `directory` whose
    descriptor goes into clone_args.cgroup with CLONE_INTO_CGROUP. One of the two is empty.
    """

    tasks: tuple[str, ...] = ()
    directory: str | None = None

    def to_json(self) -> Document:
        return {"tasks": list(self.tasks), "directory": self.directory}

    @classmethod
    def from_json(cls, value: Document) -> CgroupJoin:
        return cls(tuple(value.get("tasks", ())), value.get("directory"))

    def open(self) -> OpenJoin:
        """The descriptors (close-on-exec). Opened by us, they let a process join that has no right to the files.

        Raises OSError naming the path.
        """
        tasks: list[int] = []
        try:
            for path in self.tasks:
                tasks.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            directory = None
            if self.directory is not None:
                directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            for descriptor in tasks:
                os.close(descriptor)
            raise
        return OpenJoin(tuple(tasks), directory)


@dataclass(frozen=True, slots=True)
class OpenJoin:
    """The descriptors of a CgroupJoin. `directory` is for clone3, `enter` for the child."""

    tasks: tuple[int, ...] = ()
    directory: int | None = None

    def enter(self) -> None:
        """Move the calling process, which must have a single thread, into the group (v1; nothing to do for v2)."""
        for descriptor in self.tasks:
            os.write(descriptor, b"0")

    def close(self) -> None:
        for descriptor in self.tasks:
            os.close(descriptor)
        if self.directory is not None:
            os.close(self.directory)


class Group(Protocol):
    """A control group of one container. Methods raise KernelError, NotFound where the group is gone."""

    @property
    def path(self) -> str:
        """Below the hierarchy's top: `stackup/<root id>/c/<container id>`."""

    @property
    def join(self) -> CgroupJoin: ...

    def update(self, resources: Document) -> None:
        """Make these the limits, of a running group too: what is absent becomes unlimited. `devices` is left as it is.

        A memory limit below what is in use and cannot be reclaimed is refused (Conflict), nothing is changed then.
        """

    def stats(self) -> Stats: ...

    def limits(self) -> Limits:
        """What the kernel holds the group to now, whoever wrote it."""

    def oom_kills(self) -> int:
        """How many processes of the group the OOM killer has ended."""

    def pids(self) -> tuple[int, ...]:
        """The processes in the group, in this process's pid namespace."""

    def kill(self) -> None:
        """SIGKILL to all, those forked meanwhile too. Returns when none is left (zombies apart)."""

    def delete(self) -> None:
        """Remove the group, and its parents if it was the root's last. Gone already is no error.

        Raises Conflict while processes are in it.
        """


class Driver(Protocol):
    """One version of control groups at one place of the file system."""

    @property
    def version(self) -> str:
        """`v1`, `v2` or `hybrid`."""

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers that can limit: of memory, cpu, cpuacct, pids, devices, ..."""

    def create(self, path: str, resources: Document) -> Group:
        """Make a group with these limits. Raises Unsupported where a limit's controller is missing, Conflict where the
        group exists, KernelError."""

    def open(self, path: str) -> Group:
        """The group at a path. It need not exist: `delete` then has nothing to do and the others raise NotFound."""

    def list(self, path: str) -> Iterable[str]:
        """Names of the groups right below a path (`stackup/<root id>/c`): for finding what a crash left."""


def detect(cgroup_fs: str = "/sys/fs/cgroup", mounts: str = "/proc/self/mounts") -> Driver:
    """The driver for what is mounted at or below `cgroup_fs`; `mounts` is the mount table to read.

    Raises Unsupported where no control groups are mounted there.
    """
    from stackup.runtime.cgroups import hybrid  # the drivers import this module

    return hybrid.detect(cgroup_fs, mounts)
