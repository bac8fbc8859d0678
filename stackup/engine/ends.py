"""How a container ended, in words. Pure."""

from __future__ import annotations

import signal as signals
from typing import Protocol

UNSEEN = "ended, nobody knows how"


class Ended(Protocol):
    @property
    def code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...


def describe(end: Ended, oom: bool, memory: int | None) -> str:
    """`exited 1`, `SIGKILL`, `OOM-killed at 64M`, `ended, nobody knows how`.

    `oom`: a process of it was OOM-killed at some time. Where the first one ended in another way, both are said.
    """
    if not oom or end.code == 0:
        return _plainly(end)
    words = f"OOM-killed at {size(memory)}" if memory is not None else "OOM-killed, the machine had no memory left"
    if end.signal == signals.SIGKILL or end.code == 128 + signals.SIGKILL:  # the latter: a shell about its child
        return words
    return f"{_plainly(end)}, a process of it was {words}"


def _plainly(end: Ended) -> str:
    if end.signal is not None:
        try:
            return signals.Signals(end.signal).name
        except ValueError:
            return f"signal {end.signal}"
    if end.code is None:
        return UNSEEN
    return f"exited {end.code}"


def size(count: int) -> str:
    """67108864 -> 64M; what is no whole number of a unit stays in the next smaller one."""
    for factor, unit in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if count >= factor and count % factor == 0:
            return f"{count // factor}{unit}"
    return f"{count}B"
