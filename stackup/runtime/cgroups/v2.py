"""Control groups version 2: one hierarchy (Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from stackup.errors import Conflict, KernelError, NotFound
from stackup.oci import Document
from stackup.runtime.cgroups import cpu, memory, pids, tree
from stackup.runtime.cgroups.driver import CgroupJoin, Group
from stackup.runtime.cgroups.files import KERNEL, Files, limit, table
from stackup.runtime.cgroups.v1 import require
from stackup.runtime.stats import Limits, Stats

_USED = ("cpu", "memory", "pids")


class V2Driver:
    """`top`: where the hierarchy is mounted, or a subtree of it that was delegated to us."""

    def __init__(self, top: str, files: Files = KERNEL) -> None:
        self.top = top
        self.files = files

    @property
    def version(self) -> str:
        return "v2"

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(self.files.read(os.path.join(self.top, "cgroup.controllers")).split())

    def create(self, path: str, resources: Document) -> Group:
        controllers = self.controllers
        require(controllers, resources)
        group = V2Group(self, path)
        folder = os.path.join(self.top, path)
        with tree.locked(self.top):
            self._enable(os.path.dirname(path), [name for name in _USED if name in controllers])
            tree.make(folder)
        try:
            group.write(resources, fresh=True)
        except BaseException:
            group.delete()
            raise
        return group

    def _enable(self, parent: str, wanted: list[str]) -> None:
        """Hand the controllers down: a group has a controller's files only where each parent enabled it."""
        folder = self.top
        for part in ("", *parent.split("/")):
            folder = os.path.join(folder, part) if part else folder
            if not os.path.isdir(folder):
                tree.make(folder)
            control = os.path.join(folder, "cgroup.subtree_control")
            missing = [name for name in wanted if name not in self._enabled(control)]
            if not missing:
                continue
            try:
                self.files.write(control, " ".join("+" + name for name in missing))
            except KernelError as error:
                hint = "processes in this group stand in the way; a delegated subtree is needed"
                raise KernelError(
                    error.message, error.errno, hint=hint if error.errno == errno.EBUSY else None
                ) from error

    def _enabled(self, control: str) -> list[str]:
        try:
            return self.files.read(control).split()
        except NotFound:
            return []

    def open(self, path: str) -> Group:
        return V2Group(self, path)

    def list(self, path: str) -> Iterable[str]:
        return tree.children(os.path.join(self.top, path))


class V2Group:
    def __init__(self, driver: V2Driver, path: str) -> None:
        self._driver = driver
        self._path = path
        self._folder = os.path.join(driver.top, path)

    @property
    def path(self) -> str:
        return self._path

    @property
    def join(self) -> CgroupJoin:
        return CgroupJoin(directory=self._folder)

    def update(self, resources: Document) -> None:
        require(self._driver.controllers, resources)
        self._refuse_below_usage(memory.wanted(resources))
        self.write(resources, fresh=False)

    def _refuse_below_usage(self, want: memory.Memory) -> None:
        """v2 takes any limit and then kills; v1 refuses. We refuse."""
        if want.limit == memory.UNLIMITED:
            return
        usage = memory.kept(table(self._optional("memory.stat")))
        if usage > want.limit:
            raise Conflict(
                f"memory limit {memory.size(want.limit)} is below the {memory.roughly(usage)} in use",
                hint=memory.TOO_LOW,
            )

    def write(self, resources: Document, *, fresh: bool) -> None:
        controllers = self._driver.controllers
        contents: list[tuple[str, str]] = []
        if "memory" in controllers:
            contents += memory.v2(memory.wanted(resources), fresh=fresh)
        if "cpu" in controllers:
            contents += cpu.v2(cpu.wanted(resources), fresh=fresh)
        if "pids" in controllers:
            contents += pids.files(resources, fresh=fresh)
        for name, content in contents:
            try:
                self._driver.files.write(os.path.join(self._folder, name), content)
            except NotFound:
                if name != "memory.swap.max":  # missing where the kernel has no swap: then there is none to limit
                    raise

    def _read(self, name: str) -> str:
        return self._driver.files.read(os.path.join(self._folder, name))

    def _optional(self, name: str) -> str:
        """A file of a controller that may not be there, or of a newer kernel; empty then."""
        try:
            return self._read(name)
        except NotFound:
            return ""

    def stats(self) -> Stats:
        times = table(self._read("cpu.stat"))
        usage = int(self._optional("memory.current") or 0)
        peak = self._optional("memory.peak")  # Linux 5.19
        return Stats(
            memory_bytes=memory.in_use(usage, table(self._optional("memory.stat")).get("inactive_file", 0)),
            memory_limit=limit(self._optional("memory.max")), memory_peak=int(peak) if peak else None,
            oom_kills=self.oom_kills(), cpu_ns=times.get("usage_usec", 0) * 1000,
            throttled_ns=times.get("throttled_usec", 0) * 1000,
            pids=int(self._optional("pids.current") or len(self.pids())), pids_limit=limit(self._optional("pids.max")),
        )  # fmt: skip

    def limits(self) -> Limits:
        quota, _, period = (self._optional("cpu.max") or "max 100000").partition(" ")
        return Limits(
            memory=limit(self._optional("memory.max")), cpus=cpu.cores(quota, period),
            pids=limit(self._optional("pids.max")),
        )  # fmt: skip

    def oom_kills(self) -> int:
        return table(self._optional("memory.events")).get("oom_kill", 0)

    def pids(self) -> tuple[int, ...]:
        return tree.processes(self._folder)

    def kill(self) -> None:
        try:
            self._driver.files.write(os.path.join(self._folder, "cgroup.kill"), "1")  # Linux 5.14
        except NotFound:
            return tree.end_processes(self._folder)
        return tree.end_processes(self._folder, signalled=True)

    def delete(self) -> None:
        tree.remove(self._folder)
        with tree.locked(self._driver.top):
            tree.remove_empty(self._driver.top, os.path.dirname(self._path))
