"""What happened, as values, and the Reporter they are sent to.

The engine and the builder report; `cli.render` draws. An event travels from the supervisor to the CLI as the plain
dict of `to_plain`. A `resource` is an address: `image:web`, `network:default`, `volume:data`, `service:web`,
`service:web/2` (its second replica).
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, Protocol

from stackup.classes import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """Work on a resource began; `text` says what, in the present: `build`, `create`, `start`, `stop`."""

    kind: ClassVar[str] = "started"
    resource: str
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """A line that a step printed; `text` has no line end."""

    kind: ClassVar[str] = "output"
    resource: str
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """Work on a resource ended well; `text` says what was done, `seconds` how long it took."""

    kind: ClassVar[str] = "done"
    resource: str
    text: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """Work on a resource failed: the error's message and hint."""

    kind: ClassVar[str] = "failed"
    resource: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Work was not begun because what it depends on failed; `text` names the cause."""

    kind: ClassVar[str] = "skipped"
    resource: str
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know; `resource` may be empty."""

    kind: ClassVar[str] = "warned"
    resource: str
    text: str


Event = Started | Output | Done | Failed | Skipped | Warned

_KINDS: dict[str, type[Event]] = {e.kind: e for e in (Started, Output, Done, Failed, Skipped, Warned)}


def to_plain(event: Event) -> dict[str, Any]:
    return {"kind": event.kind, **{f.name: getattr(event, f.name) for f in fields(event)}}


def from_plain(value: dict[str, Any]) -> Event:
    fields = {k: v for k, v in value.items() if k != "kind"}
    return _KINDS[value["kind"]](**fields)


class Reporter(Protocol):
    """Takes events from any thread."""

    def __call__(self, event: Event, /) -> None: ...


def ignore(event: Event, /) -> None:
    """A Reporter that drops everything."""
