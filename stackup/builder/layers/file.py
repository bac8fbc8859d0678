"""`file`: a file with the content written in the stack file."""

from __future__ import annotations

from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node
from stackup.builder.layers import target
from stackup.builder.layers.target import Placer
from stackup.builder.view import View
from stackup.errors import BadInput
from stackup.oci import Document
from stackup.spec.layers import File


def instruction(layer: File) -> Document:
    return {
        "kind": "file", "target": layer.target, "content": layer.content, "owner": layer.owner, "mode": layer.mode,
    }  # fmt: skip


def draft(layer: File, view: View, ids: Ids) -> Draft:
    return one_file(layer.target, layer.content.encode(), layer.owner, layer.mode, False, view, ids)


def one_file(where: str, content: bytes, owner: str, mode: str | None, executable: bool, view: View, ids: Ids) -> Draft:
    """A layer that holds one file. Raises BadInput."""
    if where.endswith("/"):
        raise BadInput(f"target {where} names a folder", hint="write the file's name behind it")
    placer = Placer(view, ids)
    node = Node("file", target.mode_of(mode, executable), target.owner_of(owner, view), content)
    placer.put(target.split(where), node)
    return placer.draft
