"""The verbs, one short function each; where the rooms meet. The CLI calls these, draws what they report and return.

`root` is the path of the root (`paths.default_root()`, `--root`). A function raises StackupError and its kin, prints
nothing, never exits. `report` takes events as they happen. Imports of other rooms are inside the functions: a verb
that needs no YAML, graph or builder must not pay for them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn

from stackup import events, paths
from stackup.engine import client
from stackup.engine.conduct import USUAL, Conduct
from stackup.engine.views import ExitStatus, Inspected, Outcome, Replica, StackRow, StatsRow, UpResult
from stackup.errors import NotFound, StackupError
from stackup.events import Reporter
from stackup.oci import Document
from stackup.paths import Host
from stackup.values import from_plain

if TYPE_CHECKING:
    from stackup.builder.store.images import StoredImage
    from stackup.engine.logs import LogLine
    from stackup.engine.records import Records
    from stackup.linux.features import Feature
    from stackup.planner.plan import Plan
    from stackup.spec.model import Loaded


def plan(root: str, loaded: Loaded, services: Sequence[str] = (), conduct: Conduct = USUAL) -> Plan:
    """What `up` would do and why. Writes nothing; works with no supervisor and no root folder, too."""
    from stackup.engine import planning

    host = paths.find_root(root)
    connection = client.connect(host) if host else None
    with connection or nullcontext():
        return planning.draw(host, loaded, services, connection, conduct).plan


def build(
    root: str, loaded: Loaded, images: Sequence[str] = (), *, no_cache: bool = False, conduct: Conduct = USUAL,
    report: Reporter = events.ignore,
) -> Mapping[str, str]:  # fmt: skip
    """Build images of the file (all where none is named): image key -> manifest digest. Needs no supervisor."""
    from stackup.engine import planning

    return planning.build(
        paths.open_root(root), loaded, images, no_cache=no_cache, conduct=conduct, report=report
    )  # fmt: skip


def up(
    root: str, loaded: Loaded, services: Sequence[str] = (), *, wait: bool = False, conduct: Conduct = USUAL,
    report: Reporter = events.ignore,
) -> UpResult:  # fmt: skip
    """Build what is missing, then make the machine what the file says. Starts spawner and supervisor where needed.

    Returns when the operations are done, with `wait` when all named services are healthy or ended well.
    Raises StackupError after the last operation when one failed; KeyboardInterrupt leaves what the next `up` continues.
    """
    from stackup.runtime import spawning

    host = paths.open_root(root)
    spawning.start_pair(host)  # it comes up while we import what planning needs
    from stackup.engine import planning

    return planning.up(host, loaded, services, wait=wait, conduct=conduct, report=report)


def down(root: str, stack: str, *, volumes: bool = False, report: Reporter = events.ignore) -> int:
    """Stop and take away a stack; its named volumes too with `volumes`. The number of things taken away, 0: not up."""
    host = paths.find_root(root)
    if host is None:
        return 0
    # Where nothing is recorded, a pair may still be about to leave: then `down` ends when it has.
    connection = client.ensure(host) if _anything(host, stack) else client.connect(host)
    if connection is None:
        return 0
    with connection:
        reply = connection.request("down", stack=stack, volumes=volumes, report=report)
    client.wait_end(host, connection)
    return _count(reply)


def ps(root: str, stack: str | None = None) -> tuple[Replica, ...]:
    """Every wished replica of a stack (None: of all), by stack, service, number. Works with no supervisor."""
    host = paths.find_root(root)
    if host is None:
        return ()
    if connection := client.connect(host):
        with connection:
            reply = connection.request("ps", stack=stack)
        return tuple(from_plain(Replica, row) for row in reply["replicas"])
    from stackup.engine import status

    with _read(host) as records:
        return status.replicas(host, records, stack) if records else ()


def logs(
    root: str, stack: str, services: Sequence[str] = (), *, follow: bool = False, since: float | None = None,
    tail: int | None = None, until_ended: bool = False, without: Collection[str] = (),
) -> Iterator[LogLine]:  # fmt: skip
    """Lines of the services' output, merged by time, read from disk. `since`: seconds since the epoch.

    `follow` goes on until the iterator is closed (or the stack is gone), with `until_ended` until none of them runs or
    will be started again by its policy. `without`: services that are waited for and not shown. A line's `source` is
    `web-1`.
    """
    from stackup.engine import logs as reader

    host = _root(root)
    chosen = set(services)

    def sources() -> Mapping[str, str]:
        with _read(host) as records:
            found = records.containers(stack) if records else ()
        return {
            host.container(c.id, "log"): f"{c.service_name}-{c.number}"
            for c in found if (not chosen or c.service_name in chosen) and c.service_name not in without
        }  # fmt: skip

    def finished() -> bool:
        return not _anything(host, stack) or (until_ended and _all_ended(host, stack, chosen))

    if not _anything(host, stack):
        raise NotFound(f"stack {stack} is not up", hint="run `stackup up`")
    return reader.read_many(sources, since=since, tail=tail, follow=follow, finished=finished)


def exec_(
    root: str, stack: str, service: str, number: int | None, argv: Sequence[str], *, tty: bool = False,
    env: Mapping[str, str] | None = None, user: str | None = None, workdir: str | None = None,
    fds: tuple[int, int, int] = (0, 1, 2),
) -> ExitStatus:  # fmt: skip
    """Run a command in a running replica (`number` None: the lowest that runs), stdio on `fds`.

    With `tty` the descriptors must be a terminal: it is put in raw mode, window sizes are passed on, and given back.
    Raises NotFound (no such replica); a command that cannot be run is an error with `exit_status` 126 or 127.
    """
    from stackup.engine import terminal

    with _running(root, stack) as connection:
        return terminal.execute(
            connection, fds, tty=tty, stack=stack, service=service, number=number, argv=list(argv),
            env=dict(env or {}), user=user, workdir=workdir,
        )  # fmt: skip


def stop(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Stop services (none named: all) and hold them so until `start` or `up`. The number of replicas stopped."""
    with _running(root, stack) as connection:
        return _count(connection.request("stop", stack=stack, services=list(services), report=report))


