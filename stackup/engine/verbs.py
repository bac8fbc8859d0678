"""The verbs, one short function each; where the rooms meet. The CLI calls these, draws what they report and return.

`root` is the path of the root (`paths.default_root()`, `--root`). A function raises StackupError and its kin, prints
nothing, never exits. `report` takes events as they happen. Imports of other rooms are inside the functions: a verb
that needs no YAML, graph or builder must not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from stackup import events
from stackup.engine.views import ExitStatus, Replica, StackRow, StatsRow, UpResult
from stackup.events import Reporter
from stackup.oci import Document

if TYPE_CHECKING:
    from stackup.builder.store.images import StoredImage
    from stackup.engine.logs import LogLine
    from stackup.linux.features import Feature
    from stackup.planner.plan import Plan
    from stackup.spec.model import Loaded


def plan(root: str, loaded: Loaded, services: Sequence[str] = ()) -> Plan:
    """What `up` would do and why. Writes nothing; works with no supervisor and no root folder, too."""
    raise NotImplementedError


def build(
    root: str, loaded: Loaded, images: Sequence[str] = (), *, no_cache: bool = False, report: Reporter = events.ignore
) -> Mapping[str, str]:
    """Build images of the file (all where none is named): image key -> manifest digest. Needs no supervisor."""
    raise NotImplementedError


def up(
    root: str, loaded: Loaded, services: Sequence[str] = (), *, wait: bool = False, report: Reporter = events.ignore
) -> UpResult:
    """Build what is missing, then make the machine what the file says. Starts spawner and supervisor where needed.

    Returns when the operations are done, with `wait` when all named services are healthy or ended well.
    Raises StackupError after the last operation when one failed; KeyboardInterrupt leaves what the next `up` continues.
    """
    raise NotImplementedError


def down(root: str, stack: str, *, volumes: bool = False, report: Reporter = events.ignore) -> int:
    """Stop and take away a stack; its named volumes too with `volumes`. The number of things taken away, 0: not up."""
    raise NotImplementedError


def ps(root: str, stack: str | None = None) -> tuple[Replica, ...]:
    """Every wished replica of a stack (None: of all), by stack, service, number. Works with no supervisor."""
    raise NotImplementedError


def logs(
    root: str, stack: str, services: Sequence[str] = (), *, follow: bool = False, since: float | None = None,
    tail: int | None = None,
) -> Iterator[LogLine]:  # fmt: skip
    """Lines of the services' output, merged by time, read from disk. `since`: seconds since the epoch.

    `follow` goes on until the iterator is closed (or the stack is gone).
    """
    raise NotImplementedError


def exec_(
    root: str, stack: str, service: str, number: int | None, argv: Sequence[str], *, tty: bool = False,
    env: Mapping[str, str] | None = None, user: str | None = None, workdir: str | None = None,
    fds: tuple[int, int, int] = (0, 1, 2),
) -> ExitStatus:  # fmt: skip
    """Run a command in a running replica (`number` None: the lowest that runs), stdio on `fds`.

    With `tty` the descriptors must be a terminal: it is put in raw mode, window sizes are passed on, and given back.
    Raises NotFound (no such replica, or exit 127: no such command), StackupError for 126.
    """
    raise NotImplementedError


def stop(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Stop services (none named: all) and hold them so until `start` or `up`. The number of replicas stopped."""
    raise NotImplementedError


def start(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Start stopped replicas on their old root file systems. The number started."""
    raise NotImplementedError


def restart(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Stop and start again, same root file system and addresses. The number restarted."""
    raise NotImplementedError


def kill(
    root: str, stack: str, services: Sequence[str] = (), *, signal: str = "SIGKILL", report: Reporter = events.ignore
) -> int:
    """Send a signal to the first process of each replica; a deadly one also holds it. The number signalled."""
    raise NotImplementedError


def ls(root: str) -> tuple[StackRow, ...]:
    """The stacks of a root."""
    raise NotImplementedError


def inspect(root: str, stack: str, service: str) -> Document:
    """All that is known of a service: wish, replicas, runtime specs, addresses, ports, health."""
    raise NotImplementedError


def stats(root: str, stack: str, *, interval: float = 0.0) -> tuple[StatsRow, ...]:
    """One sample of every running replica; with `interval` a second one that many seconds later gives cpu_percent."""
    raise NotImplementedError


def supervise(root: str) -> int:
    """The pair in the foreground until SIGTERM/SIGINT; containers run on. The exit status."""
    raise NotImplementedError


def uninstall(root: str, *, report: Reporter = events.ignore) -> tuple[str, ...]:
    """End every stack of a root and take the whole root away. What was removed, as lines."""
    raise NotImplementedError


def images(root: str) -> tuple[StoredImage, ...]:
    """The images of a root's store, by name."""
    raise NotImplementedError


def image_inspect(root: str, reference: str) -> StoredImage:
    """An image by name or digest. Raises NotFound."""
    raise NotImplementedError


def image_rm(root: str, references: Sequence[str]) -> tuple[str, ...]:
    """Take names away, and layers that nothing uses any more. What was removed, as lines. Conflict: still in use."""
    raise NotImplementedError


def doctor(root: str) -> tuple[Feature, ...]:
    """What this kernel, user and root can do: each feature present or missing, what degrades, what to type."""
    raise NotImplementedError
