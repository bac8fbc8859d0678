from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackup.engine import binds
from stackup.engine.mounts import Source
from stackup.errors import BadInput, Conflict, NotFound
from stackup.paths import Host, open_root
from stackup.spec.model import Service, VolumeMount


@pytest.fixture
def root(tmp_path: Path) -> Host:
    return open_root(str(tmp_path / "root"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def service(source: Path, *, create: bool = True) -> Service:
    mount = VolumeMount(type="bind", source=str(source), target="/data", create_host_path=create)
    return Service(name="web", image="web", volumes=(mount,))


def test_a_source_is_made_or_missed_as_the_file_says(root: Host, project: Path) -> None:
    wanted = project / "a/b"
    with pytest.raises(NotFound, match=r"services\.web\.volumes: bind source .* does not exist"):
        binds.resolve(root, service(wanted, create=False), str(project))
    assert binds.resolve(root, service(wanted), str(project)) == {"/data": str(wanted)}
    assert wanted.is_dir()
    assert binds.source(service(wanted), "/data", str(wanted)) == Source(str(wanted), (os.geteuid(), os.getegid()))
    wanted.rmdir()
    with pytest.raises(NotFound):
        binds.source(service(wanted), "/data", str(wanted))


def test_a_source_outside_of_the_project_may_be_reached_over_links(root: Host, project: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert binds.resolve(root, service(tmp_path / "link"), str(project)) == {"/data": str(tmp_path / "real")}
    assert binds.resolve(root, service(tmp_path / "link/new"), str(project)) == {"/data": str(tmp_path / "real/new")}
    assert (tmp_path / "real/new").is_dir()


def test_a_source_inside_of_the_project_does_not_lead_out_of_it(root: Host, project: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (project / "data").symlink_to(tmp_path / "secret")
    for source in (project / "data", project / "data/deeper"):
        with pytest.raises(BadInput, match="leads out of the project folder") as caught:
            binds.resolve(root, service(source), str(project))
        assert f"{tmp_path}/secret" in str(caught.value.hint)
    assert os.listdir(tmp_path / "secret") == []
    (project / "real").mkdir()
    (project / "inner").symlink_to("real")
    assert binds.resolve(root, service(project / "inner/new"), str(project)) == {"/data": str(project / "real/new")}


def test_a_project_folder_that_is_a_link_itself_is_fine(root: Host, project: Path, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(project)
    found = binds.resolve(root, service(tmp_path / "short/data"), str(tmp_path / "short"))
    assert found == {"/data": str(project / "data")}


def test_a_link_that_came_after_the_container_was_made_is_not_followed(root: Host, project: Path) -> None:
    (project / "up/data").mkdir(parents=True)
    real = str(project / "up/data")
    assert binds.source(service(project), "/data", real).path == real
    (project / "up/data").rmdir()
    (project / "up/data").symlink_to("/etc")
    with pytest.raises(Conflict, match="was replaced by a link"):
        binds.source(service(project), "/data", real)
    (project / "up/data").unlink()
    (project / "up").rename(project / "old")
    (project / "up").symlink_to("/")
    with pytest.raises(Conflict, match="was replaced by a link"):
        binds.source(service(project), "/data", real)


def test_our_own_root_is_never_bound_also_not_through_a_link(root: Host, project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.root)
    for path in (Path(root.root), Path(root.path("store")), tmp_path / "link/store"):
        with pytest.raises(BadInput, match="lies in stackup's own root"):
            binds.resolve(root, service(path), str(project))


def test_what_was_resolved_is_kept_beside_the_container(root: Host) -> None:
    os.mkdir(root.container("c0ffee000001"))
    assert binds.kept(root, "c0ffee000001") == {}
    binds.keep(root, "c0ffee000001", {"/data": "/srv/data"})
    assert binds.kept(root, "c0ffee000001") == {"/data": "/srv/data"}
