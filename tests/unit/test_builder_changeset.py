"""The canonical stream: its bytes never change from machine to machine, and the tree is what unpacking it gives."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from stackup.builder import changeset
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node, write
from stackup.errors import StackupError

EPOCH = changeset.DEFAULT_EPOCH

# Of `golden()` below. It may only change together with cache.FORMAT: images that were built would be built again.
GOLDEN = "sha256:dd240c2a61294e7607eb9cc2ec26c54064ad01f181de23ca33d6f66af504d49d"


def golden() -> Draft:
    app = Node("folder", 0o750, children={
        "run.sh": Node("file", 0o755, content=b"#!/bin/sh\n"),
        "empty": Node("file", 0o600),
        "Z": Node("file", 0o644, content=b"z" * 513),
        "a" * 120: Node("file", 0o644, content=b"long name"),
        "grün": Node("file", 0o644, content=b"utf-8"),
        os.fsdecode(b"\xff\xfe"): Node("file", 0o644, content=b"no utf-8"),
        "link": Node("link", content="../" * 40 + "etc/motd"),
        "sub": Node("folder", 0o1777),
    })  # fmt: skip
    return Draft(Node("folder", children={"app": app, "bin": Node("link", content="usr/bin")}))


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, changeset.Digested]:
    return tmp_path / "tree", write(golden(), str(tmp_path / "tree"), Ids.mine())


def entries(folder: Path) -> dict[str, tarfile.TarInfo]:
    data = b"".join(changeset.stream(str(folder)))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        return {t.name: t for t in tar.getmembers()}


def test_a_known_tree_has_its_known_digest(written: tuple[Path, changeset.Digested]) -> None:
    assert written[1].diff_id == GOLDEN


def test_writing_a_draft_hashes_the_stream_that_walking_its_tree_gives(
    written: tuple[Path, changeset.Digested],
) -> None:
    assert changeset.digest_tree(str(written[0])) == written[1]
    data = b"".join(changeset.stream(str(written[0])))
    assert ("sha256:" + hashlib.sha256(data).hexdigest(), len(data)) == (written[1].diff_id, written[1].stream_size)


def test_the_stream_is_sorted_dated_and_readable_by_others(written: tuple[Path, changeset.Digested]) -> None:
    found = entries(written[0])
    names = list(found)
    assert names == sorted(names, key=lambda n: os.fsencode(n).replace(b"/", b"\0"))
    assert {t.mtime for t in found.values()} == {EPOCH}
    assert {(t.uid, t.gid, t.uname, t.gname) for t in found.values()} == {(0, 0, "", "")}
    assert found["app/run.sh"].mode == 0o755
    assert found["app/link"].linkname == "../" * 40 + "etc/motd"
    assert found["app/" + "a" * 120].size == 9
    assert os.fsdecode(b"app/\xff\xfe") in found


def test_times_are_set_on_the_tree_itself(written: tuple[Path, changeset.Digested]) -> None:
    times = {p.lstat().st_mtime_ns for p in [written[0], *written[0].rglob("*")]}
    assert times == {EPOCH * 10**9}


@pytest.mark.parametrize("name", ["a", "dir/file.txt", "x" * 100])
def test_plain_headers_are_those_of_tarfile(name: str) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid, info.size, info.mtime = 0o640, 7, 8, 12345, EPOCH
    ours = changeset.header(name, tarfile.REGTYPE, 0o640, (7, 8), 12345, "", None, EPOCH)
    assert ours == info.tobuf(tarfile.PAX_FORMAT)


def test_extended_headers_hold_what_does_not_fit() -> None:
    value = bytes(range(256))
    data = changeset.header("n", tarfile.REGTYPE, 0o644, (0, 0), 1 << 34, "", {"user.x": value}, EPOCH)
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        found = tar.next()
    assert found is not None
    assert found.size == 1 << 34
    assert os.fsencode(found.pax_headers["SCHILY.xattr.user.x"]) == value


def test_whiteouts_and_opaque_folders_become_those_of_oci(tmp_path: Path) -> None:
    folder = tmp_path / "layer"
    (folder / "d").mkdir(parents=True)
    os.mknod(folder / "gone", stat.S_IFCHR, 0)
    os.setxattr(folder / "d", "user.overlay.opaque", b"y")
    os.setxattr(folder / "d", "user.note", b"kept")
    found = entries(folder)
    assert list(found) == [".wh.gone", "d", "d/.wh..wh..opq"]
    assert found[".wh.gone"].isreg() and found[".wh.gone"].size == 0
    assert found["d"].pax_headers == {"SCHILY.xattr.user.note": "kept"}


def test_later_names_of_a_file_are_hard_links_to_the_first(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("content")
    os.link(tmp_path / "b", tmp_path / "a")
    os.link(tmp_path / "b", tmp_path / "c")
    found = entries(tmp_path)
    assert found["a"].isreg() and found["a"].size == 7
    assert [(found[n].islnk(), found[n].linkname) for n in "bc"] == [(True, "a")] * 2


def test_a_name_that_means_a_whiteout_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".wh.x").touch()
    with pytest.raises(StackupError, match=r"\.wh\."):
        changeset.digest_tree(str(tmp_path))


def test_a_root_folder_of_its_own_mode_is_an_entry(tmp_path: Path) -> None:
    plain, special = tmp_path / "plain", tmp_path / "special"
    write(Draft(), str(plain), Ids.mine())
    write(Draft(Node("folder", 0o700)), str(special), Ids.mine())
    assert list(entries(plain)) == []
    assert [t.mode for t in entries(special).values()] == [0o700]


def test_version_3_capabilities_of_root_are_version_2() -> None:
    two = bytes.fromhex("0100000200040000000000000000000000000000")
    three = bytes.fromhex("010000030004000000000000000000000000000000000000")
    assert changeset._plain_capability(three) == changeset._plain_capability(two) == two


def test_source_date_epoch_dates_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write(golden(), str(tmp_path / "t"), Ids.mine())
    assert {t.mtime for t in entries(tmp_path / "t").values()} == {1700000000}
