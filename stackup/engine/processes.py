"""Is a recorded process still that very process? Boot id, pid and start time name it beyond reuse of the pid."""

from __future__ import annotations

import os
from typing import Literal

from stackup.engine.records import ContainerRecord
from stackup.paths import Host


def start_time(host: Host, pid: int) -> int | None:
    """Clock ticks after boot at which the process began (proc_pid_stat(5), field 22); None for none or a zombie."""
    try:
        with open(os.path.join(host.proc, str(pid), "stat"), "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def alive(host: Host, boot: str, record: ContainerRecord) -> bool:
    """Does the recorded process live?"""
    if record.pid is None or record.boot_id != boot:
        return False
    return start_time(host, record.pid) == record.start_time


_SIGTIMEDWAIT = {"x86_64": b"128", "aarch64": b"137"}  # rt_sigtimedwait(2)


Hearing = Literal["caught", "blocked", "working", "deaf"]


def hearing(host: Host, pid: int, signal: int) -> Hearing:
    """Would process 1 of a container notice a signal: does any of its threads catch or wait for it?

    The kernel drops a signal that the first process of a pid namespace neither catches nor blocks (pid_namespaces(7)),
    so there is nothing to wait for where it is `deaf`. `blocked`: kept for it; it reads its signals itself, or is just
    making a child (fork in glibc blocks all for that moment). `working`: deaf now, but perhaps still starting.
    """
    bit = 1 << (signal - 1)
    working = blocked = False
    try:
        for thread in os.listdir(os.path.join(host.proc, str(pid), "task")):
            folder = os.path.join(host.proc, str(pid), "task", thread)
            with open(os.path.join(folder, "status"), "rb") as file:
                for line in file:
                    if line.startswith(b"SigCgt:") and int(line.split()[1], 16) & bit:
                        return "caught"
                    blocked |= line.startswith(b"SigBlk:") and bool(int(line.split()[1], 16) & bit)
            call = _system_call(folder)
            if call == _SIGTIMEDWAIT.get(os.uname().machine):
                return "caught"
            working |= call in (None, b"running")
    except (FileNotFoundError, ProcessLookupError):
        pass
    return "blocked" if blocked else "working" if working else "deaf"


def _system_call(folder: str) -> bytes | None:
    """The number of the call that a thread is in, `running` for none; None where it may not be read.

    While it waits in sigtimedwait(2), as small inits do, the kernel shows the signals waited for as not blocked.
    """
    try:
        with open(os.path.join(folder, "syscall"), "rb") as file:
            return file.read().split()[0]
    except PermissionError:
        return None


_STATES = {"D": "it waits in the kernel (uninterruptible sleep)", "T": "it is stopped", "t": "it is being traced"}


def told_state(host: Host, pid: int) -> str:
    """What a process is doing, in words, with the function of the kernel it waits in where that is told."""
    folder = os.path.join(host.proc, str(pid))
    try:
        with open(os.path.join(folder, "stat"), "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0].decode()
        with open(os.path.join(folder, "wchan"), encoding="ascii") as file:
            place = file.read().strip("0\0\n")
    except OSError:
        return "its state cannot be read"
    told = _STATES.get(state, f"it is in state {state}")
    return f"{told} in {place}" if place else told
