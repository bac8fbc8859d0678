"""Limits as the kernel holds them: each is hit by a plain process in the group."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackup import paths
from stackup.errors import Conflict, NotFound
from stackup.oci import Document
from stackup.runtime.cgroups.driver import Driver, Group, detect
from stackup.runtime.cgroups.v1 import V1Driver
from stackup.runtime.stats import cpu_percent

from .testhost import TestHost, eventually

M = 1 << 20
Make = Callable[..., Group]


@pytest.fixture
def driver() -> Driver:
    return detect()


@pytest.fixture
def make(host: TestHost, driver: Driver) -> Iterator[Make]:
    """A function that makes groups of this host's root; they are ended and removed afterwards."""
    root_id = paths.open_root(str(host.root)).id
    made: list[Group] = []

    def one(resources: Document | None = None) -> Group:
        made.append(driver.create(f"stackup/{root_id}/c/{len(made):012x}", resources or {}))
        return made[-1]

    try:
        yield one
    finally:
        for group in made:
            group.kill()
        while True:  # whoever a test left behind as our child
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not any(group.pids() for group in made):
                break
        for group in made:
            group.delete()


def inside(group: Group, work: Callable[[], object]) -> int:
    """A forked child that joins the group, then works; its pid. It ends with 0, or 1 after an exception."""
    join = group.join.open()
    child = os.fork()
    if child == 0:
        try:
            join.enter()
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    join.close()
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def allocate(size: int) -> bytearray:
    block = bytearray(size)
    for place in range(0, size, 4096):
        block[place] = 1
    return block


def allocate_and_wait(size: int) -> None:
    block = allocate(size)
    time.sleep(60)
    del block


def spin() -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass


def test_an_allocation_past_the_memory_limit_is_killed_and_counted(make: Make) -> None:
    group = make({"memory": {"limit": 32 * M}})
    assert group.oom_kills() == 0
    assert ended(inside(group, lambda: allocate(64 * M))) == -signal.SIGKILL
    assert group.oom_kills() == 1
    assert group.stats().memory_limit == 32 * M
    assert ended(inside(group, lambda: allocate(8 * M))) == 0


def test_the_pids_limit_stops_a_fork_loop(make: Make) -> None:
    group = make({"pids": {"limit": 8}})
    reading, writing = os.pipe()

    def fork_until_refused() -> None:
        count = 1
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                count += 1
        except BlockingIOError:
            os.write(writing, str(count).encode())
        time.sleep(60)

    inside(group, fork_until_refused)
    assert os.read(reading, 10) == b"8"
    os.close(reading)
    os.close(writing)
    assert group.stats().pids == len(group.pids()) == 8


def test_a_quarter_of_a_core_holds_a_busy_loop(make: Make) -> None:
    """Never above 30 %; at least 20 % once others leave it that much: windows of 5 s, more on a busy machine."""
    group = make({"cpu": {"quota": 25_000, "period": 100_000}})
    inside(group, spin)
    eventually(lambda: group.stats().cpu_ns > 0)
    shares: list[float] = []
    while len(shares) < 6 and not (shares and shares[-1] >= 20):
        earlier, began = group.stats(), time.monotonic()
        time.sleep(5)
        later, took = group.stats(), time.monotonic() - began
        shares.append(cpu_percent(earlier, later, took))
    assert max(shares) <= 30
    assert shares[-1] >= 20, shares
    assert group.stats().throttled_ns > 0


def test_kill_ends_a_fork_bomb_and_the_limits_stay_for_the_next_start(make: Make) -> None:
    group = make({"pids": {"limit": 64}})

    def bomb() -> None:
        while True:
            try:
                os.fork()
            except BlockingIOError:
                time.sleep(0.001)

    child = inside(group, bomb)
    eventually(lambda: group.stats().pids == 64)
    group.kill()
    assert group.pids() == ()
    assert ended(child) == -signal.SIGKILL
    assert group.stats().pids_limit == 64
    assert ended(inside(group, lambda: None)) == 0


def test_limits_change_under_a_running_process_up_and_down(make: Make) -> None:
    group = make({"memory": {"limit": 64 * M}, "cpu": {"quota": 25_000, "period": 100_000}, "pids": {"limit": 8}})
    inside(group, lambda: allocate_and_wait(24 * M))
    eventually(lambda: group.stats().memory_bytes > 24 * M)
    before = group.pids()
    group.update({"memory": {"limit": 128 * M}, "cpu": {"quota": 50_000, "period": 100_000}, "pids": {"limit": 16}})
    assert (group.stats().memory_limit, group.stats().pids_limit) == (128 * M, 16)
    group.update({"memory": {"limit": 48 * M}})
    assert (group.stats().memory_limit, group.stats().pids_limit) == (48 * M, None)
    group.update({})
    assert group.stats().memory_limit is None
    assert group.pids() == before
    assert group.oom_kills() == 0


