"""A layer of the file, its kind decided: what it reads (`prepare`), and how it is made (`make`)."""

from __future__ import annotations

from collections.abc import Callable

from stackup import oci
from stackup.builder import changeset, draft, snapshotter
from stackup.builder.cache import Recipe
from stackup.builder.changeset import Digested, Ids
from stackup.builder.draft import Draft
from stackup.builder.inputs import Digester, Inputs
from stackup.builder.layers import copy, file, host, run, template
from stackup.builder.runner import StepRunner
from stackup.builder.store.graph import Graph
from stackup.builder.view import View
from stackup.classes import dataclass
from stackup.paths import Host
from stackup.spec.layers import Copy, File, HostPrograms, Layer, Run, Template


@dataclass(frozen=True, slots=True)
class Sources:
    """Where layers read from: the stack file's folder, and digests through the memory of the graph."""

    folder: str
    graph: Graph
    digester: Digester


def prepare(layer: Layer, base: oci.Document, sources: Sources) -> Recipe:
    """Digest what a layer reads. `base`: the `config` object of the base image's config.

    Raises BadInput for bad sources, NotFound for absent host programs, Changed.
    """
    instruction, found = _read(layer, base, sources)
    source = layer.source if isinstance(layer, Copy | Template) else ""
    return Recipe.of(instruction, found, changeset.epoch(), source)


def _read(layer: Layer, base: oci.Document, sources: Sources) -> tuple[oci.Document, Inputs]:
    match layer:
        case Copy():
            found = copy.read(layer, sources.folder, sources.digester)
            return copy.instruction(layer, found), found
        case Template():
            found = template.read(layer, sources.folder, sources.digester)
            return template.instruction(layer, found), found
        case File():
            return file.instruction(layer), Inputs()
        case Run():
            return run.instruction(layer, base), Inputs()
        case HostPrograms():
            return host.instruction(layer), host.read(layer, sources.graph, sources.digester)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What making a layer needs. `folder`: a scratch folder; `diff_ids`: the layers below, lowest first."""

    host: Host
    graph: Graph
    folder: str
    diff_ids: tuple[str, ...]
    base: oci.Document
    runner: StepRunner
    say: Callable[[str], None]
    ids: Ids


def make(layer: Layer, recipe: Recipe, bench: Workbench) -> tuple[str, Digested]:
    """Make the tree of a layer in the scratch folder: its folder, and what it is."""
    if isinstance(layer, Run):
        return run.execute(
            layer, host=bench.host, graph=bench.graph, folder=bench.folder, diff_ids=bench.diff_ids, base=bench.base,
            runner=bench.runner, say=bench.say, ids=bench.ids,
        )  # fmt: skip
    view = View(snapshotter.lower_folders(bench.host, bench.diff_ids))
    place = f"{bench.folder}/tree"
    return place, draft.write(_draft(layer, recipe.inputs, view, bench.ids), place, bench.ids)


def _draft(layer: Copy | File | Template | HostPrograms, found: Inputs, view: View, ids: Ids) -> Draft:
    match layer:
        case Copy():
            return copy.draft(layer, found, view, ids)
        case Template():
            return template.draft(layer, found, view, ids)
        case File():
            return file.draft(layer, view, ids)
        case HostPrograms():
            return host.draft(found, view, ids)
