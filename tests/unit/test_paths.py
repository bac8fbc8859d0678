"""The root: made once, private, nobody else's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackup import paths
from stackup.errors import Damaged, StackupError, Unsupported


def test_a_root_is_made_once_and_keeps_its_id(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    assert paths.find_root(root) is None and not (tmp_path / "root").exists()
    made = paths.open_root(root)
    assert paths.open_root(root) == made == paths.find_root(root)
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_a_first_run_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "root" / "store").mkdir(parents=True)
    (tmp_path / "root").chmod(0o700)
    assert paths.open_root(str(tmp_path / "root")).id


def test_a_folder_that_holds_something_else_never_becomes_a_root(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(0o755)
    (home / "letters.txt").write_text("dear")
    assert paths.find_root(str(home)) is None
    with pytest.raises(StackupError, match=r"it holds letters\.txt"):
        paths.open_root(str(home))
    assert [p.name for p in home.iterdir()] == ["letters.txt"] and home.stat().st_mode & 0o777 == 0o755
    with pytest.raises(StackupError, match="is not a folder"):
        paths.find_root(str(home / "letters.txt"))


def test_a_root_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    root = paths.open_root(str(tmp_path / "root")).root
    Path(root).chmod(0o755)
    with pytest.raises(StackupError, match="0755") as error:
        paths.find_root(root)
    assert error.value.hint == f"chmod 0700 {root}"


def test_a_newer_or_damaged_root_is_left_alone(tmp_path: Path) -> None:
    root = paths.open_root(str(tmp_path / "root")).root
    file = Path(root, "format")
    file.write_text('{"format": 2, "id": "3fa9c1"}')
    with pytest.raises(Unsupported, match="has format 2"):
        paths.open_root(root)
    file.write_text("{")
    with pytest.raises(Damaged):
        paths.open_root(root)
