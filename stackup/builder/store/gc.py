"""Take away what nothing refers to: images without name and user, layers of no image, blobs of no manifest.

Under the store's lock, exclusively: no builder adds and no container is being made on a layer meanwhile. A cache record
keeps nothing alive; it goes with its layer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from stackup import oci, paths
from stackup.builder.store import blobs, trees
from stackup.builder.store.graph import Graph, open_graph
from stackup.classes import dataclass
from stackup.events import Reporter, Warned, ignore
from stackup.paths import Host


@dataclass(frozen=True, slots=True)
class Collected:
    """What went: manifest digests, diff IDs, the bytes of files in those layers."""

    images: tuple[str, ...]
    layers: tuple[str, ...]
    size: int


def collect(host: Host, only: Collection[str] | None = None, report: Reporter = ignore) -> Collected:
    """Remove all that nothing refers to; with `only`, of images just these. Waits until builds are done, and says so.

    Many may hold the lock shared, so it cannot be said for whom.
    """
    trees.sweep(host)

    def waiting(_holder: str) -> None:
        report(Warned("", "waiting for a build to end before layers are removed"))

    with paths.lock(trees.lock_path(host), purpose="gc", waiting=waiting), open_graph(host) as graph:
        with graph.transaction():
            images = [d for d in graph.unused_images() if only is None or d in only]
            for digest in images:
                graph.drop_image(digest)
            layers = graph.unused_layers()
            size = sum(row.tree_size for d in layers if (row := graph.layer(d)))
            for diff_id in layers:
                graph.forget_layer(diff_id)
            graph.drop_unused_records()
        _remove_trees(host, graph)
        _remove_blobs(host, graph)
    return Collected(tuple(images), tuple(layers), size)


def _remove_trees(host: Host, graph: Graph) -> None:
    """Trees that the graph does not know. Renamed away first: a crash never leaves half a tree under its name."""
    known = {oci.digest_hex(d) for d in graph.layers()}
    for name in os.listdir(host.trees):
        if name not in known:
            away = os.path.join(host.tmp, trees.PREFIX + "gone-" + os.urandom(6).hex())
            os.rename(os.path.join(host.trees, name), away)
            paths.remove_tree(away)


def _remove_blobs(host: Host, graph: Graph) -> None:
    keep = set()
    for digest in graph.images():
        keep.add(oci.digest_hex(digest))
        keep.add(oci.digest_hex(json.loads(blobs.get(host, digest))["config"]["digest"]))
    folder = os.path.join(host.store, "blobs", "sha256")
    for name in os.listdir(folder):
        if name not in keep:
            os.unlink(os.path.join(folder, name))
