"""Images of the local store: names, what they are, who uses them. All functions open the store by themselves."""

from __future__ import annotations

import json
import re

from stackup.builder.store import blobs, gc, trees
from stackup.builder.store.graph import Graph, ImageRow, open_graph, reading
from stackup.classes import dataclass
from stackup.errors import BadInput, Conflict, NotFound
from stackup.events import Reporter, ignore
from stackup.oci import Document
from stackup.paths import Host

_HEX = re.compile(r"(sha256:)?([0-9a-f]{12,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One line of an image's history. `diff_id` None: it made no layer. `size`: bytes of the unpacked files."""

    created_by: str
    diff_id: str | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image of the store. `config` is the OCI image config document (image-spec, config.md).

    `diff_ids`: layers, lowest first. `size`: bytes of the unpacked files of all layers. `used_by`: container ids.
    `base`: manifest digest of the image it was built on, or None.
    """

    digest: str
    names: tuple[str, ...]
    config: Document
    diff_ids: tuple[str, ...]
    history: tuple[History, ...]
    host_bound: bool
    size: int
    used_by: tuple[str, ...]
    base: str | None = None


def resolve(host: Host | None, reference: str) -> str | None:
    """The manifest digest that a name, a digest or a unique digest prefix (12 digits or more) stands for, or None.

    Raises BadInput where a prefix fits several images.
    """
    with reading(host) as graph:
        return _resolve(graph, reference)


def _resolve(graph: Graph, reference: str) -> str | None:
    if digest := graph.named(reference):
        return digest
    if not (match := _HEX.fullmatch(reference)):
        return None
    found = graph.find_images("sha256:" + match[2])
    if len(found) > 1:
        raise BadInput(f"{reference} fits {len(found)} images", hint="give more digits")
    return found[0] if found else None


def image(host: Host | None, digest: str) -> StoredImage:
    """Raises NotFound where the store has no such manifest."""
    with reading(host) as graph:
        row = graph.image(digest)
        if row is None or host is None:
            raise NotFound(f"the store has no image {digest}")
        return _stored(host, graph, row)


def names(host: Host | None) -> tuple[str, ...]:
    """The names of all images."""
    with reading(host) as graph:
        return tuple(sorted(name for digest in graph.images() for name in graph.names(digest)))


def list_images(host: Host | None) -> tuple[StoredImage, ...]:
    """All images with a name or a user, by name; those without a name last."""
    with reading(host) as graph:
        if host is None:
            return ()
        rows = [row for digest in graph.images() if (row := graph.image(digest))]
        found = [_stored(host, graph, row) for row in rows]
    return tuple(sorted((i for i in found if i.names or i.used_by), key=lambda i: (not i.names, i.names, i.digest)))


def _stored(host: Host, graph: Graph, row: ImageRow) -> StoredImage:
    config = json.loads(blobs.get(host, row.config))
    sizes = {d: layer.tree_size if (layer := graph.layer(d)) else 0 for d in row.diff_ids}
    return StoredImage(
        digest=row.digest, names=graph.names(row.digest), config=config, diff_ids=row.diff_ids,
        history=_history(config, row.diff_ids, sizes), host_bound=row.host_bound,
        size=sum(sizes[d] for d in dict.fromkeys(row.diff_ids)), used_by=graph.users(row.digest), base=row.base,
    )  # fmt: skip


def _history(config: Document, diff_ids: tuple[str, ...], sizes: dict[str, int]) -> tuple[History, ...]:
    waiting = list(diff_ids)
    lines = []
    for entry in config.get("history") or ():
        diff_id = None if entry.get("empty_layer") or not waiting else waiting.pop(0)
        lines.append(
            History(created_by=entry.get("created_by", ""), diff_id=diff_id, size=sizes[diff_id] if diff_id else 0)
        )
    return tuple(lines)


def remove(host: Host, reference: str, *, force: bool = False, report: Reporter = ignore) -> tuple[str, ...]:
    """Take a name away, and the image with its last name; lines that say what went.

    A digest takes all names of the image. What other images stand on stays until they go too. Raises NotFound;
    Conflict where a container uses the image (`force` takes the names all the same; the layers stay until it ends).
    """
    with open_graph(host) as graph:
        digest = _resolve(graph, reference)
        if digest is None:
            raise NotFound(f"the store has no image {reference}", hint="stackup image ls shows what it has")
        names = (reference,) if graph.named(reference) else graph.names(digest)
        users = graph.users(digest)
        last = set(names) == set(graph.names(digest))
        if users and last and not force:
            raise Conflict(
                f"image {reference} is used by container {', '.join(users)}",
                hint="take its stack down first, or add --force",
            )
        with graph.transaction():
            for name in names:
                graph.unname(name)
    gone = [f"untagged {name}" for name in names]
    return (*gone, *(f"deleted {d}" for d in gc.collect(host, only=(digest,), report=report).images))


def mark_used(host: Host, container_id: str, digest: str) -> None:
    """Keep an image, named or not, for as long as a container stands on it. Raises NotFound."""
    with trees.adding(host), open_graph(host) as graph, graph.transaction():
        if graph.image(digest) is None:
            raise NotFound(f"the store has no image {digest}")
        graph.mark_used(container_id, digest)


def unmark_used(host: Host, container_id: str) -> None:
    """The container is gone. Not an error where it was never marked."""
    with open_graph(host) as graph:
        graph.unmark_used(container_id)
