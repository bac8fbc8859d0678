"""images.db: names, manifests, layers, cache records, remembered file digests, who uses what.

Any process of ours writes it, in short transactions. A `Graph` belongs to one thread. Sizes are bytes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from stackup import db
from stackup.classes import dataclass
from stackup.paths import Host

SCHEMA = (
    """
    CREATE TABLE layers (
        diff_id TEXT PRIMARY KEY, stream_size INTEGER NOT NULL, tree_size INTEGER NOT NULL,
        boot TEXT               -- the boot in which it was written, NULL once it was read back after a later one
    ) WITHOUT ROWID;
    CREATE TABLE images (
        digest TEXT PRIMARY KEY, config TEXT NOT NULL, base TEXT, host_bound INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE image_layers (
        digest TEXT NOT NULL REFERENCES images ON DELETE CASCADE, position INTEGER NOT NULL,
        diff_id TEXT NOT NULL REFERENCES layers, PRIMARY KEY (digest, position)
    ) WITHOUT ROWID;
    CREATE INDEX image_layers_diff_id ON image_layers (diff_id);
    CREATE TABLE names (reference TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES images) WITHOUT ROWID;
    CREATE INDEX names_digest ON names (digest);
    CREATE TABLE in_use (container TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES images) WITHOUT ROWID;
    CREATE INDEX in_use_digest ON in_use (digest);
    CREATE TABLE cache (
        key TEXT PRIMARY KEY, format INTEGER NOT NULL, diff_id TEXT NOT NULL REFERENCES layers ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX cache_diff_id ON cache (diff_id);
    CREATE TABLE steps (        -- what made each layer last time: only to tell why it is made again
        reference TEXT NOT NULL, position INTEGER NOT NULL, format INTEGER NOT NULL, parent TEXT NOT NULL,
        instruction TEXT NOT NULL, inputs TEXT NOT NULL, PRIMARY KEY (reference, position)
    ) WITHOUT ROWID;
    CREATE TABLE inputs (digest TEXT PRIMARY KEY, content BLOB NOT NULL);
    CREATE TABLE files (
        dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
        ctime INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (dev, ino)
    ) WITHOUT ROWID;
    CREATE TABLE closures (request TEXT PRIMARY KEY, content BLOB NOT NULL);
    """,
)


@dataclass(frozen=True, slots=True)
class LayerRow:
    """`stream_size`: length of the canonical tar stream; `tree_size`: sum of the sizes of the files."""

    diff_id: str
    stream_size: int
    tree_size: int


@dataclass(frozen=True, slots=True)
class ImageRow:
    digest: str
    config: str
    base: str | None
    host_bound: bool
    diff_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """`parent`: chain ID below. `instruction`: canonical JSON. `inputs`: digest of the packed inputs."""

    parent: str
    instruction: str
    inputs: str


class Graph:
    """The queries and transactions of images.db. Several statements belong together: `with graph.transaction()`."""

    def __init__(self, database: db.Database) -> None:
        self.db = database

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *exc: object) -> None:
        self.db.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        return self.db.transaction()

    # layers and cache

    def layer(self, diff_id: str) -> LayerRow | None:
        row = self.db.one("SELECT diff_id, stream_size, tree_size FROM layers WHERE diff_id = ?", (diff_id,))
        return LayerRow(*row) if row else None

    def add_layer(self, layer: LayerRow, boot: str) -> None:
        values = (layer.diff_id, layer.stream_size, layer.tree_size, boot)
        self.db.execute("INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?)", values)

    def cached(self, key: str) -> str | None:
        row = self.db.one("SELECT diff_id FROM cache WHERE key = ?", (key,))
        return row[0] if row else None

    def remember(self, key: str, format: int, diff_id: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?)", (key, format, diff_id))

    def unverified(self, boot: str) -> list[str]:
        """Layers written in an earlier boot and not read back since: a power cut may have taken their bytes."""
        rows = self.db.query("SELECT diff_id FROM layers WHERE boot IS NOT NULL AND boot != ?", (boot,))
        return [r[0] for r in rows]

    def verified(self, diff_id: str) -> None:
        self.db.execute("UPDATE layers SET boot = NULL WHERE diff_id = ?", (diff_id,))

    def forget_layer(self, diff_id: str) -> None:
        """Drop a layer and the images that hold it. They come back with the next build."""
        rows = self.db.query("SELECT DISTINCT digest FROM image_layers WHERE diff_id = ?", (diff_id,))
        for (digest,) in rows:
            self.drop_image(digest)
        self.db.execute("DELETE FROM layers WHERE diff_id = ?", (diff_id,))

    def drop_image(self, digest: str) -> None:
        self.db.execute("DELETE FROM names WHERE digest = ?", (digest,))
        self.db.execute("DELETE FROM in_use WHERE digest = ?", (digest,))
        self.db.execute("DELETE FROM images WHERE digest = ?", (digest,))

    # what made a layer last time

    def step(self, reference: str, position: int, format: int) -> StepRow | None:
        row = self.db.one(
            "SELECT parent, instruction, inputs FROM steps WHERE reference = ? AND position = ? AND format = ?",
            (reference, position, format),
        )
        return StepRow(*row) if row else None

    def remember_step(self, reference: str, position: int, format: int, step: StepRow) -> None:
        values = (reference, position, format, step.parent, step.instruction, step.inputs)
        self.db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?)", values)

    def inputs(self, digest: str) -> bytes | None:
        row = self.db.one("SELECT content FROM inputs WHERE digest = ?", (digest,))
        return row[0] if row else None

    def add_inputs(self, digest: str, content: bytes) -> None:
        self.db.execute("INSERT OR IGNORE INTO inputs VALUES (?, ?)", (digest, content))

    # remembered digests of files, remembered closures of host programs

    def file_digest(self, dev: int, ino: int, size: int, mtime: int, ctime: int) -> bytes | None:
        row = self.db.one(
            "SELECT digest FROM files WHERE dev = ? AND ino = ? AND size = ? AND mtime = ? AND ctime = ?",
            (dev, ino, size, mtime, ctime),
        )
        return row[0] if row else None

    def add_file_digests(self, rows: Sequence[tuple[int, int, int, int, int, bytes]]) -> None:
        for row in rows:
            self.db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", row)

    def closure(self, request: str) -> bytes | None:
        row = self.db.one("SELECT content FROM closures WHERE request = ?", (request,))
        return row[0] if row else None

    def add_closure(self, request: str, content: bytes) -> None:
        self.db.execute("INSERT OR REPLACE INTO closures VALUES (?, ?)", (request, content))

    # images

    def image(self, digest: str) -> ImageRow | None:
        row = self.db.one("SELECT digest, config, base, host_bound FROM images WHERE digest = ?", (digest,))
        if row is None:
            return None
        rows = self.db.query("SELECT diff_id FROM image_layers WHERE digest = ? ORDER BY position", (digest,))
        return ImageRow(row[0], row[1], row[2], bool(row[3]), tuple(r[0] for r in rows))

    def add_image(self, image: ImageRow) -> None:
        values = (image.digest, image.config, image.base, int(image.host_bound))
        self.db.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", values)
        for position, diff_id in enumerate(image.diff_ids):
            values_ = (image.digest, position, diff_id)
            self.db.execute("INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?)", values_)

    def images(self) -> list[str]:
        return self._column("SELECT digest FROM images ORDER BY digest")

    def find_images(self, prefix: str) -> list[str]:
        """Digests that begin with `prefix` (`sha256:` and hex digits)."""
        rows = self.db.query("SELECT digest FROM images WHERE digest >= ? AND digest < ?", (prefix, prefix + "g"))
        return [r[0] for r in rows]

    def named(self, reference: str) -> str | None:
        row = self.db.one("SELECT digest FROM names WHERE reference = ?", (reference,))
        return row[0] if row else None

    def names(self, digest: str) -> tuple[str, ...]:
        rows = self.db.query("SELECT reference FROM names WHERE digest = ? ORDER BY reference", (digest,))
        return tuple(r[0] for r in rows)

    def name(self, reference: str, digest: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (reference, digest))

    def unname(self, reference: str) -> None:
        self.db.execute("DELETE FROM names WHERE reference = ?", (reference,))

    def mark_used(self, container: str, digest: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO in_use VALUES (?, ?)", (container, digest))

    def unmark_used(self, container: str) -> None:
        self.db.execute("DELETE FROM in_use WHERE container = ?", (container,))

    # what nothing refers to

    def unused_images(self) -> list[str]:
        """Images without a name and without a user."""
        return self._column(
            "SELECT digest FROM images WHERE digest NOT IN (SELECT digest FROM names)"
            " AND digest NOT IN (SELECT digest FROM in_use)"
        )

    def unused_layers(self) -> list[str]:
        return self._column("SELECT diff_id FROM layers WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)")

    def layers(self) -> list[str]:
        return self._column("SELECT diff_id FROM layers")

    def drop_unused_records(self) -> None:
        """What was remembered of steps whose image has no name any more."""
        self.db.execute("DELETE FROM steps WHERE reference NOT IN (SELECT reference FROM names)")
        self.db.execute("DELETE FROM inputs WHERE digest NOT IN (SELECT inputs FROM steps)")

    def _column(self, sql: str) -> list[str]:
        return [row[0] for row in self.db.query(sql)]

    def users(self, digest: str) -> tuple[str, ...]:
        rows = self.db.query("SELECT container FROM in_use WHERE digest = ? ORDER BY container", (digest,))
        return tuple(r[0] for r in rows)


def open_graph(host: Host) -> Graph:
    return Graph(db.open_database(host.images_db, SCHEMA))


@contextlib.contextmanager
def reading(host: Host | None) -> Iterator[Graph]:
    """The graph for reading only; an empty one where nothing was ever built."""
    graph = None
    if host is not None and os.path.exists(host.images_db):
        graph = Graph(db.open_readonly(host.images_db, SCHEMA))
        if graph.db.one("PRAGMA user_version") == (0,):  # its first opener has not made the tables yet
            graph.db.close()
            graph = None
    with graph or Graph(db.open_database(":memory:", SCHEMA)) as graph:
        yield graph
