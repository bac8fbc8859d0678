"""A process that joins a container is bound like the container's own, and brings nothing in."""

from __future__ import annotations

import pytest

from stackup.runtime import capabilities

from .sandbox import IDS, Box, attack
from .testhost import TestHost

JOINS = Box(joins=True)


def test_a_joining_process_has_the_same_bounds(host: TestHost) -> None:
    script = """
for name in ("CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
    answer[name] = status(name)
answer["open"] = [n for n in range(256) if attempt(os.fstat, n) == "worked"]
answer["map"] = text("/proc/self/uid_map").split()
answer["mount"] = sys_call(N["mount"], b"none", b"/tmp", b"tmpfs", 0, None)
answer["pids"] = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())
answer["same"] = [os.readlink(f"/proc/self/ns/{n}") == os.readlink(f"/proc/1/ns/{n}")
                  for n in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")]
answer["parent"] = os.getppid()
"""
    default = f"{capabilities.mask(capabilities.DEFAULT):016x}"
    got = attack(host, script, JOINS)
    assert got.value == {
        "CapEff": default, "CapBnd": default, "CapAmb": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2", "open": [0, 1, 2],
        "map": ["0", str(IDS.base), "65536"], "mount": "EPERM", "pids": [1, 2], "same": [True] * 7, "parent": 0,
    }, got.output  # fmt: skip


@pytest.mark.parametrize("number", range(3, 10))
def test_its_working_directory_cannot_be_a_descriptor_of_ours(host: TestHost, number: int) -> None:
    script = 'answer["up"] = sorted(os.listdir("../../..")); answer["here"] = sorted(os.listdir("."))'
    got = attack(host, script, Box(joins=True, process={"cwd": f"/proc/self/fd/{number}"}))
    assert got.value is None or ("usr" in got.value["up"] and "upper" not in got.value["up"] + got.value["here"])


def test_it_counts_against_the_containers_limits(host: TestHost) -> None:
    script = """
children = 0
try:
    while children < 50:
        if os.fork() == 0:
            import time; time.sleep(30); os._exit(0)
        children += 1
except BlockingIOError:
    pass
answer["children"] = children
"""
    got = attack(host, script, Box(joins=True, resources={"pids": {"limit": 8}}))
    assert got.value == {"children": 6}  # with the container's own and the one that joined: 8
