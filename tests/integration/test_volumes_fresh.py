"""What only root can make: owners, devices, whiteouts, attributes of an image's folder in a fresh volume."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from stackup.builder.view import View
from stackup.engine.volume_content import fill


def whiteout(path: Path) -> None:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(0, 0))


def test_layers_are_merged_and_owners_attributes_and_modes_kept(tmp_path: Path) -> None:
    low, high, volume = tmp_path / "low", tmp_path / "high", tmp_path / "volume"
    for tree in (low, high):
        (tree / "data").mkdir(parents=True)
    volume.mkdir()
    (low / "data/gone").write_text("")
    whiteout(high / "data/gone")
    (low / "data/both").write_text("low")
    (high / "data/both").write_text("high")
    (low / "data/hidden").mkdir()
    (low / "data/hidden/old").write_text("")
    (high / "data/hidden").mkdir()
    os.setxattr(high / "data/hidden", "user.overlay.opaque", b"y")
    setuid = low / "data/setuid"
    setuid.write_text("")
    os.setxattr(setuid, "user.note", b"kept")
    os.chown(setuid, 33, 44)
    os.chmod(setuid, 0o4755)
    os.mknod(low / "data/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mkfifo(low / "data/fifo")
    os.chown(high / "data", 1000, 1001)

    assert fill(View([str(high), str(low)]), "/data", str(volume))

    assert sorted(os.listdir(volume)) == ["both", "fifo", "hidden", "setuid"]
    assert (volume / "both").read_text() == "high"
    assert os.listdir(volume / "hidden") == os.listxattr(volume / "hidden") == []
    info = (volume / "setuid").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (33, 44, 0o4755)
    assert os.getxattr(volume / "setuid", "user.note") == b"kept"
    assert ((volume).stat().st_uid, volume.stat().st_gid) == (1000, 1001)
