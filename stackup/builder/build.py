"""Build the images of a stack: examine what would be done, and do it."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from stackup import oci
from stackup.builder import cache, imageconfig, steps
from stackup.builder.cache import Recipe
from stackup.builder.changeset import Ids
from stackup.builder.inputs import Changed, Digester
from stackup.builder.runner import StepRunner as StepRunner
from stackup.builder.steps import Sources, Workbench
from stackup.builder.store import blobs, trees
from stackup.builder.store.graph import Graph, ImageRow, open_graph, reading
from stackup.classes import dataclass
from stackup.errors import BadInput, KernelError, NotFound, Place, StackupError
from stackup.events import Done, Failed, Output, Reporter, Skipped, Started, Warned, ignore
from stackup.paths import Host
from stackup.spec.layers import HostPrograms, Layer, describe
from stackup.spec.model import Image, Stack

if TYPE_CHECKING:
    import concurrent.futures

Origins = Mapping[tuple[str | int, ...], tuple[str, int, int]]
"""Where values sit in the stack file, as `Loaded.origins`: ("images", "web", "layers", 1) -> (file, line, column)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A layer of an image: would it be taken from the cache? `reason` says why not."""

    text: str
    hit: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a build of an image would do.

    `digest`: the manifest it would give, known only if every step hits and the base is known. `named`: the digest that
    the store's name `reference` points to now. `host_bound`: tied to this machine by a host layer, here or below.
    """

    reference: str
    digest: str | None
    named: str | None
    steps: tuple[Step, ...]
    host_bound: bool


@dataclass(frozen=True, slots=True)
class _State:
    """An image as far as it is known. `diff_ids` None: some layer has yet to be made."""

    diff_ids: tuple[str, ...] | None = ()
    document: oci.Document = field(default_factory=dict)
    digest: str | None = None
    host_bound: bool = False

    @property
    def config(self) -> oci.Document:
        return self.document.get("config") or {}


def examine(
    host: Host | None, stack: Stack, keys: Iterable[str], *, origins: Origins | None = None
) -> Mapping[str, Examined]:
    """What `build` would do for these images and their bases, image key -> Examined. Reads only.

    `host` None: no root yet. Raises BadInput (a source is absent or not a file), NotFound (a base or a host program);
    with `origins` the place of the layer is filled in.
    """
    found: dict[str, Examined] = {}
    states: dict[str, _State] = {}
    with reading(host) as graph:
        sources = Sources(stack.folder, graph, Digester(graph))
        for key in in_order(stack, keys):
            try:
                image = stack.images[key]
                found[key], states[key] = _examine_image(host, graph, sources, stack, image, states, origins or {})
            except StackupError as error:
                error.resource = error.resource or f"image:{key}"
                raise
    return found


def _examine_image(
    host: Host | None, graph: Graph, sources: Sources, stack: Stack, image: Image, states: Mapping[str, _State],
    origins: Origins,
) -> tuple[Examined, _State]:  # fmt: skip
    reference, base = reference_of(stack, image.name), _base(graph, host, stack, image, states)
    diff_ids, seen = base.diff_ids, []
    for position, layer in enumerate(image.layers):
        try:
            recipe = steps.prepare(layer, base.config, sources)
        except StackupError as error:
            error.place = error.place or _place(origins, image.name, position)
            raise
        below = None if diff_ids is None else cache.parent(diff_ids)
        hit = _hit(host, graph, recipe, below)
        diff_ids = (*diff_ids, hit) if hit and diff_ids is not None else None
        reason = None if hit else cache.reason(graph, reference, position, recipe, below)
        seen.append(Step(text=describe(layer), hit=hit is not None, reason=reason))
    state = _finished(graph, image, base, diff_ids)
    examined = Examined(
        reference=reference, digest=state.digest, named=graph.named(reference), steps=tuple(seen),
        host_bound=state.host_bound,
    )  # fmt: skip
    return examined, state


def _hit(host: Host | None, graph: Graph, recipe: Recipe, below: str | None) -> str | None:
    if host is None or below is None:
        return None
    diff_id = graph.cached(cache.key(recipe, below))
    return diff_id if diff_id and trees.present(host, graph, diff_id) else None


def _base(graph: Graph, host: Host | None, stack: Stack, image: Image, states: Mapping[str, _State]) -> _State:
    """The state an image starts from: nothing, an image of the file, or one of the store."""
    if image.base is None:
        return _State()
    if image.base in stack.images:
        return states[image.base]
    digest = graph.named(image.base) or (image.base if oci.is_digest(image.base) else None)
    row = graph.image(digest) if digest else None
    if row is None or host is None:
        raise NotFound(
            f"image {image.base} is not in the store",
            hint="it is no key under images:, and there is no registry support yet to fetch it",
            resource=f"image:{image.name}",
        )
    return _State(row.diff_ids, json.loads(blobs.get(host, row.config)), row.digest, row.host_bound)


