"""Two services compared field by field: what changed, from what to what, what it asks for and where it is written.

Stdlib only. Values are told as a user would write them: `64M`, `10s`, `data:/data:ro`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from stackup.classes import dataclass
from stackup.planner.fields import VERDICTS, Verdict
from stackup.planner.states import size as size
from stackup.spec.model import Port, Service, VolumeMount

_SIZES = frozenset({"resources.memory", "shm_size", "mem_reservation", "memswap_limit"})
_SECONDS = frozenset(
    {
        "stop_grace_period", "restart.delay", "restart.window", "healthcheck.interval", "healthcheck.timeout",
        "healthcheck.start_period", "healthcheck.start_interval",
    }
)  # fmt: skip
_LONGEST, _BEFORE = 60, 15  # characters of a value; of what two long ones have in common


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. `field` is dotted (`environment.PORT`), `place` is `stack.yaml:14` or None."""

    field: str
    old: str
    new: str
    verdict: Verdict
    place: str | None = None

    def __str__(self) -> str:
        text = f"{self.field} {self.old} -> {self.new}"
        return f"{text} ({self.place})" if self.place else text


def changes(applied: Service, wished: Service, places: Mapping[str, str]) -> tuple[Change, ...]:
    """All differences in the order of the model's fields. `places` as in Desired."""
    address = f"service:{wished.name}"
    return tuple(
        Change(field, *tell(pattern, old, new), VERDICTS[pattern], place_of(address, field, places))
        for field, pattern, old, new in _differences(applied, wished, "", "")
    )


def place_of(address: str, field: str, places: Mapping[str, str]) -> str | None:
    """Where a field is written; for one that was taken away, where what it stood in is written."""
    while field:
        if place := places.get(f"{address} {field}"):
            return place
        field = field.rpartition(".")[0]
    return places.get(address)


def differences(old: Any, new: Any, places: Mapping[str, str], address: str) -> list[str]:
    """The same for a value without verdicts (a network): the lines `subnet a -> b (stack.yaml:30)`."""
    return [
        str(Change(field, *tell(pattern, a, b), "none", place_of(address, field, places)))
        for field, pattern, a, b in _differences(old, new, "", "")
    ]


def _differences(old: Any, new: Any, field: str, pattern: str) -> Iterator[tuple[str, str, Any, Any]]:
    """(field, its key in the table, old, new); None stands for a key that a mapping does not have."""
    if old == new:
        return
    if is_dataclass(old) and type(old) is type(new):
        for one in fields(old):
            below = getattr(old, one.name), getattr(new, one.name)
            yield from _differences(*below, _dot(field, one.name), _dot(pattern, one.name))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            if key in old and key in new:
                yield from _differences(old[key], new[key], _dot(field, key), _dot(pattern, "*"))
            else:
                yield _dot(field, key), _dot(pattern, "*"), old.get(key, _ABSENT), new.get(key, _ABSENT)
    else:
        yield field, pattern, old, new


def _dot(head: str, tail: str) -> str:
    return f"{head}.{tail}" if head else tail


class _Absent:
    """A key that is not there, as against one whose value is None."""


_ABSENT = _Absent()


def tell(field: str, old: Any, new: Any) -> tuple[str, str]:
    """Two values in a short line each, in the unit that the field is written in. Long ones begin near where they
    differ."""
    texts = _told(field, old), _told(field, new)
    pairs = enumerate(zip(*texts, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(map(len, texts)))
    start = same - _BEFORE if same > _LONGEST - 2 * _BEFORE and max(map(len, texts)) > _LONGEST else 0
    return _cut(texts[0], start), _cut(texts[1], start)


def _cut(text: str, start: int) -> str:
    text = "..." * bool(start) + text[start:]
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _told(field: str, value: Any) -> str:
    if value is None or value is _ABSENT or value == ():
        return "nothing"
    if field in _SIZES and isinstance(value, int):
        return size(value) if value >= 0 else "unlimited"
    if field in _SECONDS:
        return f"{value:g}s"
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Port):
        protocol = "" if value.protocol == "tcp" else f"/{value.protocol}"
        return f"{value.host_ip}:{value.published or 'any'}:{value.target}{protocol}"
    if isinstance(value, VolumeMount):
        return f"{value.name or value.source or value.type}:{value.target}{':ro' if value.read_only else ''}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    if is_dataclass(value) and not isinstance(value, type):
        said = [(f.name, getattr(value, f.name)) for f in fields(value)]
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in said if v not in (None, (), "")) + "}"
    return str(value).replace("\n", "\\n") or '""'
