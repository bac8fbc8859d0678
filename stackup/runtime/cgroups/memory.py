"""The memory controller: resource numbers in, file contents out. Pure.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst ("Memory"); OCI runtime spec, config-linux.md.
"""

from __future__ import annotations

from stackup.classes import dataclass
from stackup.oci import Document

UNLIMITED = -1

TOO_LOW = "choose a higher limit; or stop it first (`stackup stop SERVICE`), then `stackup up` starts it with this one"

LIMIT, LIMIT_WITH_SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, -1: unlimited. `with_swap` is memory and swap together, as OCI's `memory.swap` and v1 count it."""

    limit: int
    with_swap: int
    reservation: int


def wanted(resources: Document) -> Memory:
    """Swap stays out unless the document asks for it: a limit that swap can stretch is none."""
    memory = resources.get("memory") or {}
    limit = _bytes(memory.get("limit"))
    return Memory(limit, _bytes(memory.get("swap", limit)), _bytes(memory.get("reservation")))


def _bytes(value: int | None) -> int:
    return UNLIMITED if value is None or value < 0 else value


def v1(want: Memory, swap_now: int | None, *, has_swap: bool, fresh: bool) -> list[tuple[str, str]]:
    """(file, content) in the order to write. `swap_now`: the present limit with swap, None: unlimited.

    The kernel keeps limit <= limit with swap at every moment, so the outer one goes first when it grows. A fresh group
    has no limits: what is unlimited needs no writing.
    """
    inner = (LIMIT, str(want.limit))
    outer = (LIMIT_WITH_SWAP, str(want.with_swap))
    files: list[tuple[str, str]] = []
    if not fresh or want.limit != UNLIMITED:
        files.append(inner)
    if has_swap and (not fresh or want.with_swap != UNLIMITED):
        grows = swap_now is not None and (want.with_swap == UNLIMITED or want.with_swap > swap_now)
        files.insert(0 if grows else len(files), outer)
    if not fresh or want.reservation != UNLIMITED:
        files.append(("memory.soft_limit_in_bytes", str(want.reservation)))
    return files


def v2(want: Memory, *, fresh: bool) -> list[tuple[str, str]]:
    """(file, content); v2 counts swap by itself."""
    files: list[tuple[str, str]] = []
    if not fresh or want.limit != UNLIMITED:
        files.append(("memory.max", _or_max(want.limit)))
    if not fresh or want.with_swap != UNLIMITED:
        swap = UNLIMITED if UNLIMITED in (want.with_swap, want.limit) else max(0, want.with_swap - want.limit)
        files.append(("memory.swap.max", _or_max(swap)))
    if not fresh or want.reservation != UNLIMITED:
        files.append(("memory.low", "0" if want.reservation == UNLIMITED else str(want.reservation)))
    return files


def _or_max(number: int) -> str:
    return "max" if number == UNLIMITED else str(number)


def in_use(usage: int, inactive_file: int) -> int:
    """What counts against a limit once the page cache that nobody uses is dropped."""
    return max(0, usage - inactive_file)


def kept(stat: dict[str, int]) -> int:
    """v2: bytes of memory.stat that reclaim without swap cannot take away."""
    return stat.get("anon", 0) + stat.get("shmem", 0) + stat.get("slab_unreclaimable", 0) + stat.get("kernel_stack", 0)


def roughly(count: int) -> str:
    """105648K -> 104M: what is in use, rounded up to whole megabytes where it has one."""
    return size(count if count < 1 << 20 else -(-count >> 20) << 20)


def size(number: int) -> str:
    """67108864 -> `64M`; for messages: the largest unit that leaves no fraction, else one digit of mebibytes."""
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if number >= factor and number % factor == 0:
            return f"{number // factor}{unit}"
    return f"{number / (1 << 20):.1f}M"
