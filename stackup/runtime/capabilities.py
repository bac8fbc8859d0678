"""Linux capabilities by name (capabilities(7)): the default set, what `cap_add` and `cap_drop` make of it, bit masks.

Pure and lean: the spawner imports this.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from stackup.errors import BadInput
from stackup.oci import Document

# In the order of include/uapi/linux/capability.h: the index is the number. Complete up to Linux 6.18.
NAMES: tuple[str, ...] = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS: dict[str, int] = {name: number for number, name in enumerate(NAMES)}

# Docker's (moby, oci/caps/defaults.go). All of them count only inside the container's own user namespace.
DEFAULT: tuple[str, ...] = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip

ALL = "ALL"


def normalize(name: str) -> str:
    """`net_admin`, `NET_ADMIN`, `CAP_NET_ADMIN` -> `CAP_NET_ADMIN`; `all` and `CAP_ALL` -> `ALL`.

    Raises BadInput for a name that no kernel known to us has.
    """
    upper = name.strip().upper()
    if upper in (ALL, "CAP_ALL"):
        return ALL
    full = upper if upper.startswith("CAP_") else "CAP_" + upper
    if full not in NUMBERS:
        raise BadInput(f"unknown capability: {name}", hint="names are those of capabilities(7), such as NET_ADMIN")
    return full


def compute(cap_add: Iterable[str] = (), cap_drop: Iterable[str] = ()) -> tuple[str, ...]:
    """The capabilities of a container, as `CAP_*` in numeric order; the rules are Docker's.

    `ALL` in `cap_add`: everything but what is dropped by name. Else `ALL` in `cap_drop`: only what is added.
    Else: the default set without the dropped ones, then the added ones (adding wins over dropping).
    Raises BadInput for an unknown name.
    """
    added = {normalize(name) for name in cap_add}
    dropped = {normalize(name) for name in cap_drop}
    if ALL in added:
        chosen = set(NAMES) - dropped
    elif ALL in dropped:
        chosen = added
    else:
        chosen = (set(DEFAULT) - dropped) | added
    return tuple(name for name in NAMES if name in chosen)


def mask(names: Iterable[str]) -> int:
    """The bit mask of capget(2) and of `CapBnd:` in /proc/PID/status. Raises BadInput for an unknown name."""
    return _mask(tuple(names))


@functools.lru_cache(maxsize=256)
def _mask(names: tuple[str, ...]) -> int:
    bits = 0
    for name in names:
        full = normalize(name)
        bits |= (1 << len(NAMES)) - 1 if full == ALL else 1 << NUMBERS[full]
    return bits


def oci(names: Iterable[str]) -> Document:
    """`process.capabilities` of the OCI runtime spec (config.md, "Linux Process").

    Nothing inheritable and nothing ambient: a process that is not root keeps no capability over execve(2), which is
    what Docker does since 20.10.14 (CVE-2022-24769).
    """
    listed = list(names)
    return {
        "bounding": listed, "effective": list(listed), "permitted": list(listed), "inheritable": [], "ambient": [],
    }  # fmt: skip
