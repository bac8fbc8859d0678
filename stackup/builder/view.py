"""What an image shows, looked up in its unpacked layers without a mount: overlay's rules for one path at a time.

Layers in the store never change and lie below a folder only we can enter, so paths are looked at by name, a component
at a time, and no link is ever followed by the kernel.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from stackup.builder import changeset
from stackup.classes import dataclass
from stackup.errors import BadInput

Parts = tuple[str, ...]
"""A path in the image, component by component; () is its root."""

MAX_LINKS = 40  # as the kernel, path_resolution(7)


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path. `path` and `info` are the topmost layer's; a folder is merged from `folders`."""

    path: str
    info: os.stat_result
    folders: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.info.st_mode)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path with its links followed inside the image. `parts` has no link left in it; `found` is what is there.

    Where `found` is None the first `existing` components are folders of the image and the rest is missing.
    """

    parts: Parts
    existing: int
    found: Found | None


class View:
    """The layers `trees`, top first."""

    def __init__(self, trees: Sequence[str]) -> None:
        self._cache: dict[Parts, Found | None] = {}
        if trees:
            self._cache[()] = Found(trees[0], os.lstat(trees[0]), tuple(trees))
        else:
            self._cache[()] = None

    def lookup(self, parts: Parts) -> Found | None:
        """What stands at a path that has no links in its folders; None where nothing does."""
        if parts in self._cache:
            return self._cache[parts]
        parent = self.lookup(parts[:-1])
        found = self._merge(parent.folders, parts[-1]) if parent and parent.is_folder else None
        self._cache[parts] = found
        return found

    @staticmethod
    def _merge(folders: Sequence[str], name: str) -> Found | None:
        top: tuple[str, os.stat_result] | None = None
        merged: list[str] = []
        for folder in folders:
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                continue
            if changeset.is_whiteout(info):
                break
            if not stat.S_ISDIR(info.st_mode):
                return Found(path, info) if top is None else Found(*top, tuple(merged))
            top = top or (path, info)
            merged.append(path)
            if changeset.is_opaque(path):
                break
        return Found(*top, tuple(merged)) if top else None

    def resolve(self, parts: Parts, *, follow_last: bool) -> Resolved:
        """Follow links inside the image, `..` never leaving its root.

        Raises BadInput where a component on the way is neither a folder nor a link, or links go round in a circle.
        """
        waiting = list(reversed(parts))
        done: list[str] = []
        links = 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            here = (*done, part)
            found = self.lookup(here)
            if found is None:
                rest = [p for p in reversed(waiting) if p not in ("", ".")]
                if ".." in rest:
                    raise BadInput(f"{show(parts)}: a link in the image leads through a folder that is not there")
                return Resolved((*here, *rest), len(done), None)
            if found.is_link and (waiting or follow_last):
                links += 1
                if links > MAX_LINKS:
                    raise BadInput(f"{show(parts)}: links in the image go round in a circle")
                text = os.readlink(found.path)
                if text.startswith("/"):
                    done.clear()
                waiting.extend(reversed(text.split("/")))
                continue
            if waiting and not found.is_folder:
                raise BadInput(f"{show(parts)}: {show(here)} is a file in the layers below")
            done.append(part)
        return Resolved(tuple(done), len(done), self.lookup(tuple(done)))

    def read(self, path: str) -> bytes:
        """The content of a file of the image, links followed inside it; b"" where there is none."""
        resolved = self.resolve(tuple(p for p in path.split("/") if p), follow_last=True)
        if resolved.found is None or not stat.S_ISREG(resolved.found.info.st_mode):
            return b""
        with open(resolved.found.path, "rb") as file:
            return file.read()


def show(parts: Sequence[str]) -> str:
    return "/" + "/".join(parts)
