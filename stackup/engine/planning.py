"""`plan`, `build` and `up` as the CLI does them: wish, snapshot, plan, build, then the supervisor's half."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from stackup import paths
from stackup.classes import dataclass
from stackup.engine import client, generations, notes, observe
from stackup.engine import records as state
from stackup.engine.client import Client, Lost
from stackup.engine.conduct import USUAL, Conduct
from stackup.engine.observe import Machine
from stackup.engine.views import Outcome, Published, UpResult
from stackup.errors import Conflict, NotFound, StackupError
from stackup.events import Reporter, Warned
from stackup.oci import Document
from stackup.paths import Host
from stackup.planner.desired import Desired
from stackup.planner.observed import Observed
from stackup.planner.operations import BuildImage
from stackup.planner.plan import Plan
from stackup.planner.reconcile import Options, reconcile, scope
from stackup.spec.model import Loaded
from stackup.values import from_plain, to_plain

if TYPE_CHECKING:
    from stackup.runtime.cgroups.driver import Driver

_BUILDS = 2  # images at a time


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and what it was made from. `warnings`: notes of the plan that `up` says aloud."""

    desired: Desired
    observed: Observed
    plan: Plan
    warnings: tuple[str, ...] = ()


def draw(
    host: Host | None, loaded: Loaded, services: Sequence[str] = (), connection: Client | None = None,
    conduct: Conduct = USUAL,
) -> Drawn:  # fmt: skip
    """Wish and snapshot -> plan. Writes nothing; `host` None: there is no root yet."""
    from stackup.planner import graph

    desired = graph.desired(loaded)
    _known(desired, services)
    options = Options(services=tuple(services), remove_orphans=not conduct.keep_orphans)
    half = _machine(host, desired.stack, connection)
    keys = [a.removeprefix("image:") for a in desired.order if a.startswith("image:") and a in scope(desired, options)]
    foreign = observe.foreign(host, desired)
    observed = observe.assemble(
        half, observe.images(host, loaded, desired, keys), foreign, observe.advice(host, loaded, foreign)
    )  # fmt: skip
    plan = reconcile(desired, observed, options)
    proc = host.proc if host else "/proc"
    warnings = (*notes.displaced(desired, plan, half.file), *notes.closed(desired, plan, proc))
    told = replace(plan, notes=(*notes.opened(desired, plan), *warnings))
    return Drawn(desired, observed, told, warnings)


def _known(desired: Desired, services: Sequence[str]) -> None:
    for name in services:
        if name not in desired.services:
            raise NotFound(
                f"{desired.file} has no service {name}", hint=f"it has {', '.join(desired.services) or 'none'}"
            )  # fmt: skip


def _machine(host: Host | None, stack: str, connection: Client | None) -> Machine:
    """The machine half, asked of the supervisor; the same function in this process where none runs."""
    if host is None:
        return Machine()
    if connection is not None:
        return from_plain(Machine, connection.request("observe", stack=stack))
    records = state.read(host)
    if records is None:
        return Machine()
    with records:
        return observe.machine(host, records, stack, _cgroups(host))


def _cgroups(host: Host) -> Driver | None:
    from stackup.runtime.cgroups import driver

    try:
        return driver.detect(host.cgroup_fs)
    except StackupError:
        return None


def build(
    host: Host, loaded: Loaded, images: Sequence[str], *, no_cache: bool, conduct: Conduct = USUAL, report: Reporter
) -> Mapping[str, str]:
    """Build images of the file; image key -> manifest digest."""
    with _alone(host, loaded.stack.name, "build", report):
        return _build(host, loaded, images, no_cache=no_cache, conduct=conduct, report=report)


@contextmanager
def _alone(host: Host, stack: str, verb: str, report: Reporter) -> Iterator[None]:
    """Look at the images of a stack and build them while nobody else builds them: the second finds them in the cache.

    The supervisor has a lock of its own for what comes after.
    """

    def waiting(holder: str) -> None:
        pid, _, purpose = holder.partition(" ")
        who = f"`stackup {purpose}` (process {pid})" if purpose else holder
        report(Warned(f"stack:{stack}", f"waiting for {who} to build its images"))

    with paths.lock(host.path("stacks", f"{stack}.lock"), purpose=verb, waiting=waiting):
        yield


