"""Images made to break out: links, descriptors, interpreters, planted files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stackup.engine.mounts import Source

from .sandbox import Box, attack
from .testhost import TestHost

LOOK = """
answer["here"] = sorted(os.listdir("."))
answer["up"] = sorted(os.listdir("../../.."))
answer["cwd"] = os.readlink("/proc/self/cwd")
"""


def as_bystander(program: Path) -> str:
    """What `id -u` under this name prints for a user of the host who owns nothing."""
    ran = subprocess.run([program, "-u"], capture_output=True, text=True, user=65534, group=65534, extra_groups=[])
    return ran.stdout.strip()


@pytest.mark.parametrize("number", range(3, 12))
def test_a_working_directory_through_a_descriptor_of_ours_leads_nowhere(host: TestHost, number: int) -> None:
    """CVE-2024-21626: `WorkingDir: /proc/self/fd/N`, where N is a folder outside that the creator still holds."""
    got = attack(host, LOOK, Box(image={"WorkingDir": f"/proc/self/fd/{number}"}))
    if got.value is None:
        return  # refused
    assert "upper" not in got.value["here"] + got.value["up"], got.value
    assert "usr" in got.value["up"], got.value


def test_no_folder_is_made_outside_through_a_descriptor_of_ours(host: TestHost) -> None:
    for number in range(3, 12):
        attack(host, LOOK, Box(image={"WorkingDir": f"/proc/self/fd/{number}/planted"}))
        base = host.root / "trees-of-test"
        assert list(host.folder.rglob("planted")) == [] == list(base.glob("planted")), f"through descriptor {number}"
        subprocess.run(["rm", "-rf", str(base)], check=True)


def test_a_working_directory_that_is_a_link_stays_inside(host: TestHost) -> None:
    got = attack(host, LOOK, Box(image={"WorkingDir": "/away"}, files={"away": ("link", "../../../../../tmp/new")}))
    assert got.value is None or "upper" not in got.value["up"]
    assert not Path("/tmp/new").exists()


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_link_in_place_of_a_kernel_file_system_is_refused(host: TestHost, name: str) -> None:
    """CVE-2019-19921: what should be /proc would be mounted elsewhere, and its masks with it."""
    got = attack(host, LOOK, Box(files={name: ("link", "/tmp")}))
    assert got.value is None
    assert got.exit.code == 125
    assert "symbolic link" in got.output or "Too many levels" in got.output or "Not a directory" in got.output


def test_a_mount_target_that_is_a_link_stays_inside(host: TestHost, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    target = tmp_path / "elsewhere"
    target.mkdir()
    box = Box(sources={"/data": Source(str(tmp_path / "data"), (0, 0))}, files={"data": ("link", str(target))})
    got = attack(host, 'answer["real"] = os.path.realpath("/data")', box)
    assert os.listdir(target) == []
    assert got.value is None or got.value["real"] == str(target)


@pytest.mark.parametrize(
    "content",
    [("link", "/proc/1/environ"), ("link", "../../../../../../../etc/passwd-"), ("fifo", ""), ("link", "/dev/zero"),
     "root\0:::\n:\n" * 1000, "daemon:x:99999999999999999999:0::/:/\n"],
)  # fmt: skip
def test_users_are_looked_up_in_the_image_whatever_its_passwd_is(
    host: TestHost, content: str | tuple[str, str]
) -> None:
    """Neither the host's file answers, nor does anything wait or grow; `daemon` is in every host's own passwd."""
    box = Box(files={"etc/passwd": content, "etc/group": content}, service={"user": "daemon"})
    got = attack(host, 'answer["uid"] = os.getuid()', box)
    assert got.value is None
    assert got.exit.code == 125
    assert got.output, "a sentence says why"


def test_a_program_that_is_ours_again_cannot_be_written(host: TestHost) -> None:
    """CVE-2019-5736: an entry point of `/proc/self/exe` runs the creator's interpreter, then opens it for writing."""
    before = os.stat(os.path.realpath(sys.executable))
    script = 'answer["exe"] = attempt(os.open, "/proc/self/exe", os.O_WRONLY)'
    from .sandbox import PRELUDE

    argv = ("/proc/self/exe", "-I", "-S", "-c", f"{PRELUDE}\n{script}\nprint(json.dumps(answer))")
    got = attack(host, "", Box(argv=argv))
    after = os.stat(os.path.realpath(sys.executable))
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert got.value is None or got.value["exe"] in ("EACCES", "EROFS", "ETXTBSY"), got.output


def test_a_setuid_file_planted_in_a_bind_source_gives_its_owner_and_never_root(host: TestHost) -> None:
    """Container root is the folder's owner there; a bystander of the host runs what it left."""
    folder = Path(f"/tmp/planted-{os.getpid()}")
    folder.mkdir(mode=0o755)
    os.chown(folder, 1234, 1234)
    try:
        script = """
import shutil
for name in ("mine", "roots", "plains"):
    shutil.copy("/usr/bin/id", "/shared/" + name)
answer["root"] = attempt(os.chown, "/shared/roots", 0, 0)
answer["plain"] = attempt(os.chown, "/shared/plains", 1000, 1000)
for name in ("mine", "roots", "plains"):
    answer[name] = attempt(os.chmod, "/shared/" + name, 0o6755)
answer["device"] = attempt(os.mknod, "/shared/disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
"""
        got = attack(host, script, Box(sources={"/shared": Source(str(folder), (1234, 1234))})).value
        assert got["plain"] in ("EOVERFLOW", "EINVAL"), "an id that does not exist there"
        assert got["device"] == "EPERM"
        for file in folder.iterdir():
            assert file.stat().st_uid == file.stat().st_gid == 1234
            assert as_bystander(file) in ("1234", "65534")
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_setuid_files_of_the_container_itself_are_out_of_reach(host: TestHost) -> None:
    """On the disk they are host root's (ids are not shifted): the 0700 root keeps everybody out."""
    script = """
import shutil
shutil.copy("/usr/bin/id", "/tmp/id")
os.chmod("/tmp/id", 0o4755)
"""
    attack(host, script)
    planted = host.root / "trees-of-test/upper/tmp/id"
    assert planted.stat().st_uid == 0
    assert stat.S_IMODE(planted.stat().st_mode) == 0o4755
    assert stat.S_IMODE(host.root.stat().st_mode) == 0o700
    with pytest.raises(PermissionError):
        as_bystander(planted)


def test_what_the_container_writes_lies_on_disk_under_its_own_ids(host: TestHost) -> None:
    attack(host, 'os.mkdir("/tmp/mine"); os.chown("/tmp/mine", 1000, 1001)')
    info = (host.root / "trees-of-test/upper/tmp/mine").stat()
    assert (info.st_uid, info.st_gid) == (1000, 1001)
