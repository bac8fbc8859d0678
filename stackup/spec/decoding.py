"""The bytes of a file as text: stack files, env files. No YAML is needed for it."""

from __future__ import annotations

import codecs

from stackup.errors import BadInput, Place

MAX_BYTES = 4 << 20


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
