"""The one home of cache keys, and of the reasons why a layer has to be made.

A key covers what makes a layer: the format of these keys, the chain ID of the layers below (their *result*, so that a
layer rebuilt to the same bytes lets everything above it hit), the instruction, the digest of the inputs. It does not
cover times, umask, owners of sources, names of images or the folder of the project.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from stackup import oci
from stackup.builder import inputs
from stackup.builder.inputs import Inputs
from stackup.builder.store.graph import Graph, StepRow
from stackup.classes import dataclass

FORMAT = 1  # raise it when the same key would make another layer than before: older records are then ignored
SCRATCH = "scratch"  # stands for the chain ID of no layers


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a layer, but for what is below it. `instruction` is canonical JSON.

    `source`: how the user names the folder the inputs are in; for messages, no part of the key.
    """

    instruction: str
    inputs: Inputs
    source: str = ""

    @classmethod
    def of(cls, instruction: oci.Document, found: Inputs, epoch: int, source: str = "") -> Recipe:
        return cls(oci.canonical_json({**instruction, "epoch": epoch}).decode(), found, source)


def parent(diff_ids: tuple[str, ...]) -> str:
    return oci.chain_id(diff_ids) if diff_ids else SCRATCH


def key(recipe: Recipe, below: str) -> str:
    """`below`: `parent(...)` of the layers below."""
    document = {
        "format": FORMAT, "parent": below, "instruction": recipe.instruction, "inputs": recipe.inputs.digest,
    }  # fmt: skip
    return oci.digest(oci.canonical_json(document))


def remember(graph: Graph, reference: str, position: int, recipe: Recipe, below: str) -> None:
    """Keep what made the layer `position` of an image, to tell next time what changed."""
    row = StepRow(below, recipe.instruction, recipe.inputs.digest)
    if graph.step(reference, position, FORMAT) == row:
        return
    with graph.transaction():
        graph.add_inputs(row.inputs, recipe.inputs.pack())
        graph.remember_step(reference, position, FORMAT, row)


def reason(graph: Graph, reference: str, position: int, recipe: Recipe, below: str | None) -> str:
    """Why the layer is not in the cache: the first thing that differs from last time. `below` None: not known yet."""
    last = graph.step(reference, position, FORMAT)
    if last is None:
        return "not built before" if below is not None else "not built before, follows a rebuilt layer"
    if last.instruction != recipe.instruction:
        return _changed_instruction(json.loads(last.instruction), json.loads(recipe.instruction))
    if last.inputs != recipe.inputs.digest:
        return _changed_inputs(graph.inputs(last.inputs), recipe)
    if below is None:
        return "follows a rebuilt layer"
    if last.parent != below:
        return "the layers below changed"
    return "no longer in the store"


def _changed_instruction(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if old.get("kind") != new.get("kind"):
        return f"a {old.get('kind')} layer stood here"
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            return f"{name} changed{_short_change(old.get(name), new.get(name))}"
    return "the instruction changed"


def _short_change(old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                return f": {name}{_short_change(old.get(name), new.get(name))}"
    one, other = json.dumps(old), json.dumps(new)
    return f" {one} -> {other}" if len(one) + len(other) <= 80 else ""


def _changed_inputs(packed: bytes | None, recipe: Recipe) -> str:
    if packed is None:
        return "inputs changed"
    old, now = inputs.unpack(packed), inputs.unpack(recipe.inputs.pack())
    for name in sorted({*old, *now}):
        was, is_ = old.get(name), now.get(name)
        if was == is_:
            continue
        shown = os.path.normpath(os.path.join(recipe.source or "/", name))
        if was is None:
            return f"{shown} is new"
        if is_ is None:
            return f"{shown} is gone"
        return f"{shown} {_difference(was, is_)}"
    return "inputs changed"


def _difference(old: tuple[str, str], new: tuple[str, str]) -> str:
    if old[0] in "fx" and new[0] in "fx":
        if old[1] != new[1]:
            return f"changed ({old[1][:8]} -> {new[1][:8]})"
        return "became executable" if new[0] == "x" else "is no longer executable"
    if old[0] == new[0] == "l":
        return f"points elsewhere ({old[1]} -> {new[1]})"
    words = {"d": "folder", "l": "link", "f": "file", "x": "file"}
    return f"was a {words[old[0]]} and is a {words[new[0]]}"
