"""Resource numbers in, file contents out."""

from __future__ import annotations

import pytest

from stackup.errors import Unsupported
from stackup.runtime.cgroups import cpu, devices, files, hybrid, memory, pids
from stackup.runtime.cgroups.v1 import require
from stackup.runtime.stats import Stats, cpu_percent

M = 1 << 20


def v1_memory(resources: dict[str, object], now: int | None = None, *, fresh: bool = False) -> list[tuple[str, str]]:
    return memory.v1(memory.wanted({"memory": resources}), now, has_swap=True, fresh=fresh)


def test_a_memory_limit_of_v1_shuts_swap_out_inner_limit_first_on_a_fresh_group() -> None:
    assert v1_memory({"limit": 64 * M}, fresh=True) == [
        ("memory.limit_in_bytes", str(64 * M)),
        ("memory.memsw.limit_in_bytes", str(64 * M)),
    ]


def test_raising_a_v1_memory_limit_moves_the_outer_limit_first_and_lowering_last() -> None:
    assert [n for n, _ in v1_memory({"limit": 128 * M}, 64 * M)][:2] == [
        "memory.memsw.limit_in_bytes", "memory.limit_in_bytes",
    ]  # fmt: skip
    assert [n for n, _ in v1_memory({"limit": 32 * M}, 64 * M)][:2] == [
        "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
    ]  # fmt: skip
    assert v1_memory({}, 64 * M)[:2] == [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")]


def test_without_swap_accounting_v1_writes_the_memory_limit_alone() -> None:
    want = memory.wanted({"memory": {"limit": M}})
    assert memory.v1(want, None, has_swap=False, fresh=True) == [("memory.limit_in_bytes", str(M))]


def test_v2_counts_swap_by_itself() -> None:
    assert memory.v2(memory.wanted({"memory": {"limit": 64 * M}}), fresh=True) == [
        ("memory.max", str(64 * M)), ("memory.swap.max", "0"),
    ]  # fmt: skip
    assert ("memory.swap.max", str(32 * M)) in memory.v2(
        memory.wanted({"memory": {"limit": 64 * M, "swap": 96 * M}}), fresh=True
    )
    assert memory.v2(memory.wanted({}), fresh=False) == [
        ("memory.max", "max"), ("memory.swap.max", "max"), ("memory.low", "0"),
    ]  # fmt: skip


def test_nothing_is_written_to_a_fresh_group_without_limits() -> None:
    nothing: dict[str, object] = {}
    assert memory.v1(memory.wanted(nothing), None, has_swap=True, fresh=True) == []
    assert memory.v2(memory.wanted(nothing), fresh=True) == []
    assert cpu.v1(cpu.wanted(nothing), fresh=True) == cpu.v2(cpu.wanted(nothing), fresh=True) == []
    assert pids.files(nothing, fresh=True) == []


def test_a_quarter_of_a_core() -> None:
    want = cpu.wanted({"cpu": {"quota": 25_000, "period": 100_000}})
    assert cpu.v1(want, fresh=True) == [("cpu.cfs_quota_us", "25000")]
    assert cpu.v2(want, fresh=True) == [("cpu.max", "25000 100000")]


def test_a_quota_below_what_the_kernel_takes_becomes_a_longer_period() -> None:
    want = cpu.wanted({"cpu": {"quota": 500, "period": 100_000}})
    assert (want.quota, want.period) == (1_000, 200_000)
    assert cpu.wanted({"cpu": {"quota": 1, "period": 100_000}}).period == 1_000_000


def test_taking_the_cpu_limit_away_writes_the_defaults() -> None:
    assert cpu.v1(cpu.wanted({}), fresh=False) == [
        ("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "-1"), ("cpu.shares", "1024"),
    ]  # fmt: skip
    assert cpu.v2(cpu.wanted({}), fresh=False) == [("cpu.max", "max 100000"), ("cpu.weight", "100")]


def test_shares_span_the_weights() -> None:
    assert (cpu.weight(2), cpu.weight(262_144), cpu.weight(1)) == (1, 10_000, 1)
    assert cpu.weight(1024) == 39


def test_pids_of_zero_or_none_are_unlimited() -> None:
    assert pids.files({"pids": {"limit": 32}}, fresh=True) == [("pids.max", "32")]
    assert pids.files({"pids": {"limit": 0}}, fresh=False) == [("pids.max", "max")]
    assert pids.files({"pids": {"limit": -1}}, fresh=True) == []


def test_devices_are_denied_but_for_the_minimal_dev() -> None:
    contents = devices.v1({})
    assert contents[0] == ("devices.deny", "a")
    assert ("devices.allow", "c 1:3 rw") in contents
    assert not any("m" in text.split()[-1] for _, text in contents[1:]), "no making of devices"


def test_a_device_of_the_document_is_allowed_after_the_default_ones() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "minor": -1, "access": "r"},
    ]
    assert devices.v1({"devices": rules})[-2:] == [("devices.allow", "c 10:229 rw"), ("devices.allow", "b 8:* r")]
    assert not devices.is_default({"devices": rules})
    assert devices.is_default({"devices": rules[:1]})
    assert devices.is_default({})
    assert devices.is_default({"devices": [{"allow": True, "type": "c", "major": 136, "access": "rwm"}]})


def test_limits_are_read_back_whatever_unlimited_is_called() -> None:
    assert files.limit("9223372036854771712\n") is None  # v1, pages of 4 KiB
    assert files.limit("9223372036854710272\n") is None  # v1, pages of 64 KiB
    assert files.limit("max\n") is files.limit("-1\n") is None
    assert files.limit("67108864\n") == 64 * M


def test_a_limit_without_its_controller_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="pids"):
        require(frozenset({"memory"}), {"pids": {"limit": 3}})
    require(frozenset({"memory"}), {"pids": {"limit": 0}, "memory": {"limit": M}})


MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0
cgroup /elsewhere/pids cgroup rw,pids 0 0
cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw 0 0
"""


def test_controllers_are_found_where_they_are_mounted_below_the_given_folder() -> None:
    v1, v2 = hybrid.hierarchies(MOUNTS, "/sys/fs/cgroup")
    assert v1 == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "memory": "/sys/fs/cgroup/memory",
    }  # fmt: skip
    assert v2 == "/sys/fs/cgroup/uni fied"


def test_cpu_percent_is_of_one_core_and_never_negative() -> None:
    assert cpu_percent(Stats(cpu_ns=0), Stats(cpu_ns=3_000_000_000), 2.0) == 150.0
    assert cpu_percent(Stats(cpu_ns=5), Stats(cpu_ns=1), 2.0) == 0.0


def test_sizes_read_as_they_are_written_in_the_stack_file() -> None:
    assert [memory.size(n) for n in (64 * M, 1 << 30, 4096, 3 * M + 1)] == ["64M", "1G", "4K", "3.0M"]
