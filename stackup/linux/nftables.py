"""The door to nftables: rulesets go in as text, are read back as JSON.

libnftables.so.1 is used in process (libnftables(3)): 0.1 ms a change against 3 ms for the program `nft`, which is the
stand-in where the library cannot be loaded. A text is one transaction: all of it or nothing. Text and not JSON goes in
because nft 1.0.6 refuses the JSON it writes itself for maps with concatenated values.

A context belongs to the network namespace of the thread that made it, so each thread has its own and makes a new one
when it has changed its namespace. Calls are serialised: the library keeps a table of interfaces for the whole process.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import threading
from typing import Any, Literal

from stackup import programs
from stackup.errors import KernelError, ProgramFailed, Unsupported

_LIBRARY = "libnftables.so.1"
_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON of nftables/libnftables.h
_HINT = "install libnftables1 (or the program nft)"

_lock = threading.Lock()
_local = threading.local()
_library: ctypes.CDLL | None = None
_tried = False


def which() -> Literal["library", "program"] | None:
    """How rules are written on this machine; None: not at all. For `doctor`."""
    if _load() is not None:
        return "library"
    return "program" if programs.find("nft") else None


def run(text: str) -> None:
    """Carry out nft commands in the calling thread's network namespace, all of them or none.

    Raises KernelError with nft's own first complaint, Unsupported where there is neither library nor program.
    """
    if not text.strip():
        return
    if _load() is None:
        _program(["-f", "-"], text)
    else:
        _call(text, json_output=False)


def read(command: str) -> list[dict[str, Any]]:
    """The objects that a `list ...` command gives, as in libnftables-json(5): [{"table": {...}}, ...]."""
    text = _program(["-j", *command.split()]) if _load() is None else _call(command, json_output=True)
    if not text.strip():
        return []
    found: list[dict[str, Any]] = json.loads(text)["nftables"]
    return [one for one in found if "metainfo" not in one]


def tables(name: str) -> frozenset[str]:
    """The families in which a table of this name exists: {"ip", "bridge"}."""
    found = (one["table"] for one in read("list tables") if "table" in one)
    return frozenset(str(table["family"]) for table in found if table["name"] == name)


def _load() -> ctypes.CDLL | None:
    global _library, _tried
    with _lock:
        if not _tried:
            _tried = True
            try:
                _library = _declare(ctypes.CDLL(_LIBRARY))
            except (OSError, AttributeError):
                _library = None
        return _library


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    context = ctypes.c_void_p
    library.nft_ctx_new.restype = context
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_free.restype = None
    library.nft_ctx_free.argtypes = (context,)
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = (context,)
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
        getattr(library, name).argtypes = (context,)
    library.nft_ctx_output_set_flags.restype = None
    library.nft_ctx_output_set_flags.argtypes = (context, ctypes.c_uint)
    library.nft_run_cmd_from_buffer.argtypes = (context, ctypes.c_char_p)
    return library


class _Context:
    """A context and the namespace it belongs to; freed with its thread."""

    def __init__(self, library: ctypes.CDLL, namespace: tuple[int, int, int]) -> None:
        self.namespace = namespace
        self.library = library
        self.pointer = library.nft_ctx_new(0)
        if not self.pointer:
            raise KernelError("open nftables: the library gave no context")
        library.nft_ctx_buffer_output(self.pointer)
        library.nft_ctx_buffer_error(self.pointer)

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self.library.nft_ctx_free(self.pointer)


def _context(library: ctypes.CDLL) -> _Context:
    info = os.stat("/proc/thread-self/ns/net")
    namespace = (os.getpid(), info.st_dev, info.st_ino)  # a forked child must not share its parent's socket
    context: _Context | None = getattr(_local, "context", None)
    if context is None or context.namespace != namespace:
        context = _Context(library, namespace)
        _local.context = context
    return context


def _call(text: str, *, json_output: bool) -> str:
    library = _library
    assert library is not None
    if os.geteuid() != 0:  # the library would say so itself, on the standard error of whoever called us
        raise KernelError(f"change firewall rules: {os.strerror(errno.EPERM)}", errno.EPERM)
    with _lock:
        context = _context(library)
        library.nft_ctx_output_set_flags(context.pointer, _OUTPUT_JSON if json_output else 0)
        status = library.nft_run_cmd_from_buffer(context.pointer, text.encode())
        output = (library.nft_ctx_get_output_buffer(context.pointer) or b"").decode(errors="replace")
        complaint = (library.nft_ctx_get_error_buffer(context.pointer) or b"").decode(errors="replace")
    if status != 0:
        raise _refused(complaint)
    return output


def _program(arguments: list[str], text: str | None = None) -> str:
    try:
        return programs.run(["nft", *arguments], input=text.encode() if text else None).decode()
    except Unsupported as error:
        raise Unsupported("nftables cannot be reached", hint=_HINT) from error
    except ProgramFailed as error:
        raise _refused(error.message) from error


def _refused(complaint: str) -> KernelError:
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    first = next((line for line in lines if "Error:" in line), lines[0] if lines else "no reason given")
    hint = "has this kernel nf_tables, with nat and bridge?" if "supported" in first or "No such" in first else None
    return KernelError(f"change firewall rules: {first}", hint=hint)
