"""`copy`: a folder's contents or a file of the project folder."""

from __future__ import annotations

import os

from stackup.builder import inputs
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node, Source
from stackup.builder.inputs import Digester, Entry, Inputs
from stackup.builder.layers import target
from stackup.builder.layers.target import Placer
from stackup.builder.view import Parts, View
from stackup.oci import Document
from stackup.spec.layers import Copy


def read(layer: Copy, folder: str, digester: Digester) -> Inputs:
    """Digest the source. Raises BadInput where it is absent, outside the folder, or holds special files."""
    return inputs.scan(inputs.source(folder, layer.source), digester, what=f"source {layer.source}")


def instruction(layer: Copy, found: Inputs) -> Document:
    """What besides the inputs makes the layer. The source's own name counts only where the layer keeps it."""
    document: Document = {"kind": "copy", "target": layer.target, "owner": layer.owner, "mode": layer.mode}
    if found.entries[0].kind != "folder" and layer.target.endswith("/"):
        document["name"] = os.path.basename(found.entries[0].path)
    return document


def draft(layer: Copy, found: Inputs, view: View, ids: Ids) -> Draft:
    """The layer. Raises BadInput where a target meets something of another kind in the layers below."""
    placer = Placer(view, ids)
    parts, owner = target.split(layer.target), target.owner_of(layer.owner, view)
    top = found.entries[0]
    if top.kind != "folder":
        if layer.target.endswith("/"):
            parts = (*parts, os.path.basename(top.path))
        placer.put(parts, _node(layer, top, owner))
        return placer.draft
    folders: dict[str, Parts] = {"": placer.folder(parts, _folder(layer, owner))}
    for entry in found.entries[1:]:
        parent, _, name = entry.name.rpartition("/")
        here = (*folders[parent], name)
        if entry.kind == "folder":
            folders[entry.name] = placer.folder(here, _folder(layer, owner))
        else:
            placer.put(here, _node(layer, entry, owner))
    return placer.draft


def _folder(layer: Copy, owner: tuple[int, int]) -> Node:
    return Node("folder", target.folder_mode(layer.mode), owner)


def _node(layer: Copy, entry: Entry, owner: tuple[int, int]) -> Node:
    if entry.kind == "link":
        return Node("link", 0o777, owner, entry.value)
    return Node("file", target.mode_of(layer.mode, entry.executable), owner, Source(entry.path, entry.identity))
