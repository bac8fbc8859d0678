from __future__ import annotations

import asyncio

import pytest

from stackup.engine.health import Checker, Status, after, command, effective, pause
from stackup.engine.records import CheckResult
from stackup.errors import StackupError
from stackup.spec.model import Healthcheck, Service

CHECK = Healthcheck(test=("CMD", "true"), interval=2.0, timeout=1.0, retries=3)


def service(check: Healthcheck | None = None) -> Service:
    return Service(name="web", image="web", healthcheck=check)


@pytest.mark.parametrize(
    ("test", "argv"),
    [
        (("CMD", "python3", "/check.py"), ("python3", "/check.py")),
        (("CMD-SHELL", "curl -f localhost || exit 1"), ("/bin/sh", "-c", "curl -f localhost || exit 1")),
        (("NONE",), None),
        ((), None),
        (("CMD",), None),
    ],
)
def test_a_test_is_run_in_composes_forms(test: tuple[str, ...], argv: tuple[str, ...] | None) -> None:
    assert command(Healthcheck(test=test)) == argv


def test_the_services_check_wins_over_the_images_and_none_takes_it_away() -> None:
    image = {"config": {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5_000_000_000, "Retries": 7}}}
    of_image = Healthcheck(test=("CMD", "x"), interval=5.0, retries=7)
    assert effective(service(), image) == of_image
    assert effective(service(CHECK), image) == CHECK
    assert effective(service(Healthcheck(test=("NONE",))), image) is None
    assert effective(service(Healthcheck(interval=1.0)), image) == Healthcheck(test=("CMD", "x"), interval=1.0)
    assert effective(service(), {}) is None
    assert effective(service(), {"config": {"Healthcheck": {"Test": ["NONE"]}}}) is None


def run(check: Healthcheck, results: list[tuple[float, bool]]) -> list[str]:
    status, states = Status(), []
    for now, good in results:
        status = after(check, status, good, now)
        states.append(status.state)
    return states


def test_the_first_success_makes_it_healthy_at_once() -> None:
    assert run(CHECK, [(0.1, False), (0.3, True)]) == ["starting", "healthy"]


def test_failures_count_from_the_moment_docker_would_look_first() -> None:
    early = [(0.1, False), (0.3, False), (0.7, False), (1.5, False)]
    late = [(2.0, False), (4.0, False), (6.0, False)]
    assert run(CHECK, early + late) == ["starting"] * 6 + ["unhealthy"]


def test_failures_within_the_start_period_do_not_count_and_a_success_ends_it() -> None:
    patient = Healthcheck(test=("CMD", "true"), interval=1.0, retries=2, start_period=60.0)
    assert run(patient, [(t, False) for t in (5.0, 20.0, 59.0)]) == ["starting"] * 3
    assert run(patient, [(5.0, True), (6.0, False), (7.0, False)]) == ["healthy", "healthy", "unhealthy"]


def test_a_streak_must_be_in_a_row_and_one_success_heals() -> None:
    results = [
        (1.0, True),
        (3.0, False),
        (5.0, False),
        (7.0, True),
        (9.0, False),
        (11.0, False),
        (13.0, False),
        (15.0, True),
    ]
    assert run(CHECK, results) == ["healthy"] * 6 + ["unhealthy", "healthy"]


def test_looks_are_frequent_at_first_and_then_at_the_interval() -> None:
    assert [pause(CHECK, Status(looks=n), 0.0) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert pause(CHECK, Status(looks=3), 2.5) == 2.0
    assert pause(CHECK, Status(state="healthy"), 0.0) == 2.0
    slow = Healthcheck(test=("CMD", "true"), interval=30.0, start_period=120.0, start_interval=5.0)
    assert pause(slow, Status(looks=10), 100.0) == 5.0


class Scripted:
    """A clock, a sleep that moves it, and a check with scripted exit codes; cancelled when the script is over."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.now = 100.0
        self.answers = list(answers)
        self.ran: list[tuple[tuple[str, ...], float]] = []

    async def sleep(self, seconds: float) -> None:
        if not self.answers:
            raise asyncio.CancelledError
        self.now += seconds

    async def execute(self, argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
        self.ran.append((argv, timeout))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, b"said %d" % len(self.answers)


def checked(script: Scripted, check: Healthcheck = CHECK) -> tuple[Checker, list[str]]:
    changes: list[str] = []
    noted: list[tuple[CheckResult, ...]] = []

    async def main() -> Checker:
        checker = Checker(
            check, script.execute, changes.append, noted=noted.append, clock=lambda: script.now, sleep=script.sleep
        )
        try:
            await checker.run()
        except asyncio.CancelledError:
            pass
        return checker

    checker = asyncio.run(main())
    assert noted[-1] == tuple(checker.results)
    return checker, changes


def test_changes_are_told_once_and_the_last_results_are_kept_with_their_output() -> None:
    script = Scripted(1, 0, 0, 1, 1, 1, 0)
    checker, changes = checked(script)
    assert changes == ["healthy", "unhealthy", "healthy"]
    assert [r.code for r in checker.results] == [0, 1, 1, 1, 0]
    assert checker.results[-1].output == "said 0"
    assert script.ran[0] == (("true",), 1.0)


def test_a_check_that_hangs_or_cannot_start_is_a_failure_that_says_so() -> None:
    once = Healthcheck(test=("CMD", "true"), interval=0.05, timeout=1.5, retries=2)
    checker, changes = checked(Scripted(0, StackupError("no such program: true"), None), once)
    assert changes == ["healthy", "unhealthy"]
    assert [r.output for r in checker.results] == ["said 2", "no such program: true", "said 0"]


def test_stopping_ends_a_check_in_the_middle() -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def execute(argv: tuple[str, ...], timeout: float) -> tuple[int | None, bytes]:
            begun.set()
            await asyncio.sleep(3600)
            return 0, b""

        checker = Checker(CHECK, execute, lambda state: None)
        checker.start()
        await begun.wait()
        await checker.stop()
        await checker.stop()
        assert not checker.results

    asyncio.run(main())
