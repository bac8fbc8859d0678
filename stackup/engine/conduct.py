"""How `up` goes about its work, apart from what the file wishes."""

from __future__ import annotations

from stackup.classes import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """`keep_orphans`: what is no longer in the file stays. `parallel`: how many operations (or builds) at a time, 0: as
    many as there are."""

    keep_orphans: bool = False
    parallel: int = 0


USUAL = Conduct()
