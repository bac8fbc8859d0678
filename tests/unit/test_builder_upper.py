"""What a command leaves in an overlay's upper folder becomes changes and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackup.builder import changeset, upper
from stackup.builder.view import View
from stackup.errors import StackupError


@pytest.fixture
def below(tmp_path: Path) -> Path:
    folder = tmp_path / "below"
    (folder / "d/sub").mkdir(parents=True)
    (folder / "d/f").write_text("same")
    (folder / "d/sub/g").write_text("g")
    (folder / "l").symlink_to("d")
    return folder


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "upper"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in sorted(folder.rglob("*"))]


def normalise(top: Path, below: Path) -> list[str]:
    view = View([str(below)])
    upper.normalise(str(top), view, view)
    return names(top)


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def test_copied_up_but_unchanged_is_no_change(top: Path, below: Path) -> None:
    (top / "d/sub").mkdir(parents=True)
    (top / "d/f").write_text("same")
    (top / "l").symlink_to("d")
    assert normalise(top, below) == []


def test_changed_content_mode_and_link_are_changes(top: Path, below: Path) -> None:
    (top / "d/sub").mkdir(parents=True)
    (top / "d/f").write_text("same")
    (top / "d/f").chmod(0o600)
    (top / "d/sub/g").write_text("G")
    (top / "l").symlink_to("elsewhere")
    assert normalise(top, below) == ["d", "d/f", "d/sub", "d/sub/g", "l"]
    times = {p.lstat().st_mtime for p in [top, *top.rglob("*")]}
    assert times == {changeset.DEFAULT_EPOCH}


def test_whiteouts_stay_only_over_something(top: Path, below: Path) -> None:
    (top / "d").mkdir()
    whiteout(top / "d/f")
    whiteout(top / "d/never")
    whiteout(top / "l")
    assert normalise(top, below) == ["d", "d/f", "l"]


def test_opaque_stays_only_where_it_hides_something(top: Path, below: Path) -> None:
    for name in ("d", "new"):
        (top / name).mkdir()
        os.setxattr(top / name, "user.overlay.opaque", b"y")
    (top / "d/f").write_text("same")
    whiteout(top / "d/sub")
    assert normalise(top, below) == ["d", "d/f", "new"]
    assert changeset.is_opaque(str(top / "d")) and not changeset.is_opaque(str(top / "new"))


def test_overlays_notes_are_taken_off(top: Path, below: Path) -> None:
    (top / "f").write_text("x")
    os.setxattr(top / "f", "user.overlay.origin", b"\0\1")
    os.setxattr(top, "user.overlay.impure", b"y")
    os.setxattr(top / "f", "user.mine", b"kept")
    assert normalise(top, below) == ["f"]
    assert os.listxattr(top / "f") == ["user.mine"] and os.listxattr(top) == []


def test_sockets_go_and_fifos_stay(top: Path, below: Path) -> None:
    os.mknod(top / "socket", stat.S_IFSOCK)
    os.mkfifo(top / "fifo")
    assert normalise(top, below) == ["fifo"]


@pytest.mark.parametrize("mark", ["user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout"])
def test_foreign_marks_are_refused(top: Path, below: Path, mark: str) -> None:
    (top / "f").write_text("x")
    os.setxattr(top / "f", mark, b"y")
    with pytest.raises(StackupError, match=f"/f carries {mark}"):
        normalise(top, below)


def test_names_that_mean_whiteouts_are_refused(top: Path, below: Path) -> None:
    (top / ".wh.f").touch()
    with pytest.raises(StackupError, match=r"/\.wh\.f: a name in an image cannot begin with"):
        normalise(top, below)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a device")
def test_devices_are_refused(top: Path, below: Path) -> None:
    try:
        os.mknod(top / "null", stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices here")
    with pytest.raises(StackupError, match="/null is a device"):
        normalise(top, below)
