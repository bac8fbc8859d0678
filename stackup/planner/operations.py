"""Operations: one small type for each external action, each carrying the cause it is there for. Stdlib only.

A cause is one line for the user: `resources.memory 64M -> 128M (stack.yaml:14)`, `new`, `removed from the file`,
`image changed`. `unless_unchanged` names an image (`image:web`): the operation is conditional and falls away when that
image comes out of the build as the digest already applied. `if_unchanged` is the other branch: the operation is what
remains to do when the image comes out the same, and falls away when it does not.
"""

from __future__ import annotations

from typing import ClassVar

from stackup.classes import dataclass
from stackup.planner.observed import ObservedStep
from stackup.spec.model import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildImage:
    kind: ClassVar[str] = "build-image"
    name: str
    cause: str
    steps: tuple[ObservedStep, ...] = ()
    host_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork:
    """`mend`: it was made before, and the kernel lost something of it."""

    kind: ClassVar[str] = "create-network"
    key: str
    cause: str
    mend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteNetwork:
    kind: ClassVar[str] = "delete-network"
    key: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    kind: ClassVar[str] = "create-volume"
    key: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVolume:
    """Destroys data: only by `down -v`. `name` as kept in the root."""

    kind: ClassVar[str] = "delete-volume"
    key: str
    name: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer:
    """Make replica `number` of a service; it is not running yet."""

    kind: ClassVar[str] = "create-container"
    service: str
    number: int
    cause: str
    unless_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Start what CreateContainer made, or `container`, which ended or never ran: with the values of the wish."""

    kind: ClassVar[str] = "start-container"
    service: str
    number: int
    cause: str
    container: str | None = None
    unless_unchanged: str | None = None
    if_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateContainer:
    """Apply values to a running container: same process. `fields` are dotted names with verdict *live*."""

    kind: ClassVar[str] = "update-container"
    service: str
    number: int
    container: str
    fields: tuple[str, ...]
    cause: str
    if_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartContainer:
    """Stop and start again with new values on the same root file system and addresses. Live values ride along.

    No `fields`: nothing of its own changed; the user asked, or it `follows` a service that it depends on with
    `restart: true`, and `unless_unchanged` is about that service's image.
    """

    kind: ClassVar[str] = "restart-container"
    service: str
    number: int
    container: str
    cause: str
    fields: tuple[str, ...] = ()
    follows: str | None = None
    unless_unchanged: str | None = None
    if_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer:
    kind: ClassVar[str] = "stop-container"
    service: str
    number: int
    container: str
    cause: str
    unless_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteContainer:
    """Take away a stopped container: root file system, addresses, logs, record."""

    kind: ClassVar[str] = "delete-container"
    service: str
    number: int
    container: str
    cause: str
    unless_unchanged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitService:
    """Wait until every replica of a service, or replica `number` alone, meets the condition that is asked for.

    `optional`: all who ask say `required: false`, so a failure is a warning and they go on.
    """

    kind: ClassVar[str] = "await-service"
    service: str
    condition: Condition
    cause: str
    number: int | None = None
    optional: bool = False


Operation = (
    BuildImage
    | CreateNetwork
    | DeleteNetwork
    | CreateVolume
    | DeleteVolume
    | CreateContainer
    | StartContainer
    | UpdateContainer
    | RestartContainer
    | StopContainer
    | DeleteContainer
    | AwaitService
)


def resource(operation: Operation) -> str:
    """The address an operation acts on: `image:web`, `service:web/2`, `network:default`, `volume:data`."""
    match operation:
        case BuildImage(name=name):
            return f"image:{name}"
        case CreateNetwork(key=key) | DeleteNetwork(key=key):
            return f"network:{key}"
        case CreateVolume(key=key) | DeleteVolume(key=key):
            return f"volume:{key}"
        case AwaitService(service=service, number=None):
            return f"service:{service}"
        case _:
            return f"service:{operation.service}/{operation.number}"
