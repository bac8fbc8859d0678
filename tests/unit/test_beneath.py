"""Nothing in a hostile tree leads out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackup.linux import beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/file").write_text("inside")
    (tree / "up").symlink_to("../outside")
    (tree / "absolute").symlink_to(tmp_path / "outside")
    (tree / "good").symlink_to("/etc")
    (tree / "dangling").symlink_to("/run/made/here")
    descriptor = os.open(tree, os.O_PATH)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("path", ["up/secret", "absolute/secret", "../outside/secret", "etc/../../outside/secret"])
def test_reading_outside_finds_nothing(root: int, path: str):
    with pytest.raises(FileNotFoundError):
        beneath.read(root, path)


def test_links_are_followed_as_from_inside_or_refused(root: int):
    assert beneath.read(root, "/good/file") == b"inside"
    with pytest.raises(OSError) as caught:
        beneath.read(root, "/good/file", follow=False)
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("path", ["up/x", "absolute/x"])
def test_writing_through_a_link_stays_inside_or_fails(root: int, tmp_path: Path, path: str):
    with pytest.raises(OSError):
        beneath.replace(root, path, b"evil")
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_replace_takes_the_place_of_a_link(root: int, tmp_path: Path):
    (tmp_path / "tree/link").symlink_to("etc/file")
    beneath.replace(root, "link", b"new", 0o600)
    assert (tmp_path / "tree/link").read_text() == "new" and not (tmp_path / "tree/link").is_symlink()
    assert (tmp_path / "tree/etc/file").read_text() == "inside"
    assert sorted(os.listdir(tmp_path / "tree")) == ["absolute", "dangling", "etc", "good", "link", "up"]


def test_missing_folders_are_made_one_by_one(root: int, tmp_path: Path):
    os.close(beneath.open_folder(root, "/good/a/b", make=0o750))
    assert (tmp_path / "tree/etc/a/b").is_dir()
    with pytest.raises(OSError):
        beneath.open_folder(root, "x/../../y", make=0o750)
    with pytest.raises(NotADirectoryError):
        beneath.open_folder(root, "etc/file/x", make=0o750)


def test_a_target_behind_a_link_to_nothing_is_made_inside(root: int, tmp_path: Path):
    os.close(beneath.open_target(root, "dangling", folder=False))
    assert (tmp_path / "tree/run/made/here").is_file()
    with pytest.raises(IsADirectoryError):
        beneath.open_target(root, "etc", folder=False)


def test_only_regular_files_are_read(root: int, tmp_path: Path):
    os.mkfifo(tmp_path / "tree/fifo")
    with pytest.raises(OSError, match="not a regular file"):
        beneath.read(root, "fifo")


def test_status_is_of_the_link_itself(root: int):
    assert beneath.lstat(root, "good").st_size == len("/etc")
    assert beneath.lstat(root, "/").st_ino == os.fstat(root).st_ino
