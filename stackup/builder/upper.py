"""What a command left in the upper folder of an overlay -> the canonical tree of a layer, in place.

Kept are changes only: a file that was opened for writing but is as it was, a folder copied up for a file that is gone
again, a whiteout over nothing are dropped, so that the same changes make the same layer. Overlay's notes
(`origin`, `impure`, ...) are taken off; `opaque` stays where it hides something. Times are set.
"""

from __future__ import annotations

import os
import stat

from stackup.builder import changeset
from stackup.builder.changeset import OPAQUE
from stackup.builder.view import Found, Parts, View, show
from stackup.errors import StackupError

_NOTES = frozenset(f"user.overlay.{n}" for n in ("origin", "impure", "nlink", "upper", "uuid", "index", "protattr"))


def normalise(upper: str, image: View, stage: View) -> None:
    """`image`: the layers below; `stage`: those on the skeleton of mount points that the command saw.

    Raises StackupError for what no layer can hold: devices, foreign overlay marks, names that begin with `.wh.`.
    """
    _Normaliser(image, stage).run(upper)


class _Normaliser:
    def __init__(self, image: View, stage: View) -> None:
        self._image, self._stage = image, stage
        when = changeset.epoch() * 10**9
        self._times = (when, when)

    def run(self, upper: str) -> None:
        _take_notes_off(upper, ())
        self._children(upper, (), hidden=False)
        os.utime(upper, ns=self._times)

    def _children(self, folder: str, parts: Parts, *, hidden: bool) -> None:
        with os.scandir(folder) as found:
            entries = list(found)
        for entry in entries:
            if entry.name.startswith(changeset.WHITEOUT_PREFIX):
                raise StackupError(f"{show((*parts, entry.name))}: a name in an image cannot begin with .wh.")
            self._entry(entry, (*parts, entry.name), hidden)

    def _entry(self, entry: os.DirEntry[str], parts: Parts, hidden: bool) -> None:
        """`hidden`: an opaque folder above hides all layers below."""
        info = entry.stat(follow_symlinks=False)
        below = None if hidden else self._image.lookup(parts)
        stage = None if hidden else self._stage.lookup(parts)
        if stat.S_ISDIR(info.st_mode):
            return self._folder(entry.path, info, parts, below, stage, hidden)
        if changeset.is_whiteout(info):
            if below is None:
                return os.unlink(entry.path)
        elif stat.S_ISSOCK(info.st_mode):  # nobody listens any more
            return os.unlink(entry.path)
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            raise StackupError(f"{show(parts)} is a device, which no image can hold")
        else:
            _take_notes_off(entry.path, parts)
            if stage and info.st_nlink == 1 and _same(entry.path, info, stage):
                return os.unlink(entry.path)
        return os.utime(entry.path, ns=self._times, follow_symlinks=False)

    def _folder(
        self, path: str, info: os.stat_result, parts: Parts, below: Found | None, stage: Found | None, hidden: bool
    ) -> None:
        opaque = _take_notes_off(path, parts)
        hides = opaque and below is not None and below.is_folder
        if opaque and not hides:
            os.removexattr(path, OPAQUE)
        self._children(path, parts, hidden=hidden or opaque or (below is None and stage is None))
        if stage and stage.is_folder and not hides and _same_folder(path, info, stage) and not os.listdir(path):
            return os.rmdir(path)
        return os.utime(path, ns=self._times)


def _take_notes_off(path: str, parts: Parts) -> bool:
    """Remove overlay's notes; whether the folder is opaque. Raises StackupError for marks that are not overlay's."""
    opaque = False
    for name in os.listxattr(path, follow_symlinks=False):
        if name == OPAQUE and os.getxattr(path, name, follow_symlinks=False) == b"y":
            opaque = True
        elif name in _NOTES:
            os.removexattr(path, name, follow_symlinks=False)
        elif name.startswith(("user.overlay.", "trusted.overlay.")):
            raise StackupError(f"{show(parts)} carries {name}, a mark for overlay that no image may hold")
    return opaque


def _same_folder(path: str, info: os.stat_result, stage: Found) -> bool:
    return _owned_alike(info, stage.info) and changeset.layer_attributes(path) == changeset.layer_attributes(stage.path)


def _owned_alike(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)


def _same(path: str, info: os.stat_result, stage: Found) -> bool:
    """Is a file or link what the layers below have already? Times do not count."""
    if not _owned_alike(info, stage.info) or stage.info.st_nlink > 1:
        return False
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path) == os.readlink(stage.path)
    if not stat.S_ISREG(info.st_mode):
        return True
    if info.st_size != stage.info.st_size:
        return False
    if changeset.layer_attributes(path) != changeset.layer_attributes(stage.path):
        return False
    with open(path, "rb") as one, open(stage.path, "rb") as other:
        while (piece := one.read(changeset.CHUNK)) == other.read(changeset.CHUNK):
            if not piece:
                return True
    return False
