from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stackup.builder.view import View
from stackup.engine import volumes
from stackup.engine.records import ContainerRecord, open_records
from stackup.engine.volumes import Needed, needed
from stackup.errors import Conflict, NotFound
from stackup.paths import Host, open_root
from stackup.planner.desired import Desired, DesiredVolume
from stackup.spec.model import Service, Volume, VolumeMount

ID = "c0ffee000001"


@pytest.fixture
def root(tmp_path: Path) -> Host:
    return open_root(str(tmp_path / "root"))


def service(*mounts: VolumeMount) -> Service:
    return Service(name="web", image="web", volumes=mounts)


def wish(external: bool = False) -> Desired:
    volume = Volume(name="data", external=external)
    return Desired(
        stack="shop", folder="/", file="/f",
        volumes={"data": DesiredVolume(key="data", name="shop_data", volume=volume)},
    )  # fmt: skip


def test_a_container_needs_its_named_volumes_its_anonymous_ones_and_its_images() -> None:
    mounts = (
        VolumeMount(type="volume", source="data", target="/data", nocopy=True),
        VolumeMount(type="volume", target="/scratch"),
        VolumeMount(type="bind", source="/srv", target="/srv"),
    )
    image = {"config": {"Volumes": {"/cache": {}, "/data": {}}}}
    named, scratch, cache = needed(service(*mounts), ID, image, {"data": "shop_data"})
    assert named == Needed("/data", "shop_data", copy=False)
    assert scratch.anonymous
    assert cache.anonymous
    assert (scratch.target, cache.target) == ("/scratch", "/cache")
    assert scratch.name.startswith(f"{ID}_")
    assert scratch.name != cache.name
    assert volumes.anonymous([named.name, scratch.name, cache.name], ID) == [scratch.name, cache.name]


def test_a_volume_that_nobody_declared_is_named_in_the_error() -> None:
    with pytest.raises(NotFound, match="volume data of service web"):
        needed(service(VolumeMount(type="volume", source="data", target="/data")), ID, {}, {})


def test_a_volume_is_made_once_and_keeps_its_content(root: Host) -> None:
    with open_records(root) as records:
        records.put_stack("shop", "/", "/f")
        volumes.create(root, records, wish(), "data")
        Path(root.volume("shop_data"), "kept").write_text("")
        volumes.create(root, records, wish(), "data")
        assert os.listdir(root.volume("shop_data")) == ["kept"]
        assert [v.name for v in records.volumes("shop")] == ["shop_data"]
        volumes.remove_files(root, "shop_data")
        volumes.forget(records, "shop_data")
        volumes.remove_files(root, "shop_data")
        assert records.volumes("shop") == ()
    assert os.listdir(root.path("volumes")) == os.listdir(root.tmp) == []


def test_a_name_that_is_another_stacks_is_refused(root: Host) -> None:
    with open_records(root) as records:
        for stack in ("shop", "other"):
            records.put_stack(stack, "/", "/f")
        volumes.create(root, records, replace(wish(), stack="other"), "data")
        with pytest.raises(Conflict, match="volume shop_data belongs to stack other"):
            volumes.create(root, records, wish(), "data")


def test_an_external_volume_is_used_and_never_made(root: Host) -> None:
    with open_records(root) as records:
        with pytest.raises(NotFound, match="external volume shop_data does not exist"):
            volumes.create(root, records, wish(external=True), "data")
        os.mkdir(root.volume("shop_data"))
        volumes.create(root, records, wish(external=True), "data")
        assert records.volumes() == ()


def test_a_volume_in_use_is_refused_with_the_users_names(root: Host) -> None:
    with open_records(root) as records:
        records.put_stack("shop", "/", "/f")
        records.add_generation(wish())
        mount = VolumeMount(type="volume", source="data", target="/data")
        records.add_container(
            ContainerRecord(
                id=ID, stack="shop", service_name="web", number=2, digest="sha256:1", service=service(mount)
            )
        )
        with pytest.raises(Conflict, match="in use by shop service:web/2"):
            volumes.refuse_in_use(records, "shop_data")
        volumes.refuse_in_use(records, "other")


def settled(root: Host, view: View, target: str = "/data", *, copy: bool = True) -> Path:
    one = Needed(target, "fresh", copy=copy)
    volumes.make_folder(root, "fresh")
    assert volumes._ensure(root, one)
    volumes.settle(root, one, view)
    assert not volumes._ensure(root, one)
    assert os.listdir(root.tmp) == []
    return Path(root.volume("fresh"))


def test_a_fresh_volume_takes_the_images_folder_and_only_once(root: Host, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "data/sub").mkdir(parents=True)
    (tree / "data/sub/file").write_text("content")
    (tree / "data/link").symlink_to("/etc/passwd")
    (tree / "data").chmod(0o1770)
    os.link(tree / "data/sub/file", tree / "data/again")
    os.utime(tree / "data", (1, 1))
    volume = settled(root, View([str(tree)]))
    assert (volume / "sub/file").read_text() == "content"
    assert os.readlink(volume / "link") == "/etc/passwd"
    assert (volume / "again").stat().st_ino == (volume / "sub/file").stat().st_ino
    assert volume.stat().st_mode & 0o7777 == 0o1770
    assert volume.stat().st_mtime == 1


def test_nocopy_and_an_image_without_the_folder_leave_it_empty(root: Host, tmp_path: Path) -> None:
    (tmp_path / "tree/data").mkdir(parents=True)
    (tmp_path / "tree/data/file").write_text("")
    view = View([str(tmp_path / "tree")])
    assert os.listdir(settled(root, view, copy=False)) == []
    volumes.remove_files(root, "fresh")
    assert os.listdir(settled(root, view, "/elsewhere")) == []


def test_links_of_a_hostile_image_lead_nowhere_outside_of_it(root: Host, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data").symlink_to(secret)
    (tree / "up").symlink_to("../../../../" + str(secret))
    for target in ("/data", "/up"):
        assert os.listdir(settled(root, View([str(tree)]), target)) == []
        volumes.remove_files(root, "fresh")


def test_a_link_inside_the_image_is_followed(root: Host, tmp_path: Path) -> None:
    (tmp_path / "tree/real").mkdir(parents=True)
    (tmp_path / "tree/real/file").write_text("")
    (tmp_path / "tree/data").symlink_to("/real")
    assert os.listdir(settled(root, View([str(tmp_path / "tree")]))) == ["file"]