def test_a_limit_below_what_is_used_is_refused_and_changes_nothing(make: Make) -> None:
    group = make({"memory": {"limit": 64 * M}, "pids": {"limit": 8}})
    inside(group, lambda: allocate_and_wait(40 * M))
    eventually(lambda: group.stats().memory_bytes > 40 * M)
    with pytest.raises(Conflict, match=r"memory limit 16M is below the 4\dM in use"):
        group.update({"memory": {"limit": 16 * M}, "pids": {"limit": 4}})
    assert (group.stats().memory_limit, group.stats().pids_limit) == (64 * M, 8)
    assert len(group.pids()) == 1


def test_what_can_be_dropped_makes_room_for_a_lower_limit(make: Make, tmp_path: Path) -> None:
    """Page cache counts as use, but goes when the limit asks for it."""
    group = make({"memory": {"limit": 128 * M}})

    def fill_the_cache() -> None:
        with open(tmp_path / "big", "wb") as file:
            file.write(bytes(48 * M))
            os.fsync(file.fileno())

    assert ended(inside(group, fill_the_cache)) == 0
    group.update({"memory": {"limit": 16 * M}})
    assert group.stats().memory_limit == 16 * M


def test_a_device_outside_of_the_minimal_dev_cannot_be_opened(make: Make, driver: Driver, tmp_path: Path) -> None:
    if "devices" not in driver.controllers:
        pytest.skip("no devices controller")
    node, null = tmp_path / "kmsg", tmp_path / "null"
    os.mknod(node, 0o600 | 0o020000, os.makedev(1, 11))
    os.mknod(null, 0o600 | 0o020000, os.makedev(1, 3))
    group = make()
    assert ended(inside(group, lambda: os.open(null, os.O_RDWR))) == 0
    assert ended(inside(group, lambda: os.open(node, os.O_RDONLY))) == 1
    kmsg = {"devices": [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]}
    assert ended(inside(make(kmsg), lambda: os.open(node, os.O_RDONLY))) == 0
    assert ended(inside(group, lambda: os.mknod(tmp_path / "disk", 0o600 | 0o060000, os.makedev(254, 0)))) == 1


def test_a_group_with_processes_is_not_deleted(make: Make) -> None:
    group = make()
    child = inside(group, lambda: time.sleep(60))
    eventually(group.pids)
    with pytest.raises(Conflict, match=str(child)):
        group.delete()
    group.kill()
    ended(child)


def test_the_last_group_takes_the_roots_folders_with_it(make: Make, host: TestHost) -> None:
    one, two = make(), make()
    assert ended(inside(one, lambda: None)) == 0
    one.delete()
    assert host.cgroups(), "the other one is still there"
    two.delete()
    assert host.cgroups() == []
    with pytest.raises(NotFound):
        two.stats()
    two.delete()


def test_a_group_can_be_made_again_at_once(make: Make, driver: Driver) -> None:
    group = make({"pids": {"limit": 4}})
    for _ in range(20):
        assert ended(inside(group, lambda: None)) == 0
        group.delete()
        group = driver.create(group.path, {"pids": {"limit": 4}})
    assert list(driver.list(os.path.dirname(group.path))) == [os.path.basename(group.path)]


def test_groups_are_made_and_removed_by_many_at_once(make: Make, driver: Driver) -> None:
    """The removal of empty parents and of the shared devices group never takes them from under a newcomer."""
    base = os.path.dirname(make().path)
    driver.open(base + "/000000000000").delete()

    def churn(number: int) -> None:
        for round_ in range(30):
            group = driver.create(f"{base}/{number:06x}{round_:06x}", {})
            join = group.join.open()
            child = os.fork()
            if child == 0:
                join.enter()
                os._exit(0)
            join.close()
            assert ended(child) == 0
            group.delete()

    children = []
    for number in range(1, 5):
        child = os.fork()
        if child == 0:
            try:
                churn(number)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        children.append(child)
    assert [ended(child) for child in children] == [0] * 4


def test_the_groups_lie_at_the_top_of_each_hierarchy(make: Make, driver: Driver) -> None:
    group = make()
    if not isinstance(driver, V1Driver):
        pytest.skip("version 2")
    for tasks in group.join.tasks:
        top = next(t for t in driver.hierarchies.values() if tasks.startswith(t + "/"))
        assert os.path.relpath(tasks, top).startswith("stackup/")
