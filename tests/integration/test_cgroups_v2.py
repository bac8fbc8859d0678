"""Version 2 as far as a hierarchy without controllers shows it: making, joining at birth, killing, removing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from stackup import paths
from stackup.errors import Unsupported
from stackup.linux import syscalls
from stackup.runtime.cgroups import hybrid
from stackup.runtime.cgroups.driver import Group
from stackup.runtime.cgroups.v2 import V2Driver

from .testhost import TestHost


@pytest.fixture
def driver() -> V2Driver:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        _, top = hybrid.hierarchies(file.read(), "/sys/fs/cgroup")
    if top is None:
        pytest.skip("no cgroup2 file system is mounted")
    return V2Driver(top)


@pytest.fixture
def group(host: TestHost, driver: V2Driver) -> Iterator[Group]:
    one = driver.create(f"stackup/{paths.open_root(str(host.root)).id}/c/0123456789ab", {})
    try:
        yield one
    finally:
        one.kill()
        one.delete()


def test_a_process_is_born_into_its_group_and_ends_with_it(group: Group) -> None:
    join = group.join.open()
    assert join.directory is not None
    pid, pidfd = syscalls.clone3(0, cgroup=join.directory)
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    join.close()
    os.close(pidfd)
    assert group.pids() == (pid,)
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        assert f"0::/{group.path}\n" in file.read()
    assert group.stats().pids == 1
    # cgroup.kill signals; the zombie stays in the group's list until its parent has waited for it
    os.kill(pid, 0)
    child = os.fork()
    if child == 0:
        group.kill()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert group.pids() == ()


def test_a_limit_is_refused_where_the_hierarchy_has_no_controllers(driver: V2Driver, host: TestHost) -> None:
    if driver.controllers & {"pids"}:
        pytest.skip("this hierarchy has controllers")
    root_id = paths.open_root(str(host.root)).id
    with pytest.raises(Unsupported, match="pids"):
        driver.create(f"stackup/{root_id}/c/0123456789ab", {"pids": {"limit": 3}})
