"""A changed `resources:` value reaches the running container, the same process; what stands in the kernel counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Project
from .testhost import CGROUP_FS, TestHost, eventually

HOLD = "a=xxxxxxxxxxxxxxxx; while [ $${#a} -lt 33554432 ]; do a=$$a$$a; done; echo full; while :; do sleep 1; done"


def _service(resources: str) -> str:
    return f"""
  held:
    image: tools
    network_mode: none
    command: [sh, -c, '{HOLD}']
    stop_signal: SIGKILL
    resources: {{{resources}}}
"""


@pytest.fixture
def project(host: TestHost) -> Project:
    one = Project(host, _service("memory: 256M, cpus: 0.5, pids: 10"))
    one.up()
    eventually(lambda: one.lines("held") == ["full"])
    return one


def _limit(project: Project, controller: str, name: str) -> Path:
    return CGROUP_FS / controller / f"stackup/{project.host.root_id()}/c/{project.row('held')['id']}" / name


def _limits(project: Project) -> list[str]:
    names = [("memory", "memory.limit_in_bytes"), ("cpu", "cpu.cfs_quota_us"), ("pids", "pids.max")]
    return [_limit(project, *name).read_text().strip() for name in names]


def test_limits_are_raised_lowered_and_taken_away_under_the_same_process(project: Project) -> None:
    before = project.row("held")["pid"]
    assert _limits(project) == [str(256 << 20), "50000", "10"]
    project.write(_service("memory: 300M, cpus: 0.25, pids: 7"))
    assert "live service:held: resources.memory 256M -> 300M (stack.yaml:" in project.cli("plan")
    project.up()
    assert _limits(project) == [str(300 << 20), "25000", "7"]
    project.write(_service("memory: 300M"))
    project.up()
    assert _limits(project) == [str(300 << 20), "-1", "max"]
    assert project.row("held")["pid"] == before
    project.down()


def test_weights_reservations_and_swap_follow_the_file_under_the_same_process(project: Project) -> None:
    before = project.row("held")["pid"]
    files = [("cpu", "cpu.shares"), ("memory", "memory.soft_limit_in_bytes"), ("memory", "memory.limit_in_bytes")]
    if _limit(project, "memory", "memory.memsw.limit_in_bytes").exists():
        files.append(("memory", "memory.memsw.limit_in_bytes"))

    def seen() -> list[int]:
        return [int(_limit(project, *one).read_text()) for one in files]

    def wished(*mebibytes: int) -> list[int]:
        return [number << 20 for number in mebibytes][: len(files) - 1]

    assert seen()[0] == 1024 and seen()[1] > 1 << 60
    more = "    cpu_shares: 512\n    mem_reservation: 100M\n    memswap_limit: 400M\n"
    project.write(_service("memory: 256M") + more)
    said = project.cli("plan")
    assert "cpu_shares nothing -> 512" in said and "memswap_limit nothing -> 400M" in said and "live" in said
    project.up()
    assert seen() == [512, *wished(100, 256, 400)]
    project.write(
        _service("memory: 300M") + more.replace("100M", "200M").replace("400M", "300M").replace("512", "2048")
    )
    project.up()
    assert seen() == [2048, *wished(200, 300, 300)]
    project.write(_service("memory: 300M") + "    memswap_limit: -1\n")
    project.up()
    assert seen()[0] == 1024 and seen()[1] > 1 << 60 and (len(files) < 4 or seen()[3] > 1 << 60)
    assert project.row("held")["pid"] == before
    assert project.cli("plan").startswith("nothing to do")
    project.cli("restart")
    eventually(lambda: seen()[2] == 300 << 20 and (len(files) < 4 or seen()[3] > 1 << 60))
    project.down()


def test_a_limit_below_what_is_in_use_is_refused_and_changes_nothing(project: Project) -> None:
    before = project.row("held")["pid"]
    project.write(_service("memory: 16M, pids: 7"))
    done = project.host.cli("-C", str(project.folder), "up", status=1)
    assert "service:held/1: memory limit 16M is below the" in done.stderr
    assert "in use" in done.stderr and "stackup stop" in done.stderr
    assert _limits(project) == [str(256 << 20), "50000", "10"]
    assert "resources.memory 256M -> 16M" in project.cli("plan")
    project.write(_service("memory: 256M, cpus: 0.5, pids: 10"))
    assert project.cli("plan").startswith("nothing to do")
    assert project.row("held")["pid"] == before
    project.down()


@pytest.mark.parametrize("nobody", [False, True])
def test_a_limit_that_was_changed_by_hand_is_seen_and_mended(project: Project, nobody: bool) -> None:
    before = project.row("held")["pid"]
    _limit(project, "memory", "memory.limit_in_bytes").write_text(str(200 << 20))
    _limit(project, "pids", "pids.max").write_text("max")
    if nobody:
        project.host.sh(f"kill -9 {project.supervisor()}")
    said = project.cli("plan")
    assert "live service:held: resources.memory 200M -> 256M (stack.yaml:" in said
    assert "resources.pids nothing -> 10" in said
    project.up()
    assert _limits(project) == [str(256 << 20), "50000", "10"]
    assert project.cli("plan").startswith("nothing to do")
    assert project.row("held")["pid"] == before
    project.down()
