"""`userns_mode: host`: container root is the host's, so the other locks are all there is. Asked for by name only."""

from __future__ import annotations

import os

from .sandbox import Box, attack
from .testhost import TestHost

REAL = Box(ids=None)


def test_real_root_makes_and_opens_no_device(host: TestHost) -> None:
    script = """
answer["uid"] = text("/proc/self/uid_map").split()
nodes = {"disk": (stat.S_IFBLK, 254, 0), "mem": (stat.S_IFCHR, 1, 1), "kmsg": (stat.S_IFCHR, 1, 11)}
for name, (kind, *numbers) in nodes.items():
    made = attempt(os.mknod, "/tmp/" + name, 0o600 | kind, os.makedev(*numbers))
    answer[name] = made if made != "worked" else attempt(os.open, "/tmp/" + name, os.O_RDONLY)
"""
    got = attack(host, script, REAL).value
    assert got.pop("uid") == ["0", "0", "4294967295"]
    assert set(got.values()) == {"EPERM"}


def test_real_root_cannot_mount_or_reach_files_by_handle(host: TestHost) -> None:
    """The second is how the "shocker" program read any file of the host."""
    script = """
answer["mount"] = sys_call(N["mount"], b"none", b"/tmp", b"tmpfs", 0, None)
answer["handle"] = sys_call(N["open_by_handle_at"], os.open("/usr", os.O_RDONLY), struct.pack("=IiQ", 8, 1, 2), 0)
answer["unshare"] = sys_call(N["unshare"], 0x20000)
answer["setns"] = sys_call(N["setns"], os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
answer["module"] = sys_call(N["finit_module"], 0, b"", 0)
"""
    assert set(attack(host, script, REAL).value.values()) == {"EPERM"}


def test_real_root_cannot_change_the_kernels_settings(host: TestHost) -> None:
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        before = file.read()
    script = """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
             "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/power/state"):
    answer[path] = attempt(os.open, path, os.O_WRONLY)
answer["kcore"] = len(open("/proc/kcore", "rb").read(10)) if os.path.exists("/proc/kcore") else 0
"""
    got = attack(host, script, REAL).value
    assert got.pop("kcore") == 0
    assert set(got.values()) <= {"EROFS", "EACCES", "ENOENT"}, got
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
        assert file.read() == before


def test_real_root_reaches_no_process_of_the_host(host: TestHost) -> None:
    script = f'answer["kill"] = attempt(os.kill, {os.getpid()}, 0); answer["caps"] = status("CapEff")'
    got = attack(host, script, REAL).value
    assert got == {"kill": "ESRCH", "caps": "00000000a80425fb"}


def test_real_roots_interpreter_is_not_writable_through_proc(host: TestHost) -> None:
    """CVE-2019-5736 without the user namespace's help."""
    script = 'answer["exe"] = attempt(os.open, "/proc/1/exe", os.O_WRONLY)'
    from .sandbox import PRELUDE

    argv = ("/proc/self/exe", "-I", "-S", "-c", f"{PRELUDE}\n{script}\nprint(json.dumps(answer))")
    got = attack(host, "", Box(ids=None, argv=argv))
    assert got.value is None or got.value["exe"] != "worked"
