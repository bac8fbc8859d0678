"""What state.db keeps, as values. Times are unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypedDict

from stackup.classes import dataclass
from stackup.planner.desired import Desired
from stackup.planner.observed import Health
from stackup.spec.model import Network, Service

State = Literal["created", "running", "exited"]
Wish = Literal["running", "stopped"]
Status = Literal["pending", "current", "past"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """A stack that was brought up here. `held`: the user stopped all of it."""

    name: str
    folder: str
    file: str
    serial: int = 0
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """A replica. `service` and `digest` (manifest) are what it was made from; `wish` is what the supervisor works for.

    `pid`, `start_time` (clock ticks after boot, /proc/PID/stat) and `boot_id` name the process while it runs.
    `id_base`: first host id of its user namespace, None where it has none. `addresses`: network key -> address.
    `exit` tells the last end in words ("exited 1", "OOM-killed at 64M"), None while it never ended; so do `exit_code`
    (128 + n for signal n) and `signal`. `restarts` counts starts by policy since the user last started it.
    `held`: stopped or killed by the user, so no policy starts it.
    """

    id: str
    stack: str
    service_name: str
    number: int
    digest: str
    service: Service
    generation: int = 0
    state: State = "created"
    wish: Wish = "running"
    held: bool = False
    id_base: int | None = None
    id_size: int = 65536
    addresses: Mapping[str, str] = field(default_factory=dict)
    cgroup: str = ""
    pid: int | None = None
    start_time: int | None = None
    boot_id: str | None = None
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    exit: str | None = None
    oom: bool = False
    restarts: int = 0
    health: Health = "none"


class ContainerChanges(TypedDict, total=False):
    """Fields of a ContainerRecord that `change_container` may set."""

    generation: int
    state: State
    wish: Wish
    held: bool
    digest: str
    service: Service
    id_base: int | None
    id_size: int
    addresses: Mapping[str, str]
    cgroup: str
    pid: int | None
    start_time: int | None
    boot_id: str | None
    started: float | None
    finished: float | None
    exit_code: int | None
    signal: int | None
    exit: str | None
    oom: bool
    restarts: int
    health: Health


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One run of a health check. `began`, `ended`: unix seconds. `code` None: killed after `timeout`, or never ran."""

    began: float
    ended: float
    code: int | None
    output: str = ""

    @property
    def good(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """`name` as kept in the root (`<stack>_<key>`), `bridge` the link's name, `network` as it was applied."""

    name: str
    stack: str
    key: str
    subnet: str
    bridge: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A named volume; its folder is `Host.volume(name)`. Anonymous ones are named after their container, unrecorded."""

    name: str
    stack: str | None = None
    key: str | None = None
    created: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """A wish that was applied: *pending* before its first operation, *current* after its last, then *past*."""

    stack: str
    number: int
    status: Status
    time: float
    desired: Desired


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """An operation that began and has no end yet: where to look after a crash."""

    id: int
    stack: str
    resource: str
    operation: Any
    began: float
