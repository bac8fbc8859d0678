"""The bytes of a file as text: stack files, env files. No YAML is needed for it."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from typing import TYPE_CHECKING

from stackup.errors import BadInput, Place

if TYPE_CHECKING:
    from io import FileIO

MAX_BYTES = 4 << 20


def regular(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a regular file. OSError for a pipe, a socket or a device, which is not even opened: what
    a project names must not make us wait, and opening some devices does something."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if _is_regular(os.stat(path)):
        with open(os.open(path, flags), "rb", buffering=0) as file:
            if _is_regular(os.fstat(file.fileno())):  # still
                return _read(file, limit)
    raise OSError(errno.EINVAL, "not a regular file")


def _is_regular(found: os.stat_result) -> bool:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return stat.S_ISREG(found.st_mode)


def _read(file: FileIO, limit: int) -> bytes:
    read = bytearray()
    while len(read) < limit:
        piece = file.read(limit - len(read))
        if piece is None:  # some files below /proc would make us wait
            raise BlockingIOError(errno.EAGAIN, "it has nothing to read yet")
        if not piece:
            break
        read += piece
    return bytes(read)


def decode(data: bytes, file: str) -> str:
    """The text of a file. BadInput for what is not UTF-8 (a BOM is fine), or larger than MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{file} has more than {MAX_BYTES >> 20} MiB", hint="is this the right file?")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput(f"{file}: the file is UTF-16", hint="save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)  # the codec that does so is a module of its own
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")) + 1
        message = f"{Place(file, line, column)}: byte 0x{data[error.start]:02x} is not UTF-8"
        raise BadInput(message, hint="save the file as UTF-8", place=Place(file, line, column)) from None
