"""Unpacking: the inverse of the canonical stream, and no way out of the tree for a hostile one."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackup.builder import changeset
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node, write
from stackup.builder.unpack import unpack
from stackup.errors import Damaged

from .builder_helpers import listing

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda n: n not in (".", "..") and not n.startswith(".wh.") and len(os.fsencode(n)) < 200
)


def nodes() -> st.SearchStrategy[Node]:
    files = st.builds(Node, st.just("file"), st.sampled_from((0o644, 0o755, 0o4755)), content=st.binary(max_size=1100))
    links = st.builds(Node, st.just("link"), content=NAMES)
    return st.recursive(
        st.one_of(files, links),
        lambda children: st.builds(
            Node,
            st.just("folder"),
            st.sampled_from((0o755, 0o1777, 0o700)),
            children=st.dictionaries(NAMES, children, max_size=4),
            attributes=st.dictionaries(st.sampled_from(("user.a", "user.b")), st.binary(max_size=300), max_size=2),
        ),
        max_leaves=8,
    )


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, nodes(), max_size=4))
def test_unpacking_the_canonical_stream_gives_the_tree_again(children: dict[str, Node]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        first, second = f"{name}/1", f"{name}/2"
        written = write(Draft(Node("folder", children=children)), first, Ids.mine())
        data = b"".join(changeset.stream(first))
        assert unpack(io.BytesIO(data), second) == written
        assert changeset.digest_tree(second) == written


def test_whiteouts_opaque_folders_and_hard_links_come_back(tmp_path: Path) -> None:
    one = tmp_path / "one"
    (one / "d").mkdir(parents=True)
    (one / "d").chmod(0o755)
    one.chmod(0o755)
    os.mknod(one / "d/gone", stat.S_IFCHR, 0)
    os.setxattr(one / "d", "user.overlay.opaque", b"y")
    (one / "a").write_text("x")
    os.link(one / "a", one / "b")
    for path in (one / "d/gone", one / "d", one / "a", one):
        os.utime(path, (changeset.DEFAULT_EPOCH,) * 2, follow_symlinks=False)
    found = changeset.digest_tree(str(one))
    unpacked = unpack(io.BytesIO(b"".join(changeset.stream(str(one)))), str(tmp_path / "two"))
    assert unpacked == found == changeset.digest_tree(str(tmp_path / "two"))
    assert (tmp_path / "two/a").stat().st_ino == (tmp_path / "two/b").stat().st_ino


def tar(*members: tuple[str, bytes, dict[str, Any]]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, more in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            content = more.pop("content", b"")
            for key, value in more.items():
                setattr(info, key, value)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


LINK = ("out", tarfile.SYMTYPE, {"linkname": "/etc"})
FILE = {"content": b"evil"}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("../evil", tarfile.REGTYPE, FILE)], "leads out"),
        ([("a/../../evil", tarfile.REGTYPE, FILE)], "leads out"),
        ([LINK, ("out/evil", tarfile.REGTYPE, FILE)], "leads through out, which is no folder"),
        ([LINK, ("out/evil", tarfile.DIRTYPE, {})], "leads through out, which is no folder"),
        ([LINK, ("out/.wh.passwd", tarfile.REGTYPE, {})], "leads through out"),
        ([LINK, ("hard", tarfile.LNKTYPE, {"linkname": "out/passwd"})], "leads through out"),
        ([("hard", tarfile.LNKTYPE, {"linkname": "/etc/passwd"})], "leads through etc"),
        ([("hard", tarfile.LNKTYPE, {"linkname": "../../etc/passwd"})], "leads out"),
        ([("hard", tarfile.LNKTYPE, {"linkname": "none"})], "which is not in the layer"),
        ([("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3})], "is a device"),
        ([("gone", tarfile.CHRTYPE, {})], "is a device"),
        ([("d", tarfile.DIRTYPE, {"pax_headers": {"SCHILY.xattr.user.overlay.redirect": "/x"}})], "mark for overlay"),
        ([("d", tarfile.DIRTYPE, {"pax_headers": {"SCHILY.xattr.trusted.overlay.opaque": "y"}})], "mark for overlay"),
        ([(".wh..", tarfile.REGTYPE, {})], "whiteout of nothing"),
        ([("d/x", tarfile.REGTYPE, FILE), ("d", tarfile.REGTYPE, FILE)], "as a folder and as something else"),
    ],
)
def test_hostile_streams_are_refused(tmp_path: Path, members: Any, said: str) -> None:
    inside = tmp_path / "deep" / "layer"
    inside.parent.mkdir()
    with pytest.raises(Damaged, match=said):
        unpack(tar(*[(n, k, dict(m)) for n, k, m in members]), str(inside))
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    assert [p.name for p in inside.parent.iterdir()] == ["layer"]


def test_absolute_names_land_in_the_tree_and_missing_folders_are_made(tmp_path: Path) -> None:
    unpack(tar(("/etc/x", tarfile.REGTYPE, {"content": b"1"}), ("./etc/x", tarfile.REGTYPE, {"content": b"2"})),
           str(tmp_path / "t"))  # fmt: skip
    assert list(listing(tmp_path / "t").values())[1].endswith("2")
    assert (tmp_path / "t/etc").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("cut", [100, 700, 1100])
def test_a_stream_that_ends_early_is_damaged(tmp_path: Path, cut: int) -> None:
    data = tar(("a", tarfile.REGTYPE, {"content": b"x" * 1000})).getvalue()
    with pytest.raises(Damaged):
        unpack(io.BytesIO(data[:cut]), str(tmp_path / "t"))


def test_rubbish_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        unpack(io.BytesIO(b"rubbish" * 200), str(tmp_path / "t"))
