"""Frozen dataclasses <-> plain JSON values, for all that crosses a process border or lies in a database.

Understands: dataclasses, unions of dataclasses told apart by a `kind` class variable, tuples, mappings with string
keys, optionals, Literal, str, int, float, bool and plain JSON (`Any`). Fields that equal their default are left out,
so an older record reads as the same value after a field was added.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A JSON value that `from_plain` reads back. TypeError for what has no plain form."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = {}
        kind = getattr(type(value), "kind", None)
        if isinstance(kind, str):
            plain["kind"] = kind
        for field in fields(value):
            item = getattr(value, field.name)
            if not is_default(field, item):
                plain[field.name] = to_plain(item)
        return plain
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [to_plain(v) for v in value]
    raise TypeError(f"no plain form for {type(value).__name__}")


def is_default(field: dataclasses.Field[Any], item: Any) -> bool:
    """Is this what the field holds where nobody says anything?"""
    if field.default_factory is not dataclasses.MISSING:
        return bool(item == field.default_factory())
    return field.default is not dataclasses.MISSING and bool(item == field.default)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type `kind` that `to_plain` wrote. ValueError names the type where the shape does not fit.

    Unknown keys are dropped: a newer stackup may have written them.
    """
    return _read(kind, plain)  # type: ignore[no-any-return]


def _read(kind: Any, plain: Any) -> Any:
    if kind is Any:
        return plain
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), plain)
    if origin is Literal:
        if plain not in get_args(kind):
            raise ValueError(f"expected one of {get_args(kind)}, not {plain!r}")
        return plain
    if origin is tuple:
        args = get_args(kind)
        if len(args) == 2 and args[1] is ...:
            return tuple(_read(args[0], item) for item in plain)
        return tuple(_read(a, item) for a, item in zip(args, plain, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        value_kind = get_args(kind)[1]
        return {k: _read(value_kind, v) for k, v in plain.items()}
    if is_dataclass(kind):
        if not isinstance(plain, Mapping):
            raise ValueError(f"expected the fields of {getattr(kind, '__name__', kind)}, not {plain!r}")
        hints = _hints(kind)  # type: ignore[arg-type]
        known = {f.name for f in fields(kind)}
        return kind(**{k: _read(hints[k], v) for k, v in plain.items() if k in known})  # type: ignore[operator]
    if kind is float and isinstance(plain, int):
        return float(plain)
    return plain


def _read_union(kinds: tuple[Any, ...], plain: Any) -> Any:
    if plain is None and type(None) in kinds:
        return None
    rest = [k for k in kinds if k is not type(None)]
    tagged = {k.kind: k for k in rest if is_dataclass(k) and hasattr(k, "kind")}
    if isinstance(plain, Mapping) and plain.get("kind") in tagged:
        return _read(tagged[plain["kind"]], plain)
    if len(rest) == 1:
        return _read(rest[0], plain)
    for kind in rest:
        if isinstance(kind, type) and not is_dataclass(kind) and isinstance(plain, kind):
            return plain
    raise ValueError(f"none of {[getattr(k, '__name__', str(k)) for k in rest]} fits {plain!r}")