def _build(
    host: Host, loaded: Loaded, images: Sequence[str], *, no_cache: bool, conduct: Conduct, report: Reporter
) -> Mapping[str, str]:
    from stackup.builder import build as builder
    from stackup.engine.steps import Runner

    for name in images:
        if name not in loaded.stack.images:
            known = ", ".join(loaded.stack.images) or "none"
            raise NotFound(f"{loaded.stack.file} has no image {name}", hint=f"it has {known}")
    with Runner(host) as runner:
        return builder.build(
            host, loaded.stack, images or tuple(loaded.stack.images), runner=runner, report=report,
            no_cache=no_cache, origins=loaded.origins, jobs=min(_BUILDS, conduct.parallel or _BUILDS),
        )  # fmt: skip


def up(
    host: Host, loaded: Loaded, services: Sequence[str], *, wait: bool, conduct: Conduct = USUAL, report: Reporter
) -> UpResult:  # fmt: skip
    """The whole flow. Where the stack was changed by somebody else meanwhile, everything is planned again, once."""
    from stackup.builder import build as _build  # noqa: F401  here: the supervisor comes up meanwhile
    from stackup.planner import graph as _graph  # noqa: F401

    connection: Client | None = None
    try:
        connection = client.ensure(host)  # one for all of it: without stacks it leaves when nobody is there
        drawn, digests = _draw_and_build(host, loaded, services, connection, conduct, report)
        try:
            return _run_half(connection, drawn, digests, services, wait, conduct, report)
        except (Conflict, Lost) as error:
            if isinstance(error, Lost):
                connection.close()
                connection = client.ensure(host)
            drawn, digests = _draw_and_build(host, loaded, services, connection, conduct, report)
            return _run_half(connection, drawn, digests, services, wait, conduct, report)
    finally:
        if connection:
            connection.close()


def _draw_and_build(
    host: Host, loaded: Loaded, services: Sequence[str], connection: Client, conduct: Conduct, report: Reporter
) -> tuple[Drawn, Mapping[str, str]]:
    with _alone(host, loaded.stack.name, "up", report):
        drawn = draw(host, loaded, services, connection, conduct)
        for note in drawn.warnings:
            report(Warned("", note))
        return drawn, _build_half(host, loaded, drawn, conduct, report)


def _build_half(host: Host, loaded: Loaded, drawn: Drawn, conduct: Conduct, report: Reporter) -> Mapping[str, str]:
    """Build what the plan says. Reference -> digest of every image the wish names."""
    keys = [o.name for o in drawn.plan.operations if isinstance(o, BuildImage)]
    built = _build(host, loaded, keys, no_cache=False, conduct=conduct, report=report) if keys else {}
    found = {r: d for r, d in drawn.observed.foreign.items() if d}
    for key, image in drawn.desired.images.items():
        seen = drawn.observed.images.get(key)
        digest = built.get(key) or (seen.digest if seen else None)
        if digest:
            found[image.reference] = digest
    return found


def _run_half(
    connection: Client, drawn: Drawn, digests: Mapping[str, str], services: Sequence[str], wait: bool,
    conduct: Conduct, report: Reporter,
) -> UpResult:  # fmt: skip
    by_key = {k: digests[i.reference] for k, i in drawn.desired.images.items() if i.reference in digests}
    plan = drawn.plan.resolve(by_key, drawn.observed).run_half()
    pinned = generations.pin(drawn.desired, digests)
    reply = connection.request(
        "up", desired=to_plain(pinned), plan=to_plain(plan), services=list(services), wait=wait,
        parallel=conduct.parallel, report=report,
    )  # fmt: skip
    return _result(drawn.plan, reply)


def _result(plan: Plan, reply: Document) -> UpResult:
    from stackup.engine.verbs import raise_failures

    outcomes = tuple(from_plain(Outcome, o) for o in reply["outcomes"])
    raise_failures(outcomes)
    return UpResult(
        plan=plan.text(), changed=sum(o.result == "done" for o in outcomes), outcomes=outcomes,
        published=tuple(from_plain(Published, p) for p in reply["published"]),
    )  # fmt: skip
