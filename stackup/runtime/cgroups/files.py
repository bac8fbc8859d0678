"""Reading and writing the small files of a control group. A value passed in, so that a plain directory can stand in."""

from __future__ import annotations

import os

from stackup.errors import KernelError, NotFound


class Files:
    """The kernel's: every file is there already. Errors name the path and what was to be written."""

    def read(self, path: str) -> str:
        """The whole text. NotFound where it is missing, KernelError."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return self._all(descriptor)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{path} is not there") from error
        except OSError as error:
            # A group that is deleted while its file is open answers ENODEV.
            raise KernelError.of(f"read {path}", error) from error

    def _all(self, descriptor: int) -> str:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts).decode()

    def write(self, path: str, text: str) -> None:
        """One write(2): the kernel takes a value whole. NotFound where the file is missing, KernelError."""
        try:
            descriptor = os.open(path, self.flags())
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{path} is not there") from error
        except OSError as error:
            raise KernelError.of(f"write {text!r} to {path}", error) from error

    def flags(self) -> int:
        return os.O_WRONLY | os.O_CLOEXEC


KERNEL = Files()


def table(text: str) -> dict[str, int]:
    """`name number` lines (memory.stat, cpu.stat, memory.events) -> name: number."""
    found = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.strip().isdigit():
            found[name] = int(number)
    return found


def limit(text: str) -> int | None:
    """A limit file's text: None for `max`, -1 and v1's largest page counter (2^63 less a page)."""
    word = text.strip()
    if word == "max" or not word.isdigit():
        return None
    number = int(word)
    return None if number >= (1 << 63) - (1 << 16) else number
