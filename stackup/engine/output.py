"""The log pumps of the containers that run, one each."""

from __future__ import annotations

import asyncio
import sys

from stackup.engine.log_pump import Pump, make_pipes
from stackup.errors import KernelError
from stackup.paths import Host


class Output:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._pumps: dict[str, Pump] = {}

    def prepare(self, container_id: str) -> None:
        """Make the pipes, before the process that writes into them."""
        make_pipes(self._host.container(container_id))

    def open(self, container_id: str, terminal: int | None = None) -> None:
        """Pump what the container writes, from now on; its process has the pipes open. `terminal`: its pty's master."""
        self.finish(container_id)
        pump = Pump(
            self._host.container(container_id), terminal=terminal, problem=lambda error: _say(container_id, error)
        )
        self._pumps[container_id] = pump
        pump.attach(asyncio.get_running_loop())

    def finish(self, container_id: str) -> None:
        """The container ended: take what is left in its pipes and let go of them."""
        if pump := self._pumps.pop(container_id, None):
            pump.finish()
            pump.close()

    def close(self) -> None:
        """We go, the containers stay: what they write from now on waits in the pipes."""
        for pump in self._pumps.values():
            pump.close()
        self._pumps.clear()


def _say(container_id: str, error: KernelError) -> None:
    print(f"container {container_id}: {error.message}", file=sys.stderr, flush=True)  # noqa: T201  the supervisor's log
