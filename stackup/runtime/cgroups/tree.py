"""Making and removing folders of a control group hierarchy: parents, the race for them, EBUSY for a moment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator

from stackup.errors import Conflict, KernelError

_BUSY_SECONDS = 2.0  # how long a dying process may keep its group
_KILL_SECONDS = 10.0  # a process in an uninterruptible sleep may take long


@contextlib.contextmanager
def locked(top: str) -> Iterator[None]:
    """Hold flock(2) on a hierarchy's top folder: making a group and removing empty parents exclude each other, over
    threads and processes. The kernel frees it when we die."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make(folder: str) -> None:
    """mkdir with its parents. Raises Conflict where it exists, KernelError."""
    try:
        try:
            os.mkdir(folder, 0o755)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(folder), 0o755, exist_ok=True)
            os.mkdir(folder, 0o755)
    except FileExistsError as error:
        raise Conflict(f"the control group {folder} exists already", hint="stackup down, or another root") from error
    except OSError as error:
        hint = (
            "control groups need root, or a delegated subtree" if error.errno in (errno.EACCES, errno.EROFS) else None
        )
        raise KernelError.of(f"make the control group {folder}", error, hint) from error


def remove(folder: str, *, seconds: float = _BUSY_SECONDS) -> None:
    """rmdir, with groups that were made inside; waits while the last process is on its way out. Gone is no error.

    Raises Conflict while processes are in it.
    """
    until = time.monotonic() + seconds
    pause = 0.0002
    while True:
        try:
            return os.rmdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise KernelError.of(f"remove the control group {folder}", error) from error
        for inner in children(folder):
            remove(f"{folder}/{inner}", seconds=seconds)
        if time.monotonic() > until:
            raise Conflict(f"the control group {folder} still has processes: {_some(processes(folder))}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def remove_empty(top: str, path: str) -> bool:
    """rmdir of `path` below `top`, then of its parents as long as they are empty. True where `path` itself went."""
    went = False
    while path:
        try:
            os.rmdir(f"{top}/{path}")
        except FileNotFoundError:
            pass
        except OSError:
            return went
        went = True
        path = os.path.dirname(path)
    return went


def children(folder: str) -> list[str]:
    """Names of the groups right below a group, sorted; empty where it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []


def processes(folder: str) -> tuple[int, ...]:
    """Pids in a group; empty where it is gone. A process of an outer pid namespace reads as 0 and is left out."""
    try:
        with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            return tuple(pid for pid in map(int, file.read().split()) if pid > 0)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ()
        raise KernelError.of(f"read the processes of the control group {folder}", error) from error


def end_processes(folder: str, *, signalled: bool = False) -> None:
    """SIGKILL to every process of a group until none is left. `signalled`: the kernel has done that (cgroup.kill).

    Raises KernelError where one survives ten seconds (an uninterruptible sleep).
    """
    until = time.monotonic() + _KILL_SECONDS
    pause = 0.0005
    while left := processes(folder):
        if time.monotonic() > until:
            raise KernelError(f"processes {_some(left)} of the control group {folder} do not die", errno.EBUSY)
        for pid in left if not signalled else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _some(pids: tuple[int, ...]) -> str:
    return ", ".join(map(str, pids[:5])) + (", ..." if len(pids) > 5 else "") or "none that we can see"
