"""System calls that a container must not make, each class tried from inside as container root."""

from __future__ import annotations

import pytest

from .sandbox import Box, attack
from .testhost import TestHost

EPERM = {
    "mount": 'sys_call(N["mount"], b"none", b"/tmp", b"tmpfs", 0, None)',
    "umount": 'sys_call(N["umount2"], b"/proc", 2)',
    "pivot_root": 'sys_call(N["pivot_root"], b".", b".")',
    "open_tree": 'sys_call(N["open_tree"], -100, b"/", 1)',
    "move_mount": 'sys_call(N["move_mount"], -100, b"/dev", -100, b"/tmp", 0)',
    "fsopen": 'sys_call(N["fsopen"], b"tmpfs", 0)',
    "mount_setattr": 'sys_call(N["mount_setattr"], -100, b"/proc/sys", 0, bytes(32), 32)',
    "unshare a user namespace": 'sys_call(N["unshare"], 0x10000000)',
    "unshare a mount namespace": 'sys_call(N["unshare"], 0x20000)',
    "clone a user namespace": 'sys_call(N["clone"], 0x10000000 | 17, 0, 0, 0, 0)',
    "setns": 'sys_call(N["setns"], os.open("/proc/self/ns/net", os.O_RDONLY), 0)',
    "keyctl": 'sys_call(N["keyctl"], 0, -3, 0)',
    "add_key": 'sys_call(N["add_key"], b"user", b"x", b"y", 1, -3)',
    "request_key": 'sys_call(N["request_key"], b"user", b"x", None, 0)',
    "bpf": 'sys_call(N["bpf"], 0, bytes(64), 64)',
    "kexec_load": 'sys_call(N["kexec_load"], 0, 0, None, 0)',
    "kexec_file_load": 'sys_call(N["kexec_file_load"], -1, -1, 0, None, 0)',
    "io_uring": 'sys_call(N["io_uring_setup"], 4, bytes(120))',
    "init_module": 'sys_call(N["init_module"], None, 0, b"")',
    "finit_module": 'sys_call(N["finit_module"], 0, b"", 0)',
    "delete_module": 'sys_call(N["delete_module"], b"veth", 0)',
    "reboot": 'sys_call(N["reboot"], 0xfee1dead, 672274793, 0, None)',
    "swapon": 'sys_call(N["swapon"], b"/tmp", 0)',
    "perf_event_open": 'sys_call(N["perf_event_open"], bytes(128), 0, -1, -1, 0)',
    "userfaultfd": 'sys_call(N["userfaultfd"], 1)',
    "open_by_handle_at": 'sys_call(N["open_by_handle_at"], -100, bytes(32), 0)',
    "settimeofday": 'sys_call(N["settimeofday"], bytes(16), None)',
    "sethostname": 'sys_call(N["sethostname"], b"x", 1)',
    "syslog": 'sys_call(N["syslog"], 3, None, 0)',
    "a socket to the hypervisor": "attempt(socket.socket, 40, socket.SOCK_STREAM)",
    "a socket to the kernel's crypto": "attempt(socket.socket, 38, 5)",
    "a memory layout that is not random": 'sys_call(N["personality"], 0x40000)',
    "typing into the terminal": 'sys_call(N["ioctl"], 0, 0x5412, b"x")',
    "a device node": 'attempt(os.mknod, "/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))',
}
ENOSYS = {
    "clone3": 'sys_call(N["clone3"], bytes(88), 88)',
    "a call of the future": "sys_call(900)",
    "a call of the x32 ABI": "sys_call(0x40000000 | 39)"
    if __import__("platform").machine() == "x86_64"
    else '"ENOSYS"',
}


def test_each_class_is_refused_as_the_profile_says(host: TestHost) -> None:
    script = "\n".join(f"answer[{name!r}] = {code}" for name, code in {**EPERM, **ENOSYS}.items())
    got = attack(host, script)
    assert got.value == {**dict.fromkeys(EPERM, "EPERM"), **dict.fromkeys(ENOSYS, "ENOSYS")}, got.output


def test_a_32_bit_call_ends_the_process(host: TestHost) -> None:
    """int 0x80 reaches the table of i386, in which the numbers mean other calls."""
    if __import__("platform").machine() != "x86_64":
        pytest.skip("x86-64 only")
    script = """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of i386); int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
child = os.fork()
if child == 0:
    call()
    os._exit(0)
answer["end"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    assert attack(host, script).value == {"end": -31}  # SIGSYS


def test_threads_processes_and_ordinary_calls_work(host: TestHost) -> None:
    script = """
import threading, subprocess, tempfile
thread = threading.Thread(target=lambda: answer.update(thread=True)); thread.start(); thread.join()
answer["shell"] = subprocess.run(["/bin/sh", "-c", "echo $((6*7))"], capture_output=True, text=True).stdout
answer["chown"] = attempt(os.chown, tempfile.mkstemp()[1], 1000, 1000)
server = socket.create_server(("127.0.0.1", 80))
client = socket.create_connection(("127.0.0.1", 80)); client.send(b"x")
answer["port 80"] = server.accept()[0].recv(1).decode()
"""
    assert attack(host, script).value == {"thread": True, "shell": "42\n", "chown": "worked", "port 80": "x"}


def test_a_capability_that_is_asked_for_brings_its_calls_and_not_the_others(host: TestHost) -> None:
    script = """
answer["mount"] = sys_call(N["mount"], b"none", b"/tmp", b"tmpfs", 0, None)
answer["unmask"] = sys_call(N["umount2"], b"/proc/keys", 2)
answer["writable"] = sys_call(N["mount"], None, b"/proc/sys", None, 0x1000 | 32, None)
answer["kexec"] = sys_call(N["kexec_load"], 0, 0, None, 0)
answer["keyctl"] = sys_call(N["keyctl"], 0, -3, 0)
answer["disk"] = attempt(os.mknod, "/tmp/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
"""
    got = attack(host, script, Box(service={"cap_add": ("SYS_ADMIN",)})).value
    assert (got["mount"], got["kexec"], got["keyctl"], got["disk"]) == ("worked", "EPERM", "EPERM", "EPERM")
