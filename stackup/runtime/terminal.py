"""A pty from the container's own devpts: the slave is the process's terminal, the master goes up to the creator."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from stackup.linux import syscalls
from stackup.runtime.mounts import attach_at

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441  # linux/tty ioctls; pty(7), ioctl_tty(2)


def open_pair() -> tuple[int, int]:
    """(master, slave). To be called inside the container's root; a hostile /dev/ptmx is not looked at."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, slave


def resize(master: int, rows: int, columns: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def make_controlling(slave: int) -> None:
    """Of a fresh session (setsid(2))."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def bind_console(root: int, slave: int) -> None:
    """/dev/console, which some programs open by name."""
    mounted = syscalls.open_tree(slave, "", syscalls.OPEN_TREE_CLONE)
    attach_at(root, mounted, "dev/console", folder=False, follow=False)