def start(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Start stopped replicas on their old root file systems. The number started."""
    with _running(root, stack) as connection:
        return _count(connection.request("start", stack=stack, services=list(services), report=report))


def restart(root: str, stack: str, services: Sequence[str] = (), *, report: Reporter = events.ignore) -> int:
    """Stop and start again, same root file system and addresses. The number restarted."""
    with _running(root, stack) as connection:
        return _count(connection.request("restart", stack=stack, services=list(services), report=report))


def kill(
    root: str, stack: str, services: Sequence[str] = (), *, signal: str = "SIGKILL", report: Reporter = events.ignore
) -> int:
    """Send a signal to the first process of each replica; a deadly one also holds it. The number signalled."""
    with _running(root, stack) as connection:
        reply = connection.request("kill", stack=stack, services=list(services), signal=signal, report=report)
        return int(reply["killed"])


def ls(root: str) -> tuple[StackRow, ...]:
    """The stacks of a root."""
    host = paths.find_root(root)
    if host is None:
        return ()
    from stackup.engine import status

    with _read(host) as records:
        return status.stacks(host, records) if records else ()


def inspect(root: str, stack: str, service: str) -> Inspected:
    """All that is known of a service: wish, replicas, runtime specs, addresses, ports, health."""
    from stackup.engine import status

    host, rows = _root(root), ps(root, stack)
    with _read(host) as records:
        if records is None or records.stack(stack) is None:
            raise NotFound(f"stack {stack} is not up", hint="run `stackup up`")
        return status.inspect(host, records, stack, service, rows)


def stats(root: str, stack: str, *, interval: float = 0.0) -> tuple[StatsRow, ...]:
    """One sample of every running replica; with `interval` a second one that many seconds later gives cpu_percent."""
    from stackup.engine import measure

    host = _root(root)
    first = measure.sample(host, rows := ps(root, stack))
    if not interval:
        return measure.rows(rows, first, None, 0.0)
    began = time.monotonic()
    time.sleep(interval)
    return measure.rows(rows, measure.sample(host, rows), first, time.monotonic() - began)


def supervise(root: str) -> NoReturn:
    """The pair in the foreground until SIGTERM/SIGINT; containers run on. Conflict where one runs already."""
    from stackup.runtime import spawning

    spawning.foreground(paths.open_root(root))


def uninstall(root: str, *, report: Reporter = events.ignore) -> tuple[str, ...]:
    """End every stack of a root and take the whole root away. What was removed, as `holdings` told it."""
    from stackup.engine import uninstall as whole

    host = paths.find_root(root)
    if host is None:
        return ()
    held = whole.holdings(host)
    whole.run(host, report)
    return held


def holdings(root: str) -> tuple[str, ...]:
    """What `uninstall` would take away, a line for each stack, image and volume, then the root; () without a root."""
    from stackup.engine import uninstall as whole

    host = paths.find_root(root)
    return whole.holdings(host) if host else ()


def images(root: str) -> tuple[StoredImage, ...]:
    """The images of a root's store, by name."""
    from stackup.builder.store import images as store

    return store.list_images(paths.find_root(root))


def image_inspect(root: str, reference: str) -> StoredImage:
    """An image by name or digest. Raises NotFound."""
    from stackup.builder.store import images as store

    host = _root(root)
    digest = store.resolve(host, reference)
    if digest is None:
        raise NotFound(f"no image {reference} in the store", hint="`stackup image ls` lists what there is")
    return store.image(host, digest)


def image_rm(root: str, reference: str, *, force: bool = False, report: Reporter = events.ignore) -> tuple[str, ...]:
    """Take a name away, and layers that nothing uses any more. What was removed, as lines.

    Conflict where a container uses an image; with `force` it loses its names all the same.
    """
    from stackup.builder.store import images as store

    return store.remove(_root(root), reference, force=force, report=report)


def doctor(root: str) -> tuple[Feature, ...]:
    """What this kernel, user and root can do: each feature present or missing, what degrades, what to type.

    With a root in use also whether the kernel has its networks as they should be.
    """
    from stackup.engine import checkup
    from stackup.linux import features

    host = paths.find_root(root)
    found = features.probe(host)
    return (*found, *checkup.networks(host)) if host else found


# Helpers


def _root(root: str) -> Host:
    host = paths.find_root(root)
    if host is None:
        raise NotFound(f"{root} does not exist: nothing was brought up here", hint="run `stackup up`")
    return host


def _running(root: str, stack: str) -> client.Client:
    """The supervisor of a stack that is up, started again where it died. Nothing is started for one that is not up."""
    host = _root(root)
    connection = client.connect(host)
    if connection is None and not _anything(host, stack):
        raise NotFound(f"stack {stack} is not up", hint="run `stackup up`")
    return connection or client.ensure(host)


@contextmanager
def _read(host: Host) -> Iterator[Records | None]:
    from stackup.engine import records as state

    records = state.read(host)
    try:
        yield records
    finally:
        if records:
            records.close()


def _anything(host: Host, stack: str) -> bool:
    with _read(host) as records:
        return records is not None and records.stack(stack) is not None


def _all_ended(host: Host, stack: str, services: Collection[str]) -> bool:
    """Asked of the supervisor, which knows what its policies will start again: without one nothing is certain."""
    try:
        connection = client.connect(host)
        if connection is None:
            return False
        with connection:
            rows = connection.request("ps", stack=stack)["replicas"]
    except client.Lost:
        return False
    states = [r["state"] for r in rows if not services or r["service"] in services]
    return "running" not in states and "restarting" not in states


def _count(reply: Document) -> int:
    """How many operations were carried out. Raises for those that failed, the first one's reason on top."""
    outcomes = [from_plain(Outcome, o) for o in reply["outcomes"]]
    raise_failures(outcomes)
    return sum(o.result == "done" for o in outcomes)


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    failed = [o for o in outcomes if o.result == "failed"]
    if failed:
        rest = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise StackupError(
            f"{failed[0].resource}: {failed[0].error}{rest}", hint=failed[0].hint, resource=failed[0].resource
        )
