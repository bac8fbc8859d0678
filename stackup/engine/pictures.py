"""The store as the supervisor uses it: images by digest, read once, and who stands on them.

One connection to images.db stays open. Opening one for each container would cost more than all the rest of it: the last
connection that closes writes the whole log back.
"""

from __future__ import annotations

from stackup.builder.store import graph as store
from stackup.builder.store import images, trees
from stackup.builder.store.graph import Graph
from stackup.builder.store.images import StoredImage
from stackup.errors import NotFound
from stackup.paths import Host


class Pictures:
    """For the loop's thread, but `get` of what was got before, which any thread may ask."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, StoredImage] = {}
        self._graph: Graph | None = None

    def get(self, digest: str) -> StoredImage:
        """What an image is (its names and users as they were when it was first asked for). Raises NotFound."""
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = images.image(self._host, digest)
        return known

    def use(self, container_id: str, digest: str) -> None:
        """Keep an image for as long as a container stands on it. Raises NotFound."""
        graph = self._open()
        with trees.adding(self._host), graph.transaction():
            if graph.image(digest) is None:
                raise NotFound(f"the store has no image {digest}")
            graph.mark_used(container_id, digest)

    def release(self, container_id: str) -> None:
        """The container is gone. Not an error where it was never marked."""
        self._open().unmark_used(container_id)

    def _open(self) -> Graph:
        if self._graph is None:
            self._graph = store.open_graph(self._host)
        return self._graph

    def close(self) -> None:
        if self._graph is not None:
            self._graph.db.close()
            self._graph = None
