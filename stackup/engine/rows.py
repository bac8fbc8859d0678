"""Frozen dataclasses <-> rows: a table whose columns are the fields of one dataclass.

A field listed in `json` is stored as canonical JSON of its plain form; bool fields are stored as 0 and 1.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar, get_type_hints

from stackup.db import Database, Row
from stackup.oci import canonical_json
from stackup.values import from_plain, to_plain

T = TypeVar("T")


@functools.lru_cache(maxsize=1024)
def _parsed(kind: Any, text: str) -> Any:
    """Values are frozen, so rows that say the same may share them: a service is read far more often than written."""
    return from_plain(kind, json.loads(text))


class Table(Generic[T]):
    def __init__(self, kind: type[T], name: str, key: str, json: Mapping[str, Any] | None = None) -> None:
        self._kind = kind
        self._json = dict(json or {})
        self._columns = tuple(f.name for f in fields(kind))  # type: ignore[arg-type]
        hints = get_type_hints(kind)
        self._bools = frozenset(c for c in self._columns if hints[c] is bool)
        listed = ", ".join(self._columns)
        marks = ", ".join("?" * len(self._columns))
        self._insert = f"INSERT INTO {name} ({listed}) VALUES ({marks})"
        self._select = f"SELECT {listed} FROM {name}"
        self._update = f"UPDATE {name} SET %s WHERE {key} = ?"
        self._delete = f"DELETE FROM {name} WHERE {key} = ?"
        self._key = key

    def add(self, database: Database, value: T) -> None:
        database.execute(self._insert, [self._encode(c, getattr(value, c)) for c in self._columns])

    def get(self, database: Database, key: str) -> T | None:
        row = database.one(f"{self._select} WHERE {self._key} = ?", (key,))
        return self._read(row) if row else None

    def list(self, database: Database, rest: str = "", parameters: Sequence[Any] = ()) -> tuple[T, ...]:
        """`rest`: `WHERE ... ORDER BY ...`, written in the code, never put together from data."""
        return tuple(self._read(row) for row in database.query(f"{self._select} {rest}", parameters))

    def change(self, database: Database, key: str, changes: Mapping[str, Any]) -> None:
        unknown = [c for c in changes if c not in self._columns]
        if unknown:
            raise TypeError(f"no such columns: {unknown}")
        settings = ", ".join(f"{c} = ?" for c in changes)
        database.execute(self._update % settings, [*(self._encode(c, v) for c, v in changes.items()), key])

    def delete(self, database: Database, key: str) -> None:
        database.execute(self._delete, (key,))

    def _encode(self, column: str, value: Any) -> Any:
        if column in self._json:
            return canonical_json(to_plain(value)).decode()
        return int(value) if isinstance(value, bool) else value

    def _read(self, row: Row) -> T:
        values = {c: self._decode(c, v) for c, v in zip(self._columns, row, strict=True)}
        return self._kind(**values)

    def _decode(self, column: str, value: Any) -> Any:
        if column in self._json:
            return _parsed(self._json[column], value)
        return bool(value) if column in self._bools else value
