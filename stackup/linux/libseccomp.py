"""Names and numbers of system calls as libseccomp knows them (seccomp_syscall_resolve_name(3)).

Needed to *make* a profile for the package (tools/compile_seccomp.py) and to prove that the shipped one is current;
starting a container needs only its bytes.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from stackup.errors import Unsupported

# SCMP_ARCH_* of seccomp.h are the AUDIT_ARCH_* of linux/audit.h.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@functools.cache
def _library() -> Any:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise Unsupported("libseccomp.so.2 is not installed", hint="apt install libseccomp2") from error
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_syscall_resolve_name_arch.restype = ctypes.c_int
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p  # malloc'ed: ours to free
    return library


def number(name: str, machine: str) -> int | None:
    """The number of a system call on `x86_64` or `aarch64`; None where it does not exist there.

    Raises Unsupported without the library.
    """
    found = int(_library().seccomp_syscall_resolve_name_arch(ARCHITECTURES[machine], name.encode()))
    return found if found >= 0 else None  # negative: an error, or a pseudo number of another architecture


@functools.cache
def table(machine: str, most: int = 600) -> dict[str, int]:
    """All system calls of an architecture that this libseccomp knows: name -> number.

    Raises Unsupported without the library.
    """
    library = _library()
    libc = ctypes.CDLL(None)
    libc.free.argtypes = [ctypes.c_void_p]
    found: dict[str, int] = {}
    for candidate in range(most):
        pointer = library.seccomp_syscall_resolve_num_arch(ARCHITECTURES[machine], candidate)
        if pointer:
            value = ctypes.cast(pointer, ctypes.c_char_p).value
            libc.free(pointer)
            if value:
                found[value.decode()] = candidate
    return found
