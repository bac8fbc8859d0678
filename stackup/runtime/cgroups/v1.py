"""Control groups version 1: a hierarchy for each controller, files of memory.rst, sched-bwc.rst, pids.rst, devices.rst.

A container's group exists in memory, cpu, cpuacct and pids. Containers that may open the default devices only (nearly
all) share one group of the devices hierarchy, `default` beside theirs. No freezer group: `kill` stops forks with
pids.max instead, and a process frozen by v1 does not even die of SIGKILL.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping

from stackup.errors import Conflict, KernelError, NotFound, Unsupported
from stackup.oci import Document
from stackup.runtime.cgroups import cpu, devices, memory, pids, tree
from stackup.runtime.cgroups.driver import CgroupJoin, Group
from stackup.runtime.cgroups.files import KERNEL, Files, limit, table
from stackup.runtime.stats import Limits, Stats

_OWN = ("pids", "memory", "cpu", "cpuacct")  # pids first: it tells whether a group exists
_SHARED_DEVICES = "default"


class V1Driver:
    """`hierarchies`: controller -> folder where its hierarchy is mounted; co-mounted controllers have the same."""

    def __init__(self, hierarchies: Mapping[str, str], files: Files = KERNEL, version: str = "v1") -> None:
        self.hierarchies = dict(hierarchies)
        self.files = files
        self._version = version

    @property
    def version(self) -> str:
        return self._version

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(self.hierarchies)

    def tops(self) -> list[str]:
        """Hierarchies in which every container has a group, each once."""
        return list(dict.fromkeys(self.hierarchies[name] for name in _OWN if name in self.hierarchies))

    def create(self, path: str, resources: Document) -> Group:
        require(self.controllers, resources)
        group = V1Group(self, path)
        own_devices = "devices" in self.hierarchies and not devices.is_default(resources)
        tops = self.tops() + ([self.hierarchies["devices"]] if own_devices else [])
        made: list[str] = []
        try:
            with tree.locked(tops[0]):
                for top in dict.fromkeys(tops):
                    tree.make(f"{top}/{path}")
                    made.append(f"{top}/{path}")
                self._share_devices(path, own_devices)
            group.write(resources, fresh=True)
            if own_devices:
                self._write(os.path.join(self.hierarchies["devices"], path), devices.v1(resources))
        except BaseException:
            for folder in made:
                tree.remove(folder)
            if made:
                group.remove_parents()
            raise
        return group

    def _share_devices(self, path: str, own: bool) -> None:
        if own or "devices" not in self.hierarchies:
            return
        folder = self.shared_devices(path)
        try:
            os.mkdir(folder, 0o755)
        except FileExistsError:
            return
        except FileNotFoundError:
            tree.make(folder)
        self._write(folder, devices.v1({}))

    def shared_devices(self, path: str) -> str:
        return os.path.join(self.hierarchies["devices"], os.path.dirname(path), _SHARED_DEVICES)

    def _write(self, folder: str, contents: Iterable[tuple[str, str]]) -> None:
        for name, content in contents:
            self.files.write(f"{folder}/{name}", content)

    def open(self, path: str) -> Group:
        return V1Group(self, path)

    def list(self, path: str) -> Iterable[str]:
        """Names in any of the hierarchies: a crash may leave a group half made or half removed."""
        names = {name for top in self.tops() for name in tree.children(f"{top}/{path}")}
        return sorted(names - {_SHARED_DEVICES})


class V1Group:
    def __init__(self, driver: V1Driver, path: str) -> None:
        self._driver = driver
        self._path = path

    @property
    def path(self) -> str:
        return self._path

    def _folder(self, controller: str) -> str:
        try:
            return f"{self._driver.hierarchies[controller]}/{self._path}"
        except KeyError:
            raise Unsupported(f"this machine has no {controller} controller") from None

    def _has(self, controller: str) -> bool:
        return controller in self._driver.hierarchies

    @property
    def join(self) -> CgroupJoin:
        folders = [f"{top}/{self._path}" for top in self._driver.tops()]
        if self._has("devices"):
            own = self._folder("devices")
            folders.append(own if os.path.isdir(own) else self._driver.shared_devices(self._path))
        return CgroupJoin(tasks=tuple(f"{f}/tasks" for f in dict.fromkeys(folders)))

    def update(self, resources: Document) -> None:
        require(self._driver.controllers, resources)
        self.write(resources, fresh=False)

    def write(self, resources: Document, *, fresh: bool) -> None:
        """Memory first: it alone can be refused, and then nothing else has changed."""
        files = self._driver.files
        if self._has("memory"):
            self._write_memory(memory.wanted(resources), fresh)
        if self._has("cpu"):
            for name, content in cpu.v1(cpu.wanted(resources), fresh=fresh):
                files.write(f"{self._folder('cpu')}/{name}", content)
        if self._has("pids"):
            for name, content in pids.files(resources, fresh=fresh):
                files.write(f"{self._folder('pids')}/{name}", content)

    def _write_memory(self, want: memory.Memory, fresh: bool) -> None:
        files, folder = self._driver.files, self._folder("memory")
        outer = os.path.join(folder, memory.LIMIT_WITH_SWAP)
        needed = not fresh or want != memory.Memory(-1, -1, -1)
        has_swap = needed and os.path.exists(outer)
        swap_now = limit(files.read(outer)) if has_swap and not fresh else None
        for name, content in memory.v1(want, swap_now, has_swap=has_swap, fresh=fresh):
            try:
                files.write(f"{folder}/{name}", content)
            except KernelError as error:
                if error.errno != errno.EBUSY:
                    raise
                usage = int(files.read(os.path.join(folder, "memory.usage_in_bytes")))
                raise Conflict(
                    f"memory limit {memory.size(int(content))} is below the {memory.roughly(usage)} in use",
                    hint=memory.TOO_LOW,
                ) from error

    def _read(self, controller: str, name: str) -> str:
        return self._driver.files.read(os.path.join(self._folder(controller), name))

    def stats(self) -> Stats:
        usage, inactive, bound, peak, oom = 0, 0, None, None, 0
        if self._has("memory"):
            usage = int(self._read("memory", "memory.usage_in_bytes"))
            inactive = table(self._read("memory", "memory.stat")).get("total_inactive_file", 0)
            bound = limit(self._read("memory", memory.LIMIT))
            peak = int(self._read("memory", "memory.max_usage_in_bytes"))
            oom = self.oom_kills()
        throttled = table(self._read("cpu", "cpu.stat")).get("throttled_time", 0) if self._has("cpu") else 0
        return Stats(
            memory_bytes=memory.in_use(usage, inactive), memory_limit=bound, memory_peak=peak, oom_kills=oom,
            cpu_ns=int(self._read("cpuacct", "cpuacct.usage")) if self._has("cpuacct") else 0, throttled_ns=throttled,
            pids=int(self._read("pids", "pids.current")) if self._has("pids") else len(self.pids()),
            pids_limit=limit(self._read("pids", pids.MAX)) if self._has("pids") else None,
        )  # fmt: skip

    def limits(self) -> Limits:
        return Limits(
            memory=limit(self._read("memory", memory.LIMIT)) if self._has("memory") else None,
            cpus=cpu.cores(self._read("cpu", cpu.QUOTA), self._read("cpu", cpu.EVERY)) if self._has("cpu") else None,
            pids=limit(self._read("pids", pids.MAX)) if self._has("pids") else None,
        )

    def oom_kills(self) -> int:
        if not self._has("memory"):
            return 0
        return table(self._read("memory", "memory.oom_control")).get("oom_kill", 0)

    def pids(self) -> tuple[int, ...]:
        return tree.processes(os.path.join(self._driver.tops()[0], self._path))

    def kill(self) -> None:
        folder = os.path.join(self._driver.tops()[0], self._path)
        if not self._has("pids"):
            return tree.end_processes(folder)
        bound = os.path.join(folder, pids.MAX)
        try:
            former = self._driver.files.read(bound).strip()
            self._driver.files.write(bound, "0")  # from now on nothing in it can fork away from us
            try:
                tree.end_processes(folder)
            finally:
                self._driver.files.write(bound, former)
        except NotFound:
            return None

    def delete(self) -> None:
        tops = self._driver.tops() + ([self._driver.hierarchies["devices"]] if self._has("devices") else [])
        for top in dict.fromkeys(tops):
            tree.remove(f"{top}/{self._path}")
        self.remove_parents()

    def remove_parents(self) -> None:
        """The folders above, where this was the last group of its root. Decided in the first hierarchy, under the lock
        that `create` takes, so that no group is made between the decision and the end."""
        tops = self._driver.tops()
        parent = os.path.dirname(self._path)
        with tree.locked(tops[0]):
            if not tree.remove_empty(tops[0], parent):
                return
            if self._has("devices"):
                tree.remove(self._driver.shared_devices(self._path))
                tree.remove_empty(self._driver.hierarchies["devices"], parent)
            for top in tops[1:]:
                tree.remove_empty(top, parent)


def require(controllers: frozenset[str], resources: Document) -> None:
    """Raises Unsupported for a limit whose controller this machine lacks: never a limit that does not hold."""
    for name, keys in (
        ("memory", ("limit", "swap", "reservation")),
        ("cpu", ("quota", "shares")),
        ("pids", ("limit",)),
    ):
        values = resources.get(name) or {}
        asked = [key for key in keys if values.get(key) is not None and values[key] > 0]
        if asked and name not in controllers:
            raise Unsupported(
                f"a {name} limit needs the {name} controller, which this machine's control groups lack",
                hint="stackup doctor tells what is there",
            )
