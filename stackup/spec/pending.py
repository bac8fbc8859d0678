"""What keys that have no effect yet must say all the same: references that lead somewhere, one source, one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stackup.spec.model import Path
from stackup.spec.nodes import shorten
from stackup.spec.origins import Origins
from stackup.spec.report import Report
from stackup.spec.suggest import did_you_mean

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "secrets": ("file", "environment", "external", "driver"),
    "configs": ("file", "content", "environment", "external"),
}
_WITHOUT_TARGET = ("rebuild", "restart")


def check(warned: Mapping[Path, Any], origins: Origins, report: Report) -> None:
    """Report every contradiction in `warned`, the plain values of keys without effect by their canonical paths."""
    checks = _Checks(warned, origins, report)
    for path, value in warned.items():
        match path:
            case ("secrets" | "configs" as section,):
                for name, definition in value.items():
                    checks.one_source(section, name, definition)
            case ("services", _, "secrets" | "configs" as section):
                checks.references(path, section, [grant.get("source", "") for grant in value])
            case ("services", _, "models"):
                checks.references(path, "models", list(value))
            case ("services", _, "gpus") | ("services", _, "deploy", "resources", "reservations", "devices"):
                checks.requests(path, value)
            case ("services", _, "develop"):
                checks.watched(path, value)
            case ("services", _, "pre_start"):
                checks.steps(path, value)


class _Checks:
    def __init__(self, warned: Mapping[Path, Any], origins: Origins, report: Report) -> None:
        self.warned = warned
        self.origins = origins
        self.report = report

    def problem(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        self.report.problem(self.origins.node(*path), message, hint, at_key=at_key)

    def one_source(self, section: str, name: str, definition: Mapping[str, Any]) -> None:
        known = _SOURCES[section]
        said = [key for key in known if definition.get(key) not in (None, False, "")]
        path = (section, name)
        if not said and "content" not in self.origins.node(*path).items:  # elsewhere it is told as unknown
            self.problem(path, f"nothing says where '{shorten(name)}' comes from", f"write one of {', '.join(known)}")
        elif len(said) > 1:
            self.problem((*path, said[1]), f"'{said[1]}' and '{said[0]}': only one can be the source", at_key=True)
        elif said == ["external"] and (more := definition.keys() - {"external", "name"}):
            key = min(more)
            self.problem((*path, key), f"'{key}' says nothing of what exists already", "remove it", at_key=True)

    def references(self, path: Path, section: str, names: Sequence[str]) -> None:
        known: Mapping[str, Any] = self.warned.get((section,), {})
        listed = isinstance(self.warned[path], list)
        for index, name in enumerate(names):
            if name and name not in known:
                where: Path = (*path, index, "source") if listed else (*path, name)
                hint = did_you_mean(name, known) or f"define it under the top-level '{section}'"
                self.problem(where, f"no '{shorten(name)}' in '{section}'", hint)

    def requests(self, path: Path, listed: Sequence[Mapping[str, Any]]) -> None:
        for index, request in enumerate(listed):
            if "count" in request and "device_ids" in request:
                self.problem((*path, index, "count"), "'count' together with 'device_ids'", "write one of them")

    def watched(self, path: Path, value: Mapping[str, Any]) -> None:
        for index, rule in enumerate(value.get("watch", ())):
            if rule.get("action") not in _WITHOUT_TARGET and not rule.get("target"):
                message = f"'target' is missing: where do files go with '{rule.get('action')}'?"
                self.problem((*path, "watch", index), message)

    def steps(self, path: Path, value: Sequence[Mapping[str, Any]]) -> None:
        for index, step in enumerate(value):
            if not step.get("command") and not step.get("image"):
                self.problem((*path, index), "a step needs 'command', or an 'image' that brings one")
