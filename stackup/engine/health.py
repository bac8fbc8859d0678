"""Health checks: what to run, a pure state machine over the results, and the runner that repeats it.

A container is *starting* until its first success. While it starts it is looked at often, so that whoever waits goes on
at once. Failures count only when its `start_period` and one `interval` are over, which is no sooner than with Docker:
there the first look comes after one `interval`. `retries` failures in a row make it *unhealthy*, one success *healthy*.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

from stackup.classes import dataclass
from stackup.engine.records import CheckResult
from stackup.errors import StackupError
from stackup.oci import Document
from stackup.spec.model import Healthcheck, Service

State = Literal["starting", "healthy", "unhealthy"]

FIRST_PAUSE = 0.1  # seconds; doubled with each look while starting, up to `start_interval`
KEPT_RESULTS = 5
KEPT_OUTPUT = 4096  # bytes of each result's output


@dataclass(frozen=True, slots=True)
class Status:
    """`failures` in a row that count; `looks` so far; `since`: monotonic seconds at the container's start."""

    state: State = "starting"
    failures: int = 0
    looks: int = 0
    since: float = 0.0


def effective(service: Service, image_config: Document) -> Healthcheck | None:
    """The service's check, else the image's (image-spec has none; Docker's `Healthcheck`, in nanoseconds); None: none.

    A service's check without a `test` takes the image's test with its own times.
    """
    of_image = _of_image((image_config.get("config") or {}).get("Healthcheck"))
    check = service.healthcheck
    if check is None:
        check = of_image
    elif not check.test and of_image is not None:
        check = replace(check, test=of_image.test)
    return None if check is None or command(check) is None else check


def command(check: Healthcheck) -> tuple[str, ...] | None:
    """argv of a check; None where there is nothing to run (`NONE`, or an empty test)."""
    match check.test:
        case ("CMD", *argv) if argv:
            return tuple(argv)
        case ("CMD-SHELL", text):
            return ("/bin/sh", "-c", text)
        case _:
            return None


def _of_image(value: Document | None) -> Healthcheck | None:
    if not value:
        return None
    default = Healthcheck()

    def seconds(key: str, otherwise: float) -> float:
        return value[key] / 1e9 if value.get(key) else otherwise

    return Healthcheck(
        test=tuple(value.get("Test") or ()),
        interval=seconds("Interval", default.interval),
        timeout=seconds("Timeout", default.timeout),
        retries=value.get("Retries") or default.retries,
        start_period=seconds("StartPeriod", default.start_period),
        start_interval=seconds("StartInterval", default.start_interval),
    )


def _in_grace(check: Healthcheck, status: Status, now: float) -> bool:
    return status.state == "starting" and now - status.since < max(check.start_period, check.interval)


def after(check: Healthcheck, status: Status, good: bool, now: float) -> Status:
    """The status after one more result. `now`: monotonic seconds when the check began, as `Status.since`."""
    status = replace(status, looks=status.looks + 1)
    if good:
        return replace(status, state="healthy", failures=0)
    if _in_grace(check, status, now):
        return status
    failures = status.failures + 1
    if failures >= check.retries:
        return replace(status, state="unhealthy", failures=failures)
    return replace(status, failures=failures)


def pause(check: Healthcheck, status: Status, now: float) -> float:
    """Seconds until the next look."""
    if _in_grace(check, status, now):
        return float(min(FIRST_PAUSE * 2 ** min(status.looks, 16), check.start_interval, check.interval))
    return check.interval


Execute = Callable[[tuple[str, ...], float], Awaitable[tuple[int | None, bytes]]]
"""Run argv inside the container; (exit code, output), code None when it was killed after that many seconds."""


class Checker:
    """Runs the check of one container again and again. `status`, and the last `results` (newest last), are to look at.

    `changed` is called whenever the state is another one, `noted` after each run, both in the loop's thread.
    """

    def __init__(
        self, check: Healthcheck, execute: Execute, changed: Callable[[State], None],
        *, noted: Callable[[tuple[CheckResult, ...]], None] = lambda results: None,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        argv = command(check)
        assert argv is not None, "there is nothing to run"
        self._argv = argv
        self._check = check
        self._execute = execute
        self._changed = changed
        self._noted = noted
        self._clock = clock
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self.status = Status(since=clock())
        self.results: deque[CheckResult] = deque(maxlen=KEPT_RESULTS)

    def start(self, state: State = "starting") -> None:
        """Begin; `state`: what was known of a container that ran on while we were away."""
        self.status = Status(state=state, since=self._clock())
        self._task = asyncio.get_running_loop().create_task(self.run())

    async def stop(self) -> None:
        """End it; a check that runs just now is cancelled."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def run(self) -> None:
        """Repeat until cancelled."""
        while True:
            await self._sleep(pause(self._check, self.status, self._clock()))
            await self.once()

    async def once(self) -> None:
        began, moment = time.time(), self._clock()
        code, output = await self._run()
        self.results.append(CheckResult(began, time.time(), code, output))
        self._noted(tuple(self.results))
        before = self.status.state
        self.status = after(self._check, self.status, code == 0, moment)
        if self.status.state != before:
            self._changed(self.status.state)

    async def _run(self) -> tuple[int | None, str]:
        try:
            code, output = await self._execute(self._argv, self._check.timeout)
        except (StackupError, OSError) as error:
            return None, str(error)
        text = output[:KEPT_OUTPUT].decode(errors="replace")
        if code is None and not text:
            text = f"it did not end within {self._check.timeout:g} s"
        return code, text
