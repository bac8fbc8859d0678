"""A bundle's mounts as values: what is prepared outside, what is done inside and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackup.errors import StackupError
from stackup.linux import syscalls
from stackup.runtime import devices, init, mounts, rootfs
from stackup.runtime.mounts import At, Bind, BindRoot, Filesystem, OverlayRoot, Tree
from stackup.runtime.namespaces import Mapping

MAP = Mapping(((0, 100000, 65536),), ((0, 100000, 65536),))
OCI = [{"containerID": 0, "hostID": 100000, "size": 65536}]
ONE = [{"containerID": 1000, "hostID": 100000, "size": 1}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("store/trees/a", "store/trees/b", "containers/c/etc", "volumes/data", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "containers/c/etc/hosts").touch()
    return tmp_path


def overlay(folder: Path) -> dict:
    options = [
        f"lowerdir={folder}/store/trees/b:{folder}/store/trees/a",
        f"upperdir={folder}/containers/c/upper",
        f"workdir={folder}/containers/c/work",
        "userxattr",
    ]
    return {"type": "overlay", "source": "overlay", "destination": "/", "options": options}


def bind(source: Path, target: str, *options: str, **more) -> dict:
    return {"type": "bind", "source": str(source), "destination": target, "options": ["rbind", *options], **more}


def plan(folder: Path, *listed: dict) -> mounts.Plan:
    return mounts.plan({"root": {"path": "rootfs"}, "mounts": list(listed)}, [overlay(folder)], "/", MAP)


def test_layers_upper_and_files_share_one_prepared_tree(folder: Path):
    hosts = bind(folder / "containers/c/etc/hosts", "/etc/hosts", "idmap", uidMappings=OCI, gidMappings=OCI)
    made = plan(folder, hosts)
    assert made.trees == (Tree(str(folder), MAP),)
    assert made.operations == (
        OverlayRoot(
            (At(0, "store/trees/b"), At(0, "store/trees/a")),
            At(0, "containers/c/upper"),
            At(0, "containers/c/work"),
            ("userxattr",),
        ),
        Bind(str(folder / "containers/c/etc/hosts"), At(0, "containers/c/etc/hosts"), "/etc/hosts"),
    )
    assert (folder / "containers/c/upper").is_dir()


def test_a_volume_and_an_outside_folder_get_trees_with_maps_of_their_own(folder: Path):
    data = bind(folder / "volumes/data", "/data", "idmap", "ro", uidMappings=OCI, gidMappings=OCI)
    outside = bind(folder / "outside", "/out", "idmap", uidMappings=ONE, gidMappings=ONE)
    plain = bind(folder / "outside", "/plain")
    one = Mapping(((1000, 100000, 1),), ((1000, 100000, 1),))
    assert plan(folder, data, outside, plain).trees[1:] == (
        Tree(str(folder / "volumes/data"), MAP, True, syscalls.MOUNT_ATTR_RDONLY),
        Tree(str(folder / "outside"), one, True),
        Tree(str(folder / "outside"), None, True),
    )


def test_without_mounts_the_root_is_the_bundles_folder_as_it_stands():
    made = mounts.plan({"root": {"path": "rootfs"}}, [], "/bundle", MAP)
    assert made.trees == (Tree("/bundle/rootfs", None, True),)
    assert made.operations == (BindRoot(0, "/bundle/rootfs"),)


def test_attributes_are_told_from_a_file_systems_own_options(folder: Path):
    shm = {
        "type": "tmpfs",
        "source": "shm",
        "destination": "/dev/shm",
        "options": ["nosuid", "ro", "size=1m", "rprivate"],
    }
    attributes = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_RDONLY
    assert plan(folder, shm).operations[1] == Filesystem("tmpfs", "/dev/shm", attributes, ("size=1m",))


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"type": "nfs", "source": "x", "destination": "/n"}, "mount nfs on /n: this type is not supported"),
        ({"type": "tmpfs", "source": "x", "destination": "/"}, "only the root file system is mounted on /"),
        ({"type": "tmpfs", "source": "x", "destination": "/t", "options": ["rshared"]}, "propagation rshared"),
        ({"type": "bind", "source": "/etc", "destination": "/t", "options": ["wat"]}, "option wat is not known"),
    ],
)
def test_what_is_not_understood_is_refused(folder: Path, mount: dict, message: str):
    with pytest.raises(StackupError, match=message):
        plan(folder, mount)


def test_operations_describe_themselves(folder: Path):
    proc = {"type": "proc", "source": "proc", "destination": "/proc"}
    made = plan(folder, proc, bind(folder / "outside", "/out"))
    assert [operation.describe() for operation in made.operations] == [
        "mount overlay on /", "mount proc on /proc", f"bind {folder}/outside on /out",
    ]  # fmt: skip


def test_devices_fill_only_a_dev_of_ours():
    ours = {"mounts": [{"type": "tmpfs", "destination": "/dev"}]}
    assert [o.describe() for o in devices.operations(ours)] == ["bind devices", "make links in /dev"]
    assert devices.operations({"mounts": []}) == ()


def test_settings_come_before_what_they_are_written_to_is_protected():
    spec = {
        "root": {"readonly": True},
        "linux": {"sysctl": {"net.x": "1"}, "maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"]},
    }
    assert [o.describe() for o in rootfs.operations(spec)] == [
        "set net.x=1", "mask paths", "make paths read-only", "make / read-only",
    ]  # fmt: skip


def test_the_childs_steps_keep_the_order_that_the_kernel_needs():
    names = [name for name, _ in init.CREATE]
    order = (
        "close descriptors", "join the control group", "make the control group namespace", "mount",
        "enter the root file system", "start a session", "look up the user", "change user", "wait for the start",
        "execute",
    )  # fmt: skip
    assert [n for n in names if n in order] == list(order)
    assert names[-1] == "execute"


def test_folders_of_an_overlay_may_have_colons_and_backslashes_in_their_names() -> None:
    assert mounts._lower_folders(r"/a\:b:/c\\d:/e") == ["/a:b", r"/c\d", "/e"]
