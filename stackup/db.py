"""The door to SQLite (apsw, WAL): open, transactions, migrations through `user_version`.

A schema is a list of SQL scripts; script N brings the database from user_version N to N + 1. A database newer than we
are is refused, never touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from stackup.errors import Damaged, NotFound, StackupError, Unsupported

Row = tuple[Any, ...]


class Database:
    """One connection; use it from one thread. Errors of SQLite become StackupErrors that name the file."""

    def __init__(self, connection: apsw.Connection, path: str) -> None:
        self._connection = connection
        self.path = path

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        try:
            return list(self._connection.execute(sql, tuple(parameters)))
        except apsw.Error as error:
            raise _translate(error, self.path) from error

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        rows = self.query(sql, parameters)
        return rows[0] if rows else None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self.query(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN IMMEDIATE ... COMMIT; rolled back when the block raises."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


def open_database(path: str | os.PathLike[str], schema: Sequence[str]) -> Database:
    """Open for reading and writing, made and migrated where needed. Raises Unsupported for a newer database."""
    name = os.fspath(path)
    try:
        connection = apsw.Connection(name)
        connection.set_busy_timeout(10_000)
        _use_wal(connection)
        # list(): apsw stops at the first row, and the statements after it would never run.
        list(connection.execute("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON"))
        _migrate(connection, name, schema)
    except apsw.Error as error:
        raise _translate(error, name) from error
    return Database(connection, name)


def _use_wal(connection: apsw.Connection) -> None:
    """SQLite does not wait out the busy timeout when the journal mode changes: of two first openers one would fail."""
    until = time.monotonic() + 10
    while True:
        try:
            list(connection.execute("PRAGMA journal_mode=WAL"))
            return
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.002)


def open_readonly(path: str | os.PathLike[str], schema: Sequence[str]) -> Database:
    """Open for reading, also in a folder that cannot be written.

    `mode=ro` alone needs to write the -shm file; `immutable=1` is right only where no -wal is left, because it is not
    looked at. With a -wal in a read-only folder a private copy is read. Raises NotFound where there is none.
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise NotFound(f"{name} does not exist")
    writable = os.access(os.path.dirname(name), os.W_OK)
    has_wal = os.path.exists(name + "-wal") and os.path.getsize(name + "-wal") > 0
    try:
        if writable:
            connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE)
            connection.set_busy_timeout(10_000)
            connection.execute("PRAGMA query_only=ON")
        elif has_wal:
            connection = _private_copy(name)
        else:
            uri = "file:" + name.replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?immutable=1"
            connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        _refuse_newer(connection, name, schema)
    except apsw.Error as error:
        raise _translate(error, name) from error
    return Database(connection, name)


def _private_copy(name: str) -> apsw.Connection:
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="stackup-") as folder:
        copy = os.path.join(folder, "copy.db")
        shutil.copyfile(name, copy)
        shutil.copyfile(name + "-wal", copy + "-wal")
        on_disk = apsw.Connection(copy)
        memory = apsw.Connection(":memory:")
        with memory.backup("main", on_disk, "main") as backup:
            backup.step()
        on_disk.close()
        return memory


def _version(connection: apsw.Connection) -> int:
    return int(next(iter(connection.execute("PRAGMA user_version")))[0])


def _refuse_newer(connection: apsw.Connection, name: str, schema: Sequence[str]) -> None:
    version = _version(connection)
    if version > len(schema):
        raise Unsupported(
            f"{name} has format {version}, this stackup knows {len(schema)}", hint="use the newer stackup that wrote it"
        )


def _migrate(connection: apsw.Connection, name: str, schema: Sequence[str]) -> None:
    _refuse_newer(connection, name, schema)
    if _version(connection) == len(schema):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(_version(connection), len(schema)):  # asked again: another process may have been first
            connection.execute(schema[number])
            connection.execute(f"PRAGMA user_version={number + 1}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _translate(error: apsw.Error, path: str) -> StackupError:
    if isinstance(error, apsw.FullError):
        return StackupError(f"{path}: no space left on the disk", hint="free some space and run the command again")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return Damaged(f"{path} is damaged: {error}")
    if isinstance(error, apsw.BusyError):
        return StackupError(f"{path} is locked by another process", hint="run the command again")
    return StackupError(f"{path}: {error}")