def _finished(graph: Graph, image: Image, base: _State, diff_ids: tuple[str, ...] | None) -> _State:
    """The image that layers and config make; its digest where all layers are known. Writes nothing."""
    bound = base.host_bound or any(isinstance(layer, HostPrograms) for layer in image.layers)
    config = imageconfig.compose(base.config, image.config)
    history = [*base.document.get("history", ()), *(_history(layer) for layer in image.layers)]
    document = imageconfig.config_document(config, diff_ids or (), history, base.document or None)
    state = _State(diff_ids, document, None, bound)
    return state if diff_ids is None else replace(state, digest=oci.digest(_manifest(graph, state)))


def _history(layer: Layer) -> oci.Document:
    return imageconfig.history_entry(describe(layer))


def _manifest(graph: Graph, state: _State) -> bytes:
    config = oci.canonical_json(state.document)
    rows = [row for d in state.diff_ids or () if (row := graph.layer(d))]
    return oci.canonical_json(imageconfig.manifest(oci.digest(config), len(config), rows, state.host_bound))


def reference_of(stack: Stack, key: str) -> str:
    """The name of an image of the file in the store."""
    return f"{stack.name}/{key}"


def in_order(stack: Stack, keys: Iterable[str]) -> list[str]:
    """These images and their bases within the file, bases first. Raises BadInput for a circle or an unknown key."""
    done: dict[str, None] = {}

    def visit(key: str, above: tuple[str, ...]) -> None:
        if key in above:
            raise BadInput("images stand on each other in a circle: " + " -> ".join((*above, key)))
        if key not in stack.images:
            raise BadInput(f"the file has no image {key}")
        base = stack.images[key].base
        if base is not None and base in stack.images:
            visit(base, (*above, key))
        done.setdefault(key)

    for key in keys:
        visit(key, ())
    return list(done)


def build(
    host: Host, stack: Stack, keys: Iterable[str], *, runner: StepRunner, report: Reporter = ignore, jobs: int = 2,
    no_cache: bool = False, origins: Origins | None = None,
) -> Mapping[str, str]:  # fmt: skip
    """Build these images and their bases, name them `<stack>/<key>`; image key -> manifest digest.

    Independent images are built at the same time, `jobs` at most. Reports Started for each step that runs, Output
    for its lines, Done, Failed or Skipped for each image. When images fail, the rest is built as far as it
    does not stand on them, then the first error is raised (resource and, with `origins`, place filled in).
    """
    order = in_order(stack, keys)
    with trees.adding(host):
        with open_graph(host) as graph:
            _drop_damaged(host, graph, report)
        return _Builder(host, stack, runner, report, no_cache, origins or {}).run(order, jobs)


def _hint(error: OSError) -> str | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space (stackup image rm takes images away) and run the command again"
    return None


def _drop_damaged(host: Host, graph: Graph, report: Reporter) -> None:
    for diff_id in trees.damaged_since_boot(host, graph):
        with graph.transaction():
            graph.forget_layer(diff_id)
        report(Warned("", f"layer {diff_id[:19]} did not survive the last power cut, it is made again"))


def _place(origins: Origins, key: str, position: int) -> Place | None:
    origin = origins.get(("images", key, "layers", position))
    return Place(*origin) if origin else None


