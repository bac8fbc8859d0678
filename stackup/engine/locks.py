"""One changing request at a time for a stack; who waits is told for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from stackup.engine.server import Request
from stackup.errors import Interrupted
from stackup.events import Warned


@dataclass(slots=True)
class _Lock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holder: str = ""
    users: int = 0


class StackLocks:
    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    @asynccontextmanager
    async def hold(self, stack: str, purpose: str, request: Request | None = None) -> AsyncIterator[None]:
        """Hold the lock of a stack. `purpose`: the verb that others that wait are told of.

        Raises Interrupted where the CLI goes away while it waits.
        """
        one = self._locks.setdefault(stack, _Lock())
        one.users += 1
        try:
            if one.lock.locked() and request is not None:
                request.report(Warned(f"stack:{stack}", f"waiting for {one.holder} to end"))
            await _acquire(one.lock, request)
            try:
                one.holder = f"`stackup {purpose}`" + (f" (process {request.peer})" if request else "")
                yield
            finally:
                one.lock.release()
        finally:
            one.users -= 1
            if not one.users:
                self._locks.pop(stack, None)

    @property
    def busy(self) -> bool:
        return bool(self._locks)


async def _acquire(lock: asyncio.Lock, request: Request | None) -> None:
    if request is None or not lock.locked():
        await lock.acquire()
        return
    acquired = asyncio.ensure_future(lock.acquire())
    gone = asyncio.ensure_future(request.withdrawn.wait())
    await asyncio.wait((acquired, gone), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if acquired.done():
        return
    acquired.cancel()
    raise Interrupted("the command was interrupted while it waited for another one")
