"""What a container sees and holds: capabilities, descriptors, files of the kernel, devices, processes, host."""

from __future__ import annotations

import os

import pytest

from stackup.runtime import capabilities

from .sandbox import CONTAINER, IDS, Box, attack
from .testhost import TestHost


def test_capabilities_are_no_wider_than_dockers_default_and_cannot_grow(host: TestHost) -> None:
    script = """
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
    answer[name] = status(name)
"""
    default = f"{capabilities.mask(capabilities.DEFAULT):016x}"
    none = "0" * 16
    assert attack(host, script).value == {
        "CapInh": none, "CapPrm": default, "CapEff": default, "CapBnd": default, "CapAmb": none,
        "NoNewPrivs": "1", "Seccomp": "2",
    }  # fmt: skip


def test_a_plain_user_has_no_capability_and_gets_none_through_a_setuid_program(host: TestHost) -> None:
    script = """
import shutil, subprocess
answer["ids"] = [os.getuid(), os.getgid(), os.getgroups()]
answer["eff"] = status("CapEff"), status("CapPrm")
probe = subprocess.run(["/sh", "-p", "-c", "id -u"], capture_output=True, text=True)
answer["setuid"] = probe.stdout.strip()
"""
    with open("/bin/sh", "rb") as file:
        shell = file.read()
    got = attack(host, script, Box(service={"user": "plain"}, files={"sh": shell})).value
    assert got == {"ids": [1000, 1000, []], "eff": ["0" * 16] * 2, "setuid": "1000"}


@pytest.mark.parametrize("user", ["0", "1000"])
def test_the_filter_stays_where_new_privileges_are_allowed(host: TestHost, user: str) -> None:
    """seccomp(2) then needs CAP_SYS_ADMIN, so it has to come before the capabilities go."""
    script = 'answer["nnp"], answer["filter"] = status("NoNewPrivs"), status("Seccomp")'
    got = attack(host, script, Box(service={"security_opt": ("no-new-privileges:false",), "user": user}))
    assert got.value == {"nnp": "0", "filter": "2"}, got.output


def test_overlays_own_marks_cannot_be_forged(host: TestHost) -> None:
    """A `user.overlay.redirect` that came through to the layer on disk would make any folder of the host appear."""
    script = """
open("/tmp/x", "w").close()
for name in ("redirect", "metacopy", "opaque", "origin", "upper"):
    attempt(os.setxattr, "/tmp/x", "user.overlay." + name, b"/etc")
"""
    attack(host, script)
    marks = os.listxattr(host.root / "trees-of-test/upper/tmp/x")
    assert [m for m in marks if m.startswith("user.overlay.") and not m.startswith("user.overlay.overlay.")] == []


def test_no_descriptor_of_the_host_is_inherited(host: TestHost) -> None:
    script = """
answer["open"] = [n for n in range(256) if attempt(os.fstat, n) == "worked"]
answer["targets"] = [os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in (0, 1, 2)]
"""
    got = attack(host, script).value
    assert got == {"open": [0, 1, 2], "targets": ["/dev/null", "pipe", "pipe"]}


def test_the_environment_is_the_services_own(host: TestHost) -> None:
    got = attack(host, "answer = dict(os.environ)").value
    assert set(got) <= {"PATH", "HOSTNAME", "HOME", "LC_CTYPE"}


def test_masked_paths_are_empty_and_kernel_settings_read_only(host: TestHost) -> None:
    script = """
def size(path):
    try:
        if os.path.isdir(path):
            return len(os.listdir(path))
        with open(path, "rb") as file:
            return len(file.read(10))
    except FileNotFoundError:
        return 0
for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi", "/proc/scsi",
             "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/sched_debug", "/proc/latency_stats"):
    answer[path] = size(path)
"""
    assert set(attack(host, script).value.values()) == {0}


def test_kernel_files_cannot_be_written(host: TestHost) -> None:
    script = """
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward",
             "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/sys/kernel/mm/transparent_hugepage/enabled",
             "/sys/class/net/lo/mtu", "/sys/kernel/uevent_helper", "/sys/power/state"):
    answer[path] = attempt(os.open, path, os.O_WRONLY)
"""
    got = attack(host, script).value
    assert set(got.values()) <= {"EROFS", "EACCES", "ENOENT"}, got


def test_sys_and_the_kernel_settings_are_mounted_read_only(host: TestHost) -> None:
    script = """
for path in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"):
    answer[path] = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
answer["its own setting"] = attempt(os.open, "/proc/sys/net/ipv4/ip_forward", os.O_WRONLY)
"""
    got = attack(host, script, Box(service={"cap_add": ("NET_ADMIN",)})).value
    assert got.pop("its own setting") == "EROFS"
    assert set(got.values()) == {True}


