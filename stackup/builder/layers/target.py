"""Where a layer's files go: targets resolved inside the image, parent folders as the image has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node, folder_like
from stackup.builder.view import Parts, View, show
from stackup.errors import BadInput


@dataclass
class Placer:
    """Puts nodes into a draft on top of a view.

    A folder of the image keeps its mode and owner; a link of the image on the way is followed inside it, so that
    `/bin/x` goes to `/usr/bin/x` where `/bin` is a link. New folders are 0755 0:0 unless told otherwise.
    """

    view: View
    ids: Ids
    draft: Draft = field(default_factory=Draft)
    _made: dict[Parts, Parts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if root := self.view.lookup(()):
            self.draft.root = folder_like(root.info, root.path, self.ids)

    def folder(self, parts: Parts, new: Node | None = None) -> Parts:
        """The folder at `parts`, links followed; made (as `new`) where the image has none. Its real path."""
        if parts not in self._made:
            self._made[parts] = self._folder(parts, new)
        return self._made[parts]

    def _folder(self, parts: Parts, new: Node | None) -> Parts:
        resolved = self.view.resolve(parts, follow_last=True)
        if resolved.found and not resolved.found.is_folder:
            raise BadInput(f"target {show(parts)} is a file in the layers below, a folder is needed")
        for length in range(1, len(resolved.parts) + 1):
            here = resolved.parts[:length]
            present = self.draft.find(here)
            if present and present.kind != "folder":
                raise BadInput(f"target {show(here)} is given twice, as a {present.kind} and as a folder")
            if present is None:
                last = length == len(resolved.parts)
                self.draft.put(here, self._like_below(here) or (new if last and new else Node("folder")))
        return resolved.parts

    def _like_below(self, parts: Parts) -> Node | None:
        found = self.view.lookup(parts)
        return folder_like(found.info, found.path, self.ids) if found and found.is_folder else None

    def put(self, parts: Parts, node: Node) -> None:
        """A file or a link at `parts`. It takes the place of a file or a link of the image, never of a folder."""
        if not parts:
            raise BadInput("target / is a folder; write a file name behind it")
        here = (*self.folder(parts[:-1]), parts[-1])
        found = self.view.lookup(here)
        if found and found.is_folder:
            raise BadInput(
                f"target {show(parts)} is a folder in the layers below",
                hint=f"to put the file into it write {show(parts)}/",
            )
        if self.draft.find(here):
            raise BadInput(f"target {show(here)} is given twice")
        self.draft.put(here, node)


def split(target: str) -> Parts:
    """The components of an absolute target. Raises BadInput."""
    parts = tuple(p for p in target.split("/") if p not in ("", "."))
    if not target.startswith("/") or ".." in parts:
        raise BadInput(f"target {target} is no path in the image", hint="write it from /, without ..")
    return parts


def mode_of(text: str | None, executable: bool) -> int:
    """The mode of a file: as given, else 0644 or 0755. Raises BadInput."""
    if text is None:
        return 0o755 if executable else 0o644
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise BadInput(f"mode {text} is no octal number such as 0644")
    return mode


def folder_mode(text: str | None) -> int:
    """The mode of a new folder: 0755, or the given one with leave to enter for whoever may read."""
    if text is None:
        return 0o755
    mode = mode_of(text, False) & 0o777
    return mode | (mode & 0o444) >> 2


def owner_of(text: str, view: View) -> tuple[int, int]:
    """`1000:1000`, `app`, `app:adm`, `1000`: digits stand for themselves, names are looked up in the image.

    Without a group: the user's own, and for digits without an entry the same number. Raises BadInput.
    """
    user, colon, group = text.partition(":")
    passwd = _table(view.read("/etc/passwd"))
    entry = passwd.get(user)
    if user.isascii() and user.isdigit():
        uid = int(user)
        gid = uid
    elif entry and len(entry) > 3 and entry[2].isdigit():
        uid, gid = int(entry[2]), int(entry[3]) if entry[3].isdigit() else 0
    else:
        raise BadInput(f"owner {text}: the layers below have no user {user} in /etc/passwd", hint="write numbers")
    if not colon:
        return uid, gid
    if group.isascii() and group.isdigit():
        return uid, int(group)
    groups = _table(view.read("/etc/group"))
    if group not in groups or not groups[group][2].isdigit():
        raise BadInput(f"owner {text}: the layers below have no group {group} in /etc/group", hint="write numbers")
    return uid, int(groups[group][2])


def _table(content: bytes) -> dict[str, list[str]]:
    lines = (line.split(":") for line in content.decode("utf-8", "replace").splitlines())
    return {fields[0]: fields for fields in lines if len(fields) > 2}
