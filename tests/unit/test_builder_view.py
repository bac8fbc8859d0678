"""Looking into an image without mounting it gives what overlay would show."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackup.builder.changeset import Ids
from stackup.builder.view import View
from stackup.errors import BadInput, Damaged


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three layers, top first."""
    found = [tmp_path / name for name in ("top", "middle", "bottom")]
    for layer in found:
        (layer / "d").mkdir(parents=True)
    return found


def view(layers: list[Path]) -> View:
    return View([str(layer) for layer in layers])


def test_the_topmost_file_is_shown(layers: list[Path]) -> None:
    for layer in layers:
        (layer / "d/f").write_text(layer.name)
    assert view(layers).read("/d/f") == b"top"
    (layers[0] / "d/f").unlink()
    assert view(layers).read("d//f") == b"middle"


def test_a_folder_is_merged_down_to_an_opaque_one(layers: list[Path]) -> None:
    (layers[2] / "d/low").write_text("low")
    found = view(layers).lookup(("d",))
    assert found is not None and len(found.folders) == 3
    os.setxattr(layers[1] / "d", "user.overlay.opaque", b"y")
    found = view(layers).lookup(("d",))
    assert found is not None and len(found.folders) == 2
    assert view(layers).lookup(("d", "low")) is None


def test_whiteouts_and_files_hide_what_is_below(layers: list[Path]) -> None:
    (layers[2] / "gone").mkdir()
    (layers[2] / "gone/x").touch()
    os.mknod(layers[1] / "gone", stat.S_IFCHR, 0)
    assert view(layers).lookup(("gone",)) is None and view(layers).lookup(("gone", "x")) is None
    (layers[0] / "gone").mkdir()  # made again above: only its own content counts
    assert view(layers).lookup(("gone", "x")) is None
    (layers[1] / "f").touch()
    (layers[2] / "f").mkdir()
    (layers[2] / "f/x").touch()
    assert view(layers).lookup(("f", "x")) is None


def test_links_never_lead_out(layers: list[Path]) -> None:
    (layers[0] / "up").symlink_to("../../../../etc")
    (layers[1] / "abs").symlink_to("/d")
    (layers[2] / "d/f").write_text("inside")
    assert view(layers).resolve(("up", "x"), follow_last=True).parts == ("etc", "x")
    assert view(layers).read("/abs/f") == b"inside"
    assert view(layers).resolve(("abs",), follow_last=False).parts == ("abs",)
    missing = view(layers).resolve(("d", "new", "x"), follow_last=True)
    assert (missing.parts, missing.existing, missing.found) == (("d", "new", "x"), 1, None)


def test_circles_and_files_on_the_way_are_errors(layers: list[Path]) -> None:
    (layers[0] / "a").symlink_to("b")
    (layers[1] / "b").symlink_to("a")
    (layers[1] / "f").touch()
    with pytest.raises(BadInput, match="circle"):
        view(layers).resolve(("a",), follow_last=True)
    with pytest.raises(BadInput, match="/f is a file"):
        view(layers).resolve(("f", "x"), follow_last=True)


def test_nothing_is_in_an_image_without_layers() -> None:
    assert View([]).lookup(()) is None
    assert View([]).resolve(("a",), follow_last=True).existing == 0


def test_owners_beyond_the_images_range_are_damage() -> None:
    assert Ids(1000, 1000, 1).from_disk(1000, 1000) == (0, 0)
    for owner in ((65536, 0), (0, 1 << 31)):
        with pytest.raises(Damaged, match="no owner an image can have"):
            Ids().from_disk(*owner)
