"""Which host ids a container gets. Pure, but for `read_subids`; the ledger of what is taken is the caller's.

A container owns `size` consecutive user ids and the same group ids. They lie where no account manager hands out ids by
itself: above what /etc/subuid commonly holds, 65,536 aligned, inside the span that systemd's table of ids
(https://systemd.io/UIDS-GIDS) gives to containers.
"""

from __future__ import annotations

from collections.abc import Iterable

from stackup.classes import dataclass
from stackup.errors import Conflict
from stackup.oci import Document

SIZE = 65536
FIRST = 0x10000000  # 268,435,456
LAST = 0x6FFF0000  # the base of the last range; 24,575 ranges in all


@dataclass(frozen=True, slots=True)
class IdMap:
    """Container ids 0..size-1 are host ids base..base+size-1, for users and groups alike."""

    base: int
    size: int = SIZE

    def oci(self) -> list[Document]:
        """`linux.uidMappings` and `linux.gidMappings` of the OCI runtime spec; also those of an id-mapped mount."""
        return [{"containerID": 0, "hostID": self.base, "size": self.size}]

    def to_host(self, identity: int) -> int:
        """The host's id of a container's id. ValueError where it is not mapped."""
        if not 0 <= identity < self.size:
            raise ValueError(f"id {identity} is outside of the container's {self.size} ids")
        return self.base + identity

    def overlaps(self, start: int, count: int) -> bool:
        return start < self.base + self.size and self.base < start + count


def start_of(root_id: str) -> int:
    """Where a root begins to look: two roots of one machine, whose ledgers do not know each other, meet rarely.

    `root_id`: the six hex digits of the root.
    """
    ranges = (LAST - FIRST) // SIZE + 1
    return FIRST + int(root_id, 16) * 251 % ranges * SIZE


def allocate(taken: Iterable[int], subid_ranges: Iterable[tuple[int, int]], *, start: int = FIRST) -> IdMap:
    """The first free range at or after `start`, going round once at the end. Same arguments, same answer.

    `taken`: bases of the ranges in use. `subid_ranges`: (first id, count) as `read_subids` gives them.
    Raises Conflict where no range is left.
    """
    used = set(taken)
    ranges = [r for r in subid_ranges if r[1] > 0]
    count = (LAST - FIRST) // SIZE + 1
    offset = max(0, start - FIRST) // SIZE
    for step in range(count):
        base = FIRST + (offset + step) % count * SIZE
        if base in used:
            continue
        candidate = IdMap(base)
        if not any(candidate.overlaps(first, many) for first, many in ranges):
            return candidate
    raise Conflict(
        f"all {count} ranges of user ids are taken",
        hint="remove containers, or ranges from /etc/subuid and /etc/subgid",
    )


def read_subids(path: str) -> tuple[tuple[int, int], ...]:
    """(first id, count) of each line of a subuid(5) or subgid(5) file; empty where there is none.

    A line that cannot be read grants nothing to anyone (newuidmap ignores it as well) and is passed over.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found = []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) == 3 and not line.lstrip().startswith("#") and fields[1].isdigit() and fields[2].isdigit():
            found.append((int(fields[1]), int(fields[2])))
    return tuple(found)
