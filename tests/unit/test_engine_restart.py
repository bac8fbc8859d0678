from __future__ import annotations

from typing import Any

import pytest

from stackup.engine.restart import Exit, History, Start, Stay, decide
from stackup.spec.model import Restart

GOOD, BAD, UNKNOWN = Exit(0), Exit(1), Exit(None)


def policy(word: Any, **fields: Any) -> Restart:
    return Restart(policy=word, **fields)


@pytest.mark.parametrize(
    ("word", "end", "starts"),
    [
        ("no", GOOD, False), ("no", BAD, False),
        ("always", GOOD, True), ("always", BAD, True),
        ("unless-stopped", GOOD, True), ("unless-stopped", BAD, True),
        ("on-failure", GOOD, False), ("on-failure", BAD, True), ("on-failure", UNKNOWN, True),
    ],
)  # fmt: skip
def test_each_word_of_the_policy_means_what_compose_says(word: str, end: Exit, starts: bool) -> None:
    assert isinstance(decide(policy(word), History(), end), Start) is starts


@pytest.mark.parametrize("word", ["no", "always", "on-failure", "unless-stopped"])
def test_what_the_user_stopped_stays_stopped(word: str) -> None:
    assert decide(policy(word), History(), BAD, held=True) == Stay("stopped by you")


def test_the_delay_doubles_up_to_a_minute() -> None:
    attempts, delays = 0, []
    for _ in range(12):
        decision = decide(policy("always"), History(attempts, ran=0.0), BAD)
        assert isinstance(decision, Start)
        delays.append(round(decision.after, 6))
        attempts = decision.attempts
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]


def test_a_run_longer_than_the_window_starts_the_count_anew() -> None:
    assert decide(policy("always"), History(attempts=9, ran=10.5), BAD) == Start(0.1, 1)
    assert decide(policy("always"), History(attempts=9, ran=9.5), BAD) == Start(51.2, 10)
    assert decide(policy("always", window=2.0), History(attempts=9, ran=3.0), BAD) == Start(0.1, 1)


def test_attempts_are_counted_and_the_last_one_says_why_it_stays() -> None:
    three = policy("on-failure", max_attempts=3)
    assert decide(three, History(2), BAD) == Start(0.4, 3)
    assert decide(three, History(3), BAD) == Stay("started again 3 times, it always ended")
    assert decide(three, History(3, ran=60.0), BAD) == Start(0.1, 1)


def test_a_long_delay_of_the_file_counts_as_it_is() -> None:
    assert decide(policy("always", delay=90.0), History(0), BAD) == Start(90.0, 1)
    assert decide(policy("always", delay=0.0), History(50), BAD) == Start(0.0, 51)
    assert decide(policy("always"), History(10_000), BAD) == Start(60.0, 10_001)