class _Builder:
    def __init__(
        self, host: Host, stack: Stack, runner: StepRunner, report: Reporter, no_cache: bool, origins: Origins
    ) -> None:
        self._host, self._stack, self._runner, self._report = host, stack, runner, report
        self._no_cache, self._origins = no_cache, origins
        self._ids = Ids.mine()
        self._states: dict[str, _State] = {}

    def run(self, order: list[str], jobs: int) -> dict[str, str]:
        import concurrent.futures  # here, as most commands only look at what is built; it brings threads and logging

        errors: dict[str, BaseException] = {}
        waiting = list(order)
        running: dict[concurrent.futures.Future[_State], str] = {}
        pool = concurrent.futures.ThreadPoolExecutor(max(1, jobs), thread_name_prefix="build")
        try:
            while waiting or running:
                for key in [k for k in waiting if self._ready(k, errors)]:
                    waiting.remove(key)
                    running[pool.submit(self._image, key)] = key
                waiting = self._skip(waiting, errors)
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    self._settle(future, running.pop(future), errors)
        except BaseException:  # Ctrl-C: nothing new begins, and what runs is told to end
            cancel = getattr(self._runner, "cancel", None)
            if cancel is not None:
                cancel()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if errors:
            raise next(iter(errors.values()))
        return {key: digest for key in order if (digest := self._states[key].digest)}

    def _ready(self, key: str, errors: Mapping[str, BaseException]) -> bool:
        base = self._stack.images[key].base
        return base not in self._stack.images or base in self._states

    def _skip(self, waiting: list[str], errors: dict[str, BaseException]) -> list[str]:
        """Drop the images whose base failed or was skipped, transitively (`waiting` has bases first)."""
        skipped: list[str] = []
        for key in waiting:
            base = self._stack.images[key].base
            if base in errors or base in skipped:
                skipped.append(key)
                self._report(Skipped(f"image:{key}", f"its base image:{base} was not built"))
        return [k for k in waiting if k not in skipped]

    def _settle(self, future: concurrent.futures.Future[_State], key: str, errors: dict[str, BaseException]) -> None:
        error = future.exception()
        if error is None:
            self._states[key] = future.result()
        elif isinstance(error, StackupError):
            error.resource = error.resource or f"image:{key}"
            errors[key] = error
            self._report(Failed(f"image:{key}", error.message, error.hint))
        else:
            raise error

    def _image(self, key: str) -> _State:
        """Build one image, in a thread of the pool."""
        began = time.monotonic()
        image = self._stack.images[key]
        with open_graph(self._host) as graph:
            digester = Digester(graph)
            sources = Sources(self._stack.folder, graph, digester)
            base = _base(graph, self._host, self._stack, image, self._states)
            diff_ids, made = base.diff_ids or (), 0
            try:
                for position, layer in enumerate(image.layers):
                    diff_id, fresh = self._layer(graph, sources, image, position, layer, base, diff_ids)
                    diff_ids, made = (*diff_ids, diff_id), made + fresh
            finally:
                digester.save()
            state = _finished(graph, image, base, diff_ids)
            changed = self._store(graph, key, base, state)
        text = f"built {(state.digest or '')[7:19]}" if made or changed else "unchanged"
        if made < len(image.layers) and (made or changed):
            text += f", {len(image.layers) - made} of {len(image.layers)} layers from the cache"
        self._report(Done(f"image:{key}", text, time.monotonic() - began))
        return state

    def _layer(
        self, graph: Graph, sources: Sources, image: Image, position: int, layer: Layer, base: _State,
        diff_ids: tuple[str, ...],
    ) -> tuple[str, bool]:  # fmt: skip
        """The diff ID of a layer, and whether it was made anew. A source that changes meanwhile is read once more."""
        try:
            try:
                return self._layer_once(graph, sources, image, position, layer, base, diff_ids)
            except Changed:
                return self._layer_once(graph, sources, image, position, layer, base, diff_ids)
        except OSError as error:
            what = f"{describe(layer)}: {error.filename}" if error.filename else describe(layer)
            raise KernelError.of(what, error, hint=_hint(error)) from error
        except RecursionError as error:
            place = _place(self._origins, image.name, position)
            raise StackupError(
                f"{describe(layer)}: its folders are nested too deep for a layer", place=place
            ) from error
        except StackupError as error:
            if error.place is None:
                error.place = _place(self._origins, image.name, position)
            raise

    def _layer_once(
        self, graph: Graph, sources: Sources, image: Image, position: int, layer: Layer, base: _State,
        diff_ids: tuple[str, ...],
    ) -> tuple[str, bool]:  # fmt: skip
        recipe = steps.prepare(layer, base.config, sources)
        sources.digester.save()
        below, reference = cache.parent(diff_ids), reference_of(self._stack, image.name)
        hit = None if self._no_cache else _hit(self._host, graph, recipe, below)
        if hit is not None:
            cache.remember(graph, reference, position, recipe, below)
            return hit, False
        why = "asked to" if self._no_cache else cache.reason(graph, reference, position, recipe, below)
        name = f"image:{image.name}"
        self._report(Started(name, f"{position + 1}/{len(image.layers)} {describe(layer)} ({why})"))
        with trees.scratch(self._host) as folder:
            bench = Workbench(
                host=self._host, graph=graph, folder=folder, diff_ids=diff_ids, base=base.config,
                runner=self._runner, say=lambda line: self._report(Output(name, line)), ids=self._ids,
            )  # fmt: skip
            place, found = steps.make(layer, recipe, bench)
            trees.commit(self._host, graph, place, found)
        diff_id = self._agree(graph, cache.key(recipe, below), found.diff_id)
        cache.remember(graph, reference, position, recipe, below)
        return diff_id, True

    def _agree(self, graph: Graph, key: str, diff_id: str) -> str:
        """Record the result of a key. Where another build was faster its result stands, so that both go on alike."""
        with graph.transaction():
            other = graph.cached(key)
            if other and not self._no_cache and trees.present(self._host, graph, other):
                return other
            graph.remember(key, cache.FORMAT, diff_id)
            return diff_id

    def _store(self, graph: Graph, key: str, base: _State, state: _State) -> bool:
        """Config and manifest as blobs, then name and relations in one transaction. Did the name change?"""
        assert state.digest and state.diff_ids is not None
        config = blobs.put(self._host, oci.canonical_json(state.document))
        blobs.put(self._host, _manifest(graph, state))
        reference = reference_of(self._stack, key)
        if graph.named(reference) == state.digest:
            return False
        with graph.transaction():
            graph.add_image(ImageRow(state.digest, config, base.digest, state.host_bound, state.diff_ids))
            graph.name(reference, state.digest)
        return True
