"""Who holds a port, for the message that says it is taken. Reads /proc only (proc_net(5), proc_pid_fd(5))."""

from __future__ import annotations

import os
import socket
from typing import Literal


def holder(host_ip: str, port: int, protocol: Literal["tcp", "udp"], proc: str = "/proc") -> str | None:
    """`nginx (pid 812)` for the process with a socket on this address or on all; None where it is out of sight, as one
    is that is bound and does not listen."""
    inodes = {i for suffix in ("", "6") for i in _inodes(f"{proc}/thread-self/net/{protocol}{suffix}", host_ip, port)}
    for pid in filter(str.isdigit, os.listdir(proc)) if inodes else ():
        if _has(f"{proc}/{pid}/fd", inodes):
            return f"{_name(f'{proc}/{pid}/comm')} (pid {pid})"
    return None


def _inodes(path: str, host_ip: str, port: int) -> list[str]:
    ours = socket.inet_aton(host_ip)[::-1].hex().upper()
    everywhere = "0" * 8
    found = []
    try:
        with open(path, encoding="ascii") as file:
            for fields in map(str.split, file.readlines()[1:]):
                address, _, number = fields[1].partition(":")
                same = ours == everywhere or address[-8:] in (ours, everywhere)  # v4 in v6 ends with the address
                if int(number, 16) == port and same:
                    found.append(f"socket:[{fields[9]}]")
    except OSError:
        pass
    return found


def _has(folder: str, sockets: set[str]) -> bool:
    try:
        return any(os.readlink(f"{folder}/{name}") in sockets for name in os.listdir(folder))
    except OSError:  # it ended, or is not ours to look into
        return False


def _name(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "a process"