def test_dev_is_minimal_and_its_nodes_work(host: TestHost) -> None:
    script = """
answer["names"] = sorted(os.listdir("/dev"))
answer["nodes"] = sorted(n for n in os.listdir("/dev") if stat.S_ISCHR(os.lstat("/dev/" + n).st_mode)
                         or stat.S_ISBLK(os.lstat("/dev/" + n).st_mode))
answer["null"] = os.write(os.open("/dev/null", os.O_WRONLY), b"x")
answer["random"] = len(os.read(os.open("/dev/urandom", os.O_RDONLY), 8))
answer["chmod"] = attempt(os.chmod, "/dev/null", 0o600)
answer["pts"] = os.openpty() is not None
"""
    got = attack(host, script).value
    assert got["nodes"] == ["full", "null", "random", "tty", "urandom", "zero"]
    assert set(got["names"]) - set(got["nodes"]) == {
        "fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm", "mqueue",
    }  # fmt: skip
    assert (got["null"], got["random"], got["chmod"], got["pts"]) == (1, 8, "EPERM", True)


def test_host_processes_are_neither_seen_nor_reached(host: TestHost) -> None:
    script = f"""
answer["pids"] = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())
answer["kill"] = attempt(os.kill, {os.getpid()}, 0)
answer["ptrace"] = sys_call(N["ptrace"], 16, {os.getpid()}, None, None)  # PTRACE_ATTACH
answer["pidfd"] = attempt(os.pidfd_open, {os.getpid()})
answer["all"] = attempt(os.kill, -1, 0)
answer["parent"] = os.getppid()
"""
    got = attack(host, script).value
    assert got == {
        "pids": [1], "kill": "ESRCH", "ptrace": "ESRCH", "pidfd": "ESRCH", "all": "ESRCH", "parent": 0,
    }  # fmt: skip


def test_namespaces_are_all_its_own(host: TestHost) -> None:
    kinds = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    got = attack(host, f'answer = {{kind: os.readlink("/proc/self/ns/" + kind) for kind in {kinds!r}}}').value
    assert {k for k in kinds if got[k] == os.readlink(f"/proc/self/ns/{k}")} == set()


def test_container_ids_are_none_of_the_hosts(host: TestHost) -> None:
    script = """
answer["map"] = text("/proc/self/uid_map").split(), text("/proc/self/gid_map").split()
answer["become"] = attempt(os.setuid, 70000)
answer["cgroup"] = text("/proc/self/cgroup")
"""
    got = attack(host, script).value
    assert got["map"] == [["0", str(IDS.base), "65536"]] * 2
    assert got["become"] == "EINVAL"
    assert CONTAINER not in got["cgroup"], "the control group namespace hides where it lies"


def test_the_file_system_of_the_host_is_gone(host: TestHost) -> None:
    script = """
answer["up"] = os.path.samefile("/..", "/") and os.path.samefile("/../../..", "/")
answer["root"] = sorted(os.listdir("/"))
answer["mounts"] = [line.split()[4] for line in text("/proc/self/mountinfo").splitlines()]
answer["owner"] = os.stat("/").st_uid
"""
    got = attack(host, script).value
    assert got["up"] and got["owner"] == 0
    assert str(host.root) not in str(got["mounts"])
    assert [m for m in got["mounts"] if not m.startswith(("/proc", "/dev", "/sys"))] == ["/usr", "/"]


def test_classic_chroot_breakout_goes_nowhere(host: TestHost) -> None:
    """CAP_SYS_CHROOT is Docker's default; after pivot_root there is nothing above the root to climb to."""
    script = """
os.mkdir("/tmp/jail")
root = os.open("/", os.O_RDONLY)
os.chroot("/tmp/jail")
os.fchdir(root)
for _ in range(64):
    os.chdir("..")
os.chroot(".")
answer["root"] = sorted(os.listdir("/"))
"""
    got = attack(host, script).value
    assert "trees-of-test" not in got["root"]
    assert "usr" in got["root"] and "work" not in got["root"]


def test_the_network_starts_with_loopback_only(host: TestHost) -> None:
    got = attack(host, 'answer["links"] = [n for _, n in socket.if_nameindex()]').value
    assert got == {"links": ["lo"]}


def test_a_read_only_root_takes_no_write(host: TestHost) -> None:
    script = """
answer["root"] = attempt(open, "/x", "w")
answer["tmp"] = attempt(open, "/tmp/x", "w")
answer["shm"] = attempt(open, "/dev/shm/x", "w")
"""
    got = attack(host, script, Box(service={"read_only": True})).value
    assert got == {"root": "EROFS", "tmp": "EROFS", "shm": "worked"}
