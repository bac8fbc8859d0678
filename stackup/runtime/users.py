"""`name`, `uid`, `name:group`, `uid:gid` -> ids, by the passwd and group of the root file system itself.

The rules are Docker's: a number needs no entry; without a group the user's own groups count, with one only that one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from stackup.classes import dataclass
from stackup.errors import StackupError
from stackup.linux import beneath


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def lookup(wanted: str, root: int, more_groups: Sequence[int] = ()) -> Identity:
    """The identity in the root file system that `root` is a descriptor of. StackupError for an unknown name."""
    return resolve(wanted, _entries(root, "etc/passwd"), _entries(root, "etc/group"), more_groups)


def resolve(
    wanted: str, passwd: Sequence[Sequence[str]], group: Sequence[Sequence[str]], more_groups: Sequence[int] = ()
) -> Identity:
    """Pure part of `lookup`: the files come as split lines (passwd(5), group(5))."""
    user, _, group_name = wanted.partition(":")
    user = user or "0"
    entry = _by_name_or_number(passwd, user, 7)
    if entry is None and not user.isdigit():
        raise StackupError(f"no user {user} in the image's /etc/passwd", hint="use a number, or a name that is there")
    uid = int(entry[2]) if entry else int(user)
    gid = int(entry[3]) if entry else 0
    groups: set[int] = set(more_groups)
    if group_name:
        gid = _group(group, group_name)
    elif entry:
        groups |= {int(g[2]) for g in group if len(g) >= 4 and g[2].isdigit() and entry[0] in g[3].split(",")}
    return Identity(uid, gid, tuple(sorted(groups)), (entry[5] if entry else "") or "/")


def _group(group: Sequence[Sequence[str]], wanted: str) -> int:
    entry = _by_name_or_number(group, wanted, 4)
    if entry is None and not wanted.isdigit():
        raise StackupError(f"no group {wanted} in the image's /etc/group", hint="use a number, or a name that is there")
    return int(entry[2]) if entry else int(wanted)


def _by_name_or_number(entries: Sequence[Sequence[str]], wanted: str, fields: int) -> Sequence[str] | None:
    """A name comes before a number that reads the same."""
    usable = [e for e in entries if len(e) >= fields and e[2].isdigit() and (fields < 7 or e[3].isdigit())]
    for index in (0, 2):
        for entry in usable:
            if entry[index] == wanted:
                return entry
    return None


def _entries(root: int, path: str) -> list[list[str]]:
    try:
        text = beneath.read(root, path).decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StackupError(f"read /{path} of the image: {os.strerror(error.errno or 0)}") from error
    return [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]
