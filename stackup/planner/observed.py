"""Observed: one snapshot of what exists, gathered before any decision. Stdlib only.

`engine.observe` fills it: the image half from the store's cache, the machine half from the supervisor's records checked
against the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from stackup.classes import dataclass
from stackup.planner.states import ContainerState as ContainerState
from stackup.planner.states import Health as Health
from stackup.spec.model import Network, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedStep:
    """A layer of an image of the file: would it be taken from the cache? `reason` says why not."""

    text: str
    hit: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedImage:
    """`digest`: what the build would give, known only if every step hits and the base is known.

    `named`: the digest that the store's name points to now, or None. `host_bound`: tied to this machine.
    """

    reference: str
    digest: str | None = None
    named: str | None = None
    steps: tuple[ObservedStep, ...] = ()
    host_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """A replica as it was made. `service`, `digest`: what was applied. `held`: stopped or killed by the user.

    `exit` text tells the last end: "exited 1", "OOM-killed at 64M", "SIGKILL", None while it never ended.
    """

    id: str
    service_name: str
    number: int
    state: ContainerState
    service: Service
    digest: str
    health: Health = "none"
    held: bool = False
    exit_code: int | None = None
    exit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNetwork:
    """`intact`: bridge, rules and links are there. False after a reboot or when somebody deleted them; `lacks` says in
    words what."""

    key: str
    network: Network
    intact: bool = True
    lacks: str = "its bridge or its rules are gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`serial` grows with every change of the stack's records; a plan is only applied to the serial it was made from.

    `foreign`: references of images not in the file -> digest, or None where the store does not have them; `advice`:
    what to do about each of those. `volumes`: the stack's own, name in the root -> key.
    """

    serial: int = 0
    images: Mapping[str, ObservedImage] = field(default_factory=dict)
    foreign: Mapping[str, str | None] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
