"""The table of statuses for people: by the place where keys stand; what is not obeyed has a reason."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from stackup.cli.output import style
from stackup.spec.support import Status, Support

_WIDTH = 100
_ORDER: tuple[Status, ...] = ("obeyed", "warned", "rejected")
_COLORS: Mapping[Status, str] = {"obeyed": "green", "warned": "yellow", "rejected": "red"}


def text(table: Mapping[str, Support]) -> str:
    places: dict[str, dict[str, Support]] = {}
    for key, entry in table.items():
        place, _, name = key.rpartition(".")
        places.setdefault(place, {})[name] = entry
    parts = [_place(place, places[place]) for place in sorted(places)]
    return "\n\n".join([*parts, "What stands below a key that is warned or rejected shares its status."])


def _place(place: str, entries: Mapping[str, Support]) -> str:
    lines = [style(place or "top level", "bold")]
    for status in _ORDER:
        found = {key: entry for key, entry in entries.items() if entry.status == status}
        if not found:
            continue
        word = style(f"{status:<8}", _COLORS[status])
        rows = _reasons(found)
        if status == "obeyed":
            plain = [key for key, entry in found.items() if not entry.why]
            rows = textwrap.wrap(" ".join(plain), _WIDTH - 12, break_on_hyphens=False) + rows
        lines += [f"  {word if i == 0 else ' ' * 8}  {row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def _reasons(entries: Mapping[str, Support]) -> list[str]:
    told = {key: _why(entry) for key, entry in entries.items() if entry.why}
    width = max(map(len, told), default=0)
    return [f"{key:<{width}}  {why}" for key, why in told.items()]


def _why(entry: Support) -> str:
    return f"{entry.why}; {entry.hint}" if entry.hint else entry.why
