"""Compiled files for the standard library of a host layer, made here and not copied.

Without them each start of a Python in a container compiles what it imports (about 0.15 s of CPU for a small web server,
as a user who cannot write there every time). This machine's own are no inputs: they carry times, and come and go as
programs run. Ours are hash-based and unchecked (PEP 552): the layer does not change under its source.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence

from stackup import programs
from stackup.builder.inputs import Entry, Inputs

FORMAT = 1  # part of the instruction, so of the cache key
_INTERPRETER = re.compile(r"python3\.\d+")
_TIMEOUT = 300.0

# Reads lines `PATH\0NAME`, writes the cache tag and a line end, then for each the length of its compiled form (8 bytes,
# little-endian; 0: it does not compile) and that form.
_SCRIPT = """
import importlib._bootstrap_external as bootstrap, importlib.util, os, struct, sys
out = sys.stdout.buffer
out.write(sys.implementation.cache_tag.encode() + b"\\n")
for line in sys.stdin.buffer.read().splitlines():
    path, name = os.fsdecode(line).split("\\0")
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=-1)
        data = bytes(bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(source), False))
    except (SyntaxError, ValueError):
        data = b""
    out.write(struct.pack("<Q", len(data)) + data)
"""


def compiled(found: Inputs) -> Iterator[tuple[str, bytes]]:
    """Names in the image and contents of the compiled forms of each interpreter's standard library."""
    for interpreter in found.entries:
        version = interpreter.name.rpartition("/")[2]
        if interpreter.kind == "file" and interpreter.executable and _INTERPRETER.fullmatch(version):
            modules = [e for e in found.entries if _is_module(e, version)]
            yield from _compile(interpreter.path, modules)


def _is_module(entry: Entry, version: str) -> bool:
    name = entry.name
    return entry.kind == "file" and name.endswith(".py") and f"lib/{version}/" in name and "\n" not in name


def _compile(interpreter: str, modules: Sequence[Entry]) -> Iterator[tuple[str, bytes]]:
    from concurrent.futures import ThreadPoolExecutor

    workers = min(4, os.cpu_count() or 1)
    parts = [modules[n::workers] for n in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        for part, answer in zip(parts, pool.map(lambda p: _ask(interpreter, p), parts), strict=True):
            tag, _, rest = answer.partition(b"\n")
            yield from _named(part, tag.decode(), rest)


def _ask(interpreter: str, modules: Sequence[Entry]) -> bytes:
    lines = b"".join(os.fsencode(f"{e.path}\0/{e.name}\n") for e in modules)
    return programs.run([interpreter, "-I", "-S", "-B", "-c", _SCRIPT], input=lines, timeout=_TIMEOUT)


def _named(modules: Sequence[Entry], tag: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    place = 0
    for entry in modules:
        (length,) = struct.unpack_from("<Q", data, place)
        place += 8
        folder, _, name = entry.name.rpartition("/")
        if length:
            yield f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc", data[place : place + length]
        place += length
