"""The drivers over plain directories: which folders and files, in which order, cleaned up how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackup.errors import Conflict, KernelError, NotFound, Unsupported
from stackup.runtime.cgroups import hybrid
from stackup.runtime.cgroups.driver import CgroupJoin
from stackup.runtime.cgroups.files import Files
from stackup.runtime.cgroups.v1 import V1Driver
from stackup.runtime.cgroups.v2 import V2Driver

M = 1 << 20
PATH = "stackup/3fa9c1/c/0123456789ab"
LIMITS = {"memory": {"limit": 64 * M}, "cpu": {"quota": 25_000, "period": 100_000}, "pids": {"limit": 32}}


class Plain(Files):
    """A plain directory has no files until they are written; rmdir wants them gone again."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.refuse = ""

    def flags(self) -> int:
        return super().flags() | os.O_CREAT | os.O_TRUNC

    def write(self, path: str, text: str) -> None:
        if self.refuse and path.endswith(self.refuse):
            raise KernelError("refused", 28)
        self.written.append((path, text))
        if not path.endswith(("cgroup.subtree_control", "cgroup.kill")):
            super().write(path, text)


def emptied(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "cgroup.controllers":
            path.unlink()


@pytest.fixture
def v2(tmp_path: Path) -> tuple[V2Driver, Plain, Path]:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    files = Plain()
    return V2Driver(str(tmp_path), files), files, tmp_path


def test_v2_hands_controllers_down_then_limits(v2: tuple[V2Driver, Plain, Path]) -> None:
    driver, files, top = v2
    group = driver.create(PATH, LIMITS)
    relative = [(os.path.relpath(path, top), text) for path, text in files.written]
    assert relative[:4] == [
        (os.path.join(folder, "cgroup.subtree_control").removeprefix("./"), "+cpu +memory +pids")
        for folder in (".", "stackup", "stackup/3fa9c1", "stackup/3fa9c1/c")
    ]
    assert relative[4:] == [
        (f"{PATH}/memory.max", str(64 * M)), (f"{PATH}/memory.swap.max", "0"),
        (f"{PATH}/cpu.max", "25000 100000"), (f"{PATH}/pids.max", "32"),
    ]  # fmt: skip
    assert group.join == CgroupJoin(directory=str(top / PATH))


def test_v2_update_and_stats_read_the_kernels_words(v2: tuple[V2Driver, Plain, Path]) -> None:
    driver, _, top = v2
    group = driver.create(PATH, LIMITS)
    group.update({"memory": {"limit": 128 * M}})
    folder = top / PATH
    assert (folder / "memory.max").read_text() == str(128 * M)
    assert (folder / "pids.max").read_text() == "max"
    for name, text in {
        "cpu.stat": "usage_usec 1500\nuser_usec 1000\nthrottled_usec 7\n", "memory.current": str(9 * M),
        "memory.stat": f"anon {5 * M}\ninactive_file {2 * M}\n", "memory.events": "low 0\noom 2\noom_kill 1\n",
        "pids.current": "3\n", "memory.peak": str(10 * M),
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    stats = group.stats()
    assert (stats.memory_bytes, stats.memory_limit, stats.memory_peak) == (7 * M, 128 * M, 10 * M)
    assert (stats.cpu_ns, stats.throttled_ns, stats.pids, stats.pids_limit) == (1_500_000, 7_000, 3, None)
    assert group.oom_kills() == stats.oom_kills == 1
    with pytest.raises(Conflict, match=r"4M is below the 5M in use"):
        group.update({"memory": {"limit": 4 * M}})
    assert (folder / "memory.max").read_text() == str(128 * M)


def test_v2_without_a_controller_refuses_its_limit_and_leaves_nothing(v2: tuple[V2Driver, Plain, Path]) -> None:
    driver, _, top = v2
    (top / "cgroup.controllers").write_text("cpu\n")
    with pytest.raises(Unsupported, match="memory"):
        driver.create(PATH, LIMITS)
    assert not (top / "stackup").exists()


def test_v2_deletes_the_parents_of_the_last_group_only(v2: tuple[V2Driver, Plain, Path]) -> None:
    driver, _, top = v2
    one, two = driver.create(PATH, {}), driver.create(PATH + "2", {})
    assert list(driver.list("stackup/3fa9c1/c")) == ["0123456789ab", "0123456789ab2"]
    one.delete()
    assert (top / "stackup/3fa9c1/c").is_dir()
    two.delete()
    assert not (top / "stackup").exists()
    two.delete()


def test_a_group_that_is_gone_says_so(v2: tuple[V2Driver, Plain, Path]) -> None:
    driver, _, _ = v2
    with pytest.raises(NotFound):
        driver.open(PATH).stats()
    assert driver.open(PATH).pids() == ()


@pytest.fixture
def v1(tmp_path: Path) -> tuple[V1Driver, Plain, Path]:
    places = {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct", "memory": "memory", "pids": "pids", "devices": "devices"}
    for place in places.values():
        (tmp_path / place).mkdir(exist_ok=True)
    files = Plain()
    return V1Driver({name: str(tmp_path / place) for name, place in places.items()}, files), files, tmp_path


def test_v1_makes_one_group_for_controllers_mounted_together(v1: tuple[V1Driver, Plain, Path]) -> None:
    driver, files, top = v1
    group = driver.create(PATH, LIMITS)
    assert [os.path.relpath(p, top) for p in group.join.tasks] == [
        f"pids/{PATH}/tasks", f"memory/{PATH}/tasks", f"cpu,cpuacct/{PATH}/tasks",
        "devices/stackup/3fa9c1/c/default/tasks",
    ]  # fmt: skip
    assert (top / "cpu,cpuacct" / PATH / "cpu.cfs_quota_us").read_text() == "25000"
    assert (str(top / "devices/stackup/3fa9c1/c/default/devices.deny"), "a") in files.written


def test_v1_shares_the_devices_group_until_one_needs_its_own(v1: tuple[V1Driver, Plain, Path]) -> None:
    driver, files, top = v1
    driver.create(PATH, {})
    count = len(files.written)
    driver.create(PATH + "2", {})
    assert len(files.written) == count, "the shared group is filled once"
    fuse = {"devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}
    own = driver.create(PATH + "3", fuse)
    assert own.join.tasks[-1] == str(top / "devices" / (PATH + "3") / "tasks")
    assert list(driver.list("stackup/3fa9c1/c")) == ["0123456789ab", "0123456789ab2", "0123456789ab3"]


def test_v1_removes_everything_with_the_last_group(v1: tuple[V1Driver, Plain, Path]) -> None:
    driver, _, top = v1
    groups = [driver.create(PATH, {}), driver.create(PATH + "2", {})]
    emptied(top)
    groups[0].delete()
    assert (top / "pids/stackup/3fa9c1/c").is_dir()
    assert (top / "devices/stackup/3fa9c1/c/default").is_dir()
    groups[1].delete()
    assert [p for p in top.rglob("*") if p.name == "stackup"] == []


def test_v1_takes_back_a_group_that_it_could_not_finish(v1: tuple[V1Driver, Plain, Path]) -> None:
    driver, files, top = v1
    files.refuse = "memory.limit_in_bytes"
    (top / "devices/stackup/3fa9c1/c/default").mkdir(parents=True)
    with pytest.raises(KernelError, match="refused"):
        driver.create(PATH, LIMITS)
    assert [p for p in top.rglob("*") if p.name == "stackup"] == []


def test_v1_says_conflict_where_the_group_exists_and_leaves_it(v1: tuple[V1Driver, Plain, Path]) -> None:
    driver, _, top = v1
    driver.create(PATH, {})
    with pytest.raises(Conflict, match="exists"):
        driver.create(PATH, {})
    assert (top / "pids" / PATH).is_dir()


def test_the_version_is_read_from_the_mount_table(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    cgroup = tmp_path / "cgroup"
    for name in ("memory", "pids", "unified"):
        (cgroup / name).mkdir(parents=True)
    both = f"cgroup {cgroup}/memory cgroup rw,memory 0 0\ncgroup {cgroup}/pids cgroup rw,pids 0 0\n"
    mounts.write_text(both)
    assert hybrid.detect(str(cgroup), str(mounts)).version == "v1"
    mounts.write_text(both + f"cgroup2 {cgroup}/unified cgroup2 rw 0 0\n")
    driver = hybrid.detect(str(cgroup), str(mounts))
    assert (driver.version, driver.controllers) == ("hybrid", {"memory", "pids"})
    mounts.write_text(f"cgroup2 {cgroup}/unified cgroup2 rw 0 0\n")
    (cgroup / "unified/cgroup.controllers").write_text("memory pids\n")
    assert hybrid.detect(str(cgroup), str(mounts)).version == "v2"
    mounts.write_text("")
    with pytest.raises(Unsupported, match="no control groups"):
        hybrid.detect(str(cgroup), str(mounts))
    (cgroup / "cgroup.controllers").write_text("memory\n")
    assert hybrid.detect(str(cgroup), str(mounts)).version == "v2"


def test_a_join_crosses_process_borders_as_json() -> None:
    join = CgroupJoin(tasks=("/a/tasks", "/b/tasks"))
    assert CgroupJoin.from_json(join.to_json()) == join
    assert CgroupJoin.from_json({}) == CgroupJoin()


def test_a_missing_group_to_join_closes_what_was_opened(tmp_path: Path) -> None:
    (tmp_path / "tasks").write_text("")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        CgroupJoin(tasks=(str(tmp_path / "tasks"), str(tmp_path / "none/tasks"))).open()
    assert os.listdir("/proc/self/fd") == before
