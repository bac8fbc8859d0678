from __future__ import annotations

import os
from pathlib import Path

from stackup import paths
from stackup.linux import features
from stackup.linux.features import Feature

from .testhost import TestHost


def test_this_machine_has_what_is_needed_and_probing_leaves_nothing(host: TestHost) -> None:
    root = paths.open_root(str(host.root))
    before = sorted(str(p) for p in Path(root.root).rglob("*"))
    found = host.call(features.probe, root)
    assert [f"{f.name}: {f.detail}" for f in found if f.needed and not f.present] == []
    assert len({f.name for f in found}) == len(found)
    assert all(f.detail and f.degrades and f.remedy for f in found)
    assert sorted(str(p) for p in Path(root.root).rglob("*")) == before


def _as_nobody(folder: str) -> tuple[tuple[Feature, ...], list[str]]:
    os.chdir(folder)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    os.environ["TMPDIR"] = folder
    import tempfile

    tempfile.tempdir = None
    return features.probe(), os.listdir(folder)


def test_a_user_is_told_what_is_missing_and_nothing_is_left(host: TestHost) -> None:
    folder = Path(f"/tmp/probe-{host.folder.name}-{os.getpid()}")
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    try:
        found, left = host.call(_as_nobody, str(folder))
    finally:
        folder.rmdir()
    assert left == []
    privileges = next(f for f in found if f.name == "privileges")
    assert not privileges.present
    assert privileges.remedy == "run stackup as root"
    assert not next(f for f in found if f.name == "id-mapped mounts").present
