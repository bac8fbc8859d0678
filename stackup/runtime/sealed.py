"""A sealed copy of the interpreter, which nothing can write to (memfd_create(2)), for the spawner to run from.

A program in a container can be a script for `/proc/self/exe`; executed by the spawner's child, that names the spawner's
own executable. In a container without a user namespace, whose root is the host's, it could then be overwritten
(CVE-2019-5736). So what /proc/self/exe names there is a copy in memory.
"""

from __future__ import annotations

import fcntl
import os

_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_EXEC = 1, 2, 0x10  # MFD_EXEC: Linux 6.3


def copy_interpreter() -> int:
    """A descriptor of a copy of the program that we run. OSError where memory files cannot be executed
    (vm.memfd_noexec=2)."""
    try:
        copy = os.memfd_create("stackup", _MFD_CLOEXEC | _MFD_ALLOW_SEALING | _MFD_EXEC)
    except OSError:
        copy = os.memfd_create("stackup", _MFD_CLOEXEC | _MFD_ALLOW_SEALING)
    source = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    size = os.fstat(source).st_size
    done = 0
    while done < size:
        done += os.sendfile(copy, source, done, size - done)
    os.close(source)
    os.fchmod(copy, 0o500)
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    )
    return copy


def is_sealed() -> bool:
    """Whether this process runs from such a copy."""
    return os.readlink("/proc/self/exe").startswith("/memfd:stackup")
