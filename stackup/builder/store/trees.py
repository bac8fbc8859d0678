"""Unpacked layers by diff ID: trees/<hex>. A tree is made in tmp/ and renamed; once there it never changes.

A crash leaves only folders tmp/build-*, which the next builder sweeps. Who adds holds store/lock shared (`adding`),
who deletes trees holds it exclusively.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from stackup import oci, paths
from stackup.builder import changeset
from stackup.builder.changeset import Digested
from stackup.builder.store.graph import Graph, LayerRow
from stackup.errors import Conflict, KernelError, NotFound
from stackup.paths import Host

PREFIX = "build-"


def path(host: Host, diff_id: str) -> str:
    return os.path.join(host.trees, oci.digest_hex(diff_id))


def lock_path(host: Host) -> str:
    return os.path.join(host.store, "lock")


@contextlib.contextmanager
def adding(host: Host) -> Iterator[None]:
    """Hold the store's lock shared: nothing that is there is taken away. Sweeps first where nobody else adds."""
    sweep(host)
    with paths.lock(lock_path(host), shared=True):
        yield


def sweep(host: Host) -> None:
    """Take away what crashed builders left in tmp/, unless a builder is at work now."""
    if not any(name.startswith(PREFIX) for name in os.listdir(host.tmp)):
        return
    with contextlib.suppress(Conflict), paths.lock(lock_path(host), wait=0, purpose="sweep"):
        for name in os.listdir(host.tmp):
            if name.startswith(PREFIX):
                paths.remove_tree(os.path.join(host.tmp, name))


@contextlib.contextmanager
def scratch(host: Host) -> Iterator[str]:
    """A private folder on the store's file system, for one step; gone afterwards."""
    folder = os.path.join(host.tmp, PREFIX + os.urandom(6).hex())
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        paths.remove_tree(folder)


def commit(host: Host, graph: Graph, folder: str, found: Digested) -> None:
    """Move the finished tree `folder` into the store. Where the layer is there already, that one stays.

    The rename happens inside the transaction: whoever sees the row sees the tree, and builders come one at a time. A
    tree without a row is the leaving of a crash, perhaps of a power cut: ours takes its place.
    """
    target = path(host, found.diff_id)
    try:
        with graph.transaction():
            if graph.layer(found.diff_id) and os.path.isdir(target):
                return
            if os.path.isdir(target):
                os.rename(target, f"{folder}.orphan")
            os.rename(folder, target)
            graph.add_layer(LayerRow(found.diff_id, found.stream_size, found.tree_size), boot_id(host))
    except OSError as error:
        raise KernelError.of(f"move a layer to {target}", error) from error


def stream(host: Host, diff_id: str) -> Iterator[bytes]:
    """The bytes of a layer, made again from its tree: an uncompressed tar whose sha256 is the diff ID.

    Raises NotFound. Hold `adding` meanwhile where others may collect.
    """
    folder = path(host, diff_id)
    if not os.path.isdir(folder):
        raise NotFound(f"the store has no layer {diff_id}")
    return changeset.stream(folder)


def present(host: Host, graph: Graph, diff_id: str) -> bool:
    return graph.layer(diff_id) is not None and os.path.isdir(path(host, diff_id))


def boot_id(host: Host) -> str:
    """Which boot this is (proc(5), /proc/sys/kernel/random/boot_id)."""
    try:
        with open(os.path.join(host.proc, "sys/kernel/random/boot_id"), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def damaged_since_boot(host: Host, graph: Graph) -> list[str]:
    """Read back the layers that were written in an earlier boot and not checked since; diff IDs of the broken ones.

    Trees are not flushed one file at a time (5,000 fsyncs cost seconds); instead what a power cut may have taken is
    found here, once after a reboot. Sound ones are never looked at again.
    """
    broken = []
    for diff_id in graph.unverified(boot_id(host)):
        try:
            sound = changeset.digest_tree(path(host, diff_id)).diff_id == diff_id
        except Exception:
            sound = False
        if sound:
            graph.verified(diff_id)
        else:
            broken.append(diff_id)
    return broken
