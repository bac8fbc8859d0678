"""What the verbs return: frozen values for the CLI to draw. Times are seconds since the epoch, sizes bytes.

Their field names are the field names of `--format json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stackup.classes import dataclass
from stackup.planner.states import Health

if TYPE_CHECKING:
    from stackup.engine.record_values import CheckResult
    from stackup.oci import Document
    from stackup.spec.model import Service

ReplicaState = Literal["created", "running", "exited", "gone", "absent", "restarting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published port of a service: `host_ip`:`published` leads to port `target` of its healthy replicas."""

    service: str
    host_ip: str
    published: int
    target: int
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an operation of a plan ended. `result`: done, failed, skipped (what it depends on failed), withdrawn."""

    operation: str
    resource: str
    result: Literal["done", "failed", "skipped", "withdrawn"]
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpResult:
    """`plan`: the text form of what was applied, "" where nothing had to be done. `changed`: operations carried out."""

    plan: str
    changed: int
    published: tuple[Published, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A row of `ps`: one wished replica, also one that has ended or was never made (`state` "absent").

    `exit`: the last end in words ("exited 1", "OOM-killed at 64M", "SIGKILL"), None while it never ended.
    `held`: stopped by the user and kept so until `start` or `up`. `next_start`: when the back-off ends.
    `oom_kills`: processes of the running container that the kernel killed at its memory limit while it goes on.
    """

    stack: str
    service: str
    number: int
    name: str
    id: str | None
    image: str
    state: ReplicaState
    health: Health = "none"
    held: bool = False
    pid: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    exit: str | None = None
    restarts: int = 0
    next_start: float | None = None
    oom_kills: int = 0
    addresses: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedReplica(Replica):
    """A replica with the last runs of its health check, oldest first, and its OCI runtime spec."""

    checks: tuple[CheckResult, ...]
    spec: Document | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """All that is known of a service. `wish`: what the file says of it; None, `digest` too, where it no longer does.

    `digest`: the image that the wish is pinned to. `generation`: the number of the wish.
    """

    stack: str
    service: str
    generation: int | None
    digest: str | None
    wish: Service | None
    replicas: tuple[InspectedReplica, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRow:
    """A row of `ls`. `running` of `wished` replicas run."""

    name: str
    folder: str
    file: str
    services: int
    wished: int
    running: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRow:
    """A row of `stats`. `cpu_ns` since its start; `cpu_percent` of one core since the sample before, None at first."""

    stack: str
    service: str
    number: int
    id: str
    memory: int
    memory_limit: int | None
    cpu_ns: int
    cpu_percent: float | None
    pids: int
    pids_limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """How a command of `exec` ended; `status` as a shell would give it (128 + signal)."""

    code: int | None
    signal: int | None

    @property
    def status(self) -> int:
        return 128 + self.signal if self.signal else self.code or 0
