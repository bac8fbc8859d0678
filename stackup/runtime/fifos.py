"""Output pipes with names: held open for reading and writing by the container, so that no death of ours is a SIGPIPE
for it, and read-only by who reads, so that the end of the container is an end of file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping

from stackup.errors import KernelError
from stackup.runtime.channel import Message, close_all
from stackup.runtime.process import Stdio

SIZE = 65536


class Pipes:
    """Stdio for a container, and the read ends that belong to it."""

    def __init__(self, stdio: Stdio, readers: dict[str, int]) -> None:
        self.stdio = stdio
        self._readers = readers

    def take_readers(self) -> dict[str, int]:
        """`stdout`, `stderr`: the taker closes them."""
        taken, self._readers = self._readers, {}
        return taken

    def close(self) -> None:
        close_all(self._readers)


@contextlib.contextmanager
def opened(message: Message, fds: Mapping[str, int]) -> Iterator[Pipes]:
    """Descriptors that came with the message come first, then the paths in it. All but taken readers are closed."""
    writers: dict[str, int] = {}
    pipes = Pipes(Stdio(), {})
    readers: dict[str, int] = {}
    try:
        for name in ("stdout", "stderr"):
            path = message.get(name)
            if path and name not in fds:
                readers[name], writers[name] = open_fifo(path)
        stdin, out, err = (fds.get(n, writers.get(n)) for n in ("stdin", "stdout", "stderr"))
        pipes = Pipes(Stdio(stdin, out, err), readers)
        readers = {}
        yield pipes
    finally:
        pipes.close()
        close_all(readers)
        close_all(writers)


def open_fifo(path: str) -> tuple[int, int]:
    """(read end, not blocking; end for reading and writing) of a named pipe, made where missing.

    Mode 0666 (its folder is closed to others): the container's user opens /dev/stdout anew, and could not otherwise.
    """
    reading = -1
    try:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
            os.chmod(path, 0o666)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        both = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if reading >= 0:
            os.close(reading)
        raise KernelError.of(f"open the output pipe {path}", error) from error
    with contextlib.suppress(OSError):  # refused where the user has too much in pipes: then it holds less
        fcntl.fcntl(both, fcntl.F_SETPIPE_SZ, SIZE)
    return reading, both
