"""Frozen dataclasses <-> plain JSON values, for all that crosses a process border or lies in a database.

Understands: dataclasses, unions of dataclasses told apart by a `kind` class variable, tuples, mappings with string
keys, optionals, Literal, str, int, float, bool and plain JSON (`Any`). Fields that equal their default are left out,
so an older record reads as the same value after a field was added.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


_SCALARS = frozenset((type(None), str, int, float, bool))


def to_plain(value: Any) -> Any:
    """A JSON value that `from_plain` reads back. TypeError for what has no plain form."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if is_dataclass(kind):
        tag, shape = _shape(kind)
        plain: dict[str, Any] = {"kind": tag} if tag else {}
        for name, default in shape:
            item = getattr(value, name)
            if item is not default and item != default:
                plain[name] = to_plain(item)
        return plain
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [to_plain(v) for v in value]
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"no plain form for {kind.__name__}")


@functools.cache
def _shape(kind: type) -> tuple[str | None, tuple[tuple[str, Any], ...]]:
    """The tag of a class, and each field with its default (MISSING, which equals nothing, where it has none)."""
    tag = getattr(kind, "kind", None)
    return tag if isinstance(tag, str) else None, tuple((f.name, _default(f)) for f in fields(kind))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def is_default(field: dataclasses.Field[Any], item: Any) -> bool:
    """Is this what the field holds where nobody says anything?"""
    return bool(item == _default(field))


Reader = Callable[[Any], Any]


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type `kind` that `to_plain` wrote. ValueError names the type where the shape does not fit.

    Unknown keys are dropped: a newer stackup may have written them.
    """
    return _reader(kind)(plain)  # type: ignore[arg-type, no-any-return]


@functools.cache
def _reader(kind: Any) -> Reader:
    """What reads a plain value as one of this type; found once for each type."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(args)
    if origin is Literal:
        return _literal(args)
    if origin is tuple:
        return _tuple(args)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        read = _reader(args[1])
        return lambda plain: {k: read(v) for k, v in plain.items()}
    if is_dataclass(kind):
        return _record(kind)
    if kind is float:
        return lambda plain: float(plain) if isinstance(plain, int) else plain
    return _as_it_is


def _as_it_is(plain: Any) -> Any:
    return plain


def _literal(words: tuple[Any, ...]) -> Reader:
    def read(plain: Any) -> Any:
        if plain not in words:
            raise ValueError(f"expected one of {words}, not {plain!r}")
        return plain

    return read


def _tuple(args: tuple[Any, ...]) -> Reader:
    readers = [_reader(a) for a in args if a is not ...]
    if args[-1] is ...:
        one = readers[0]
        return tuple if one is _as_it_is else lambda plain: tuple([one(item) for item in plain])
    return lambda plain: tuple(read(item) for read, item in zip(readers, plain, strict=True))


def _record(kind: Any) -> Reader:
    def read(plain: Any) -> Any:
        if not isinstance(plain, Mapping):
            raise ValueError(f"expected the fields of {kind.__name__}, not {plain!r}")
        readers = _field_readers(kind)
        return kind(**{k: readers[k](v) for k, v in plain.items() if k in readers})

    return read


@functools.cache
def _field_readers(kind: type) -> dict[str, Reader]:
    hints = get_type_hints(kind)
    return {f.name: _reader(hints[f.name]) for f in fields(kind)}


def _union(kinds: tuple[Any, ...]) -> Reader:
    rest = [k for k in kinds if k is not type(None)]
    optional = len(rest) < len(kinds)
    with_tag: list[Any] = [k for k in rest if is_dataclass(k) and hasattr(k, "kind")]
    tagged = {k.kind: _reader(k) for k in with_tag}
    only = _reader(rest[0]) if len(rest) == 1 else None
    scalars = tuple(k for k in rest if isinstance(k, type) and not is_dataclass(k))

    def read(plain: Any) -> Any:
        if plain is None and optional:
            return None
        if isinstance(plain, Mapping) and (tagged_reader := tagged.get(plain.get("kind"))):
            return tagged_reader(plain)
        if only is not None:
            return only(plain)
        if isinstance(plain, scalars):
            return plain
        raise ValueError(f"none of {[getattr(k, '__name__', str(k)) for k in rest]} fits {plain!r}")

    return read
