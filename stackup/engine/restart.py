"""When a container that ended is started again: pure, told everything, asks nothing.

The delay doubles with each quick end, from the policy's `delay` to a minute; a run longer than its `window` starts
the count anew. Compose's words: `no`, `always`, `on-failure[:n]`, `unless-stopped`.
"""

from __future__ import annotations

from stackup.classes import dataclass
from stackup.spec.model import Restart

LONGEST_DELAY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended: `code`, or None when it is unknown (nobody was there to see it)."""

    code: int | None

    @property
    def good(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class History:
    """`attempts`: starts by policy since the user last started it, none of whose runs lasted longer than `window`.
    `ran`: seconds that the run lasted which just ended."""

    attempts: int = 0
    ran: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """Start it again `after` seconds; `attempts` is the History's next."""

    after: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Stay:
    """Leave it as it is; `reason` in words for people."""

    reason: str


def decide(policy: Restart, history: History, exit: Exit, *, held: bool = False) -> Start | Stay:
    """`held`: the user stopped or killed it, so no policy starts it until `start` or `up`."""
    if held:
        return Stay("stopped by you")
    if policy.policy == "no":
        return Stay("restart: no")
    if policy.policy == "on-failure" and exit.good:
        return Stay("it ended well")
    attempts = 0 if history.ran > policy.window else history.attempts
    if policy.max_attempts and attempts >= policy.max_attempts:
        times = "once" if attempts == 1 else f"{attempts} times"
        return Stay(f"started again {times}, it always ended")
    return Start(delay(policy, attempts), attempts + 1)


def delay(policy: Restart, attempts: int) -> float:
    """Seconds before start number `attempts` + 1 by policy. A `delay` longer than a minute counts as it is."""
    longest = max(LONGEST_DELAY, policy.delay)
    return min(longest, policy.delay * 2.0 ** min(attempts, 32))
