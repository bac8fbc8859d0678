"""The store: names, removal, use, collection; mounts as values."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from stackup import oci
from stackup.builder import snapshotter
from stackup.builder.store import blobs, gc, images, trees
from stackup.builder.store.graph import open_graph
from stackup.errors import BadInput, Conflict, Damaged, NotFound, StackupError
from stackup.events import Event, Warned
from stackup.paths import Host
from stackup.spec.layers import File

from .builder_helpers import Events, build, image, make_host, stack

A, B = File(target="/a", content="a" * 100), File(target="/b", content="b" * 10)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


def test_an_image_is_found_by_name_digest_and_prefix(host: Host, tmp_path: Path) -> None:
    digest = build(host, stack(tmp_path, web=(A, B)))["web"]
    for reference in ("shop/web", digest, digest[7:], digest[7:19], digest[:30]):
        assert images.resolve(host, reference) == digest
    for reference in ("web", digest[7:15], "0" * 64, "shop/web2"):
        assert images.resolve(host, reference) is None
    assert images.resolve(None, "shop/web") is None
    found = images.image(host, digest)
    assert (found.names, found.size, [h.size for h in found.history]) == (("shop/web",), 110, [100, 10])
    assert found.config["rootfs"]["diff_ids"] == list(found.diff_ids)
    with pytest.raises(NotFound):
        images.image(host, "sha256:" + "0" * 64)


def test_a_prefix_of_several_images_is_an_error(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackup.builder.store.graph.Graph.find_images", lambda self, prefix: ["a", "b"])
    with pytest.raises(BadInput, match="fits 2 images"):
        images.resolve(host, "a" * 12)


def test_manifest_and_config_are_oci_documents(host: Host, tmp_path: Path) -> None:
    import json

    digest = build(host, stack(tmp_path, web=(A,)))["web"]
    manifest = json.loads(blobs.get(host, digest))
    assert manifest["mediaType"] == oci.MANIFEST
    config = json.loads(blobs.get(host, manifest["config"]["digest"]))
    assert (config["os"], config["created"]) == ("linux", "1980-01-01T00:00:00Z")
    layer = manifest["layers"][0]
    assert layer["digest"] == config["rootfs"]["diff_ids"][0]
    assert layer["size"] == sum(len(p) for p in trees_stream(host, layer["digest"]))


def trees_stream(host: Host, diff_id: str) -> list[bytes]:
    from stackup.builder import changeset

    return list(changeset.stream(trees.path(host, diff_id)))


def test_removing_the_last_name_takes_the_image_and_what_only_it_had(host: Host, tmp_path: Path) -> None:
    digests = build(host, stack(tmp_path, base=(A,), web=image("web", B, base="base")))
    assert images.remove(host, "shop/web") == ("untagged shop/web", f"deleted {digests['web']}")
    assert [i.digest for i in images.list_images(host)] == [digests["base"]]
    assert len(os.listdir(host.trees)) == 1
    assert len(os.listdir(host.path("store/blobs/sha256"))) == 2
    with pytest.raises(NotFound):
        images.remove(host, "shop/web")


def test_an_image_in_use_stays(host: Host, tmp_path: Path) -> None:
    digest = build(host, stack(tmp_path, web=(A,)))["web"]
    diff_id = images.image(host, digest).diff_ids[0]
    images.mark_used(host, "c0ffee", digest)
    with pytest.raises(Conflict, match="used by container c0ffee"):
        images.remove(host, "shop/web")
    assert images.remove(host, "shop/web", force=True) == ("untagged shop/web",)
    assert gc.collect(host).images == ()
    assert images.image(host, digest).used_by == ("c0ffee",)
    images.unmark_used(host, "c0ffee")
    images.unmark_used(host, "c0ffee")
    assert gc.collect(host) == gc.Collected((digest,), (diff_id,), 100)
    assert os.listdir(host.trees) == os.listdir(host.path("store/blobs/sha256")) == []


def test_a_rebuilt_image_leaves_its_old_self_to_the_collector(host: Host, tmp_path: Path) -> None:
    old = build(host, stack(tmp_path, web=(A,)))["web"]
    new = build(host, stack(tmp_path, web=(B,)))["web"]
    assert [i.digest for i in images.list_images(host)] == [new]
    found = gc.collect(host)
    assert (found.images, found.size) == ((old,), 100)
    assert build(host, stack(tmp_path, web=(A,)))["web"] == old


def test_an_orphaned_tree_is_replaced_and_collected(host: Host, tmp_path: Path) -> None:
    digest = build(host, stack(tmp_path, web=(A,)))["web"]
    diff_id = images.image(host, digest).diff_ids[0]
    images.remove(host, "shop/web")
    os.mkdir(trees.path(host, diff_id))  # a crash between rename and commit, then a power cut
    build(host, stack(tmp_path, web=(A,)))
    assert (Path(trees.path(host, diff_id)) / "a").read_text() == "a" * 100
    os.mkdir(os.path.join(host.trees, "0" * 64))
    gc.collect(host)
    assert os.listdir(host.trees) == [diff_id[7:]]


def test_layers_that_a_power_cut_took_are_made_again(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = stack(tmp_path, web=(A,), other=(B,))
    digests = build(host, wanted)
    diff_id = images.image(host, digests["web"]).diff_ids[0]
    os.truncate(os.path.join(trees.path(host, diff_id), "a"), 0)
    events = Events()
    assert build(host, wanted, report=events) == digests and not events.texts("warned")
    monkeypatch.setattr(trees, "boot_id", lambda host: "another boot")
    assert build(host, wanted, report=events) == digests
    assert [t[:6] for t in events.texts("warned")] == [" layer"]
    assert os.path.getsize(os.path.join(trees.path(host, diff_id), "a")) == 100
    with open_graph(host) as graph:
        assert graph.unverified("another boot") == []


def test_a_damaged_blob_is_not_believed(host: Host) -> None:
    digest = blobs.put(host, b"hello")
    assert blobs.get(host, digest) == b"hello"
    Path(blobs.path(host, digest)).write_bytes(b"hallo")
    with pytest.raises(Damaged):
        blobs.get(host, digest)
    with pytest.raises(NotFound):
        blobs.get(host, "sha256:" + "0" * 64)


# mounts

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_an_overlay_lists_the_topmost_layer_first(tmp_path: Path) -> None:
    host = Host("/r", "abc")
    (mount,) = snapshotter.mounts(host, (ONE, TWO), "/u", "/w")
    layers = f"lowerdir=/r/store/trees/{TWO[7:]}:/r/store/trees/{ONE[7:]}"
    assert mount == oci.Mount("overlay", "overlay", "/", (layers, "upperdir=/u", "workdir=/w", "userxattr"))


def test_a_layer_that_occurs_twice_is_mounted_once_at_its_highest_place() -> None:
    assert [f[-1] for f in snapshotter.lower_folders(Host("/r", "a"), (ONE, TWO, ONE))] == ["1", "2"]


def test_without_upper_the_mount_is_read_only() -> None:
    host = Host("/r:\\", "a")
    assert snapshotter.mounts(host, (ONE,), None, None)[0].type == "bind"
    (mount,) = snapshotter.mounts(host, (ONE, TWO), None, None)
    assert mount.options[0].startswith("lowerdir=/r\\:\\\\/store") and mount.options[1:] == ("userxattr", "ro")


def test_no_layers_and_too_many_are_errors() -> None:
    host = Host("/r", "a")
    with pytest.raises(StackupError, match="no layers"):
        snapshotter.mounts(host, (), "/u", "/w")
    many = tuple("sha256:" + f"{n:064x}" for n in range(501))
    with pytest.raises(StackupError, match="501 different layers, the kernel stacks 500"):
        snapshotter.mounts(host, many, "/u", "/w")


def test_the_upper_folder_looks_like_the_images_root(host: Host, tmp_path: Path) -> None:
    folder = Path(trees.path(host, ONE))
    folder.mkdir()
    folder.chmod(0o711)
    snapshotter.prepare(host, (ONE,), str(tmp_path / "u"), str(tmp_path / "w"))
    assert (tmp_path / "u").stat().st_mode & 0o777 == 0o711


def test_removing_an_image_says_that_it_waits_for_a_build(host: Host, tmp_path: Path) -> None:
    digest = build(host, stack(tmp_path, web=(A,)))["web"]
    held, said, warnings = threading.Event(), threading.Event(), []

    def builds() -> None:
        with trees.adding(host):
            held.set()
            assert said.wait(30)

    def report(event: Event) -> None:
        warnings.append(event)
        said.set()

    builder = threading.Thread(target=builds)
    builder.start()
    assert held.wait(30)
    assert images.remove(host, "shop/web", report=report) == ("untagged shop/web", f"deleted {digest}")
    builder.join()
    assert warnings == [Warned("", "waiting for a build to end before layers are removed")]


def test_collecting_while_others_build_takes_nothing_they_need(host: Host, tmp_path: Path) -> None:
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            try:
                for round_ in range(8):
                    wanted = stack(tmp_path, **{f"i{number}": (A, File(target="/n", content=f"{number}.{round_}"))})
                    digest = build(host, wanted)[f"i{number}"]
                    assert all(os.path.isdir(trees.path(host, d)) for d in images.image(host, digest).diff_ids)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for _ in range(12):
        gc.collect(host)
    assert [os.waitpid(c, 0)[1] for c in children] == [0, 0]
    gc.collect(host)
    assert len(images.list_images(host)) == 2 and len(os.listdir(host.trees)) == 3
    assert os.listdir(host.tmp) == []


def test_several_first_openers_make_one_database(tmp_path: Path) -> None:
    for number in range(12):
        host = make_host(tmp_path / str(number))
        children = []
        for _ in range(4):
            child = os.fork()
            if child == 0:
                try:
                    images.list_images(host)
                    open_graph(host).db.close()
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        assert [os.waitpid(c, 0)[1] for c in children] == [0] * 4
