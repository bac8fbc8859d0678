"""Who a container's user is, by the files of its image."""

from __future__ import annotations

import pytest

from stackup.errors import StackupError
from stackup.runtime.users import Identity, resolve

PASSWD = [
    line.split(":") for line in ("root:x:0:0:root:/root:/bin/sh", "web:x:33:44::/srv:/bin/sh", "1:x:77:78::/n:/s")
]
GROUP = [line.split(":") for line in ("root:x:0:", "web:x:44:", "logs:x:50:web,root", "broken", "odd:x:abc:web")]


@pytest.mark.parametrize(
    ("wanted", "identity"),
    [
        ("", Identity(0, 0, (50,), "/root")),
        ("root", Identity(0, 0, (50,), "/root")),
        ("web", Identity(33, 44, (50,), "/srv")),
        ("33", Identity(33, 44, (50,), "/srv")),
        ("web:logs", Identity(33, 50, (), "/srv")),
        ("web:9", Identity(33, 9, (), "/srv")),
        ("5000", Identity(5000, 0, (), "/")),
        ("5000:logs", Identity(5000, 50, (), "/")),
        ("1", Identity(77, 78, (), "/n")),  # a name comes first
    ],
)
def test_user_and_group(wanted: str, identity: Identity):
    assert resolve(wanted, PASSWD, GROUP) == identity


def test_more_groups_are_added():
    assert resolve("web", PASSWD, GROUP, (60, 50)).groups == (50, 60)


@pytest.mark.parametrize("wanted", ["nobody", "web:nobody", "-1"])
def test_unknown_names_are_refused(wanted: str):
    with pytest.raises(StackupError, match=r"no (user|group)"):
        resolve(wanted, PASSWD, GROUP)
