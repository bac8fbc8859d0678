"""Values as JSON for programs. Field names are a contract: docs/cli.md lists them, a test holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from stackup.errors import printable


def dump(value: Any) -> str:
    """Two spaces deep, every field written out, in the order of the type."""
    return printable(json.dumps(plain(value), indent=2, ensure_ascii=False), "\n", json.dumps)


def plain(value: Any) -> Any:
    """Unlike `values.to_plain` no default is left out: who reads this does not know our defaults."""
    if is_dataclass(value) and not isinstance(value, type):
        kind = getattr(type(value), "kind", None)
        head = {"kind": kind} if isinstance(kind, str) else {}
        return head | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value
