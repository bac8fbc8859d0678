"""What the runtime promises of a container, on the real kernel."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from stackup.errors import KernelError, NotFound, StackupError
from stackup.linux import syscalls
from stackup.oci import Mount
from stackup.runtime import container
from stackup.runtime.cgroups.driver import CgroupJoin
from stackup.runtime.process import Stdio

from . import bundles
from .testhost import TestHost, eventually

_NS_GET_USERNS = 0xB701
BASE = bundles.IDS.base


@contextlib.contextmanager
def sleeping(folder: Path, name="c", **options):
    made = container.create(
        bundles.spec("sleep", "1000"), container_id=name, rootfs=bundles.overlay(folder, name), **options
    )
    made.start()
    try:
        yield made
    finally:
        made.delete()


def test_every_namespace_is_born_in_the_containers_own_user_namespace(host: TestHost, tmp_path: Path):
    def check():
        with sleeping(tmp_path) as made:
            user = os.fstat(made.open_namespace("user")).st_ino
            assert user != os.stat("/proc/self/ns/user").st_ino
            for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
                descriptor = made.open_namespace(name)
                assert os.fstat(descriptor).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino, name
                owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
                assert os.fstat(owner).st_ino == user, name

    host.call(check)


def test_files_lie_on_disk_under_the_containers_own_ids(host: TestHost, tmp_path: Path):
    def check():
        script = "touch /mine; stat -c %u:%g /mine /bin/busybox"
        assert bundles.output(bundles.spec("sh", "-c", script), bundles.overlay(tmp_path))[0] == "0:0\n0:0\n"
        wide = bundles.spec("sh", "-c", "touch /tmp/his; stat -c %u:%g /tmp/his", user="www")
        os.chmod(tmp_path / "trees/0/tmp", 0o1777)
        assert bundles.output(wide, bundles.overlay(tmp_path))[0] == "33:33\n"

    host.call(check)
    owners = {n: ((tmp_path / "c/upper" / n).stat().st_uid, (tmp_path / "c/upper" / n).stat().st_gid)
              for n in ("mine", "tmp/his")}  # fmt: skip
    assert owners == {"mine": (0, 0), "tmp/his": (33, 33)}


def test_the_program_has_no_descriptors_but_its_three(host: TestHost, tmp_path: Path):
    def check():
        for _ in range(5):
            os.set_inheritable(os.open("/", os.O_RDONLY), True)
        script = "n=0; while [ $n -lt 300 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done"
        listed = bundles.spec("sh", "-c", script)
        return bundles.output(listed, bundles.overlay(tmp_path))[0].split()

    assert host.call(check) == ["0", "1", "2"]


def test_the_host_is_out_of_sight(host: TestHost, tmp_path: Path):
    def check():
        mounts, _ = bundles.output(bundles.spec("cat", "/proc/mounts"), bundles.overlay(tmp_path))
        processes, _ = bundles.output(bundles.spec("sh", "-c", "echo /proc/[0-9]*"), bundles.overlay(tmp_path))
        return mounts, processes

    mounts, processes = host.call(check)
    assert {line.split()[1] for line in mounts.splitlines()} == {
        "/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys",
        *(f"/dev/{n}" for n in ("null", "zero", "full", "random", "urandom", "tty")),
    }  # fmt: skip
    assert processes == "/proc/1\n"


def test_masked_paths_are_empty_and_readonly_paths_refuse_writing(host: TestHost, tmp_path: Path):
    def check():
        bundle = bundles.spec(
            "sh", "-c", "cat /proc/timer_list; ls /sys/firmware; echo 1 > /proc/sys/kernel/ngroups_max",
            maskedPaths=["/proc/timer_list", "/sys/firmware", "/proc/nothing"], readonlyPaths=["/proc/sys"],
        )  # fmt: skip
        return bundles.output(bundle, bundles.overlay(tmp_path))[0]

    assert host.call(check) == "sh: can't create /proc/sys/kernel/ngroups_max: Read-only file system\n"


def test_settings_of_its_namespaces_are_made_before_they_are_protected(host: TestHost, tmp_path: Path):
    def check():
        bundle = bundles.spec(
            "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", readonlyPaths=["/proc/sys"],
            sysctl={"net.ipv4.ip_unprivileged_port_start": "7"},
        )  # fmt: skip
        return bundles.output(bundle, bundles.overlay(tmp_path))[0]

    assert host.call(check) == "7\n"


def test_a_readonly_root_refuses_writing_but_volumes_do_not(host: TestHost, tmp_path: Path):
    (tmp_path / "volume").mkdir()
    mount = _bind(tmp_path / "volume", "/data", uidMappings=bundles.IDS.oci(), gidMappings=bundles.IDS.oci())

    def check():
        bundle = bundles.spec("sh", "-c", "touch /data/x && touch /x", mounts=[mount])
        bundle["root"]["readonly"] = True
        return bundles.output(bundle, bundles.overlay(tmp_path))[0]

    assert host.call(check) == "touch: /x: Read-only file system\n"
    assert (tmp_path / "volume/x").stat().st_uid == 0


def _bind(source: Path, target: str, *options: str, **more) -> dict:
    chosen = ["rbind", "rprivate", *options, *(("idmap",) if more else ())]
    return {"type": "bind", "source": str(source), "destination": target, "options": chosen, **more}


def test_an_outside_folder_appears_as_root_owned_and_gives_nobody_else_a_name(host: TestHost, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "of-root").touch()
    os.chown(outside, 1000, 1000)
    one = [{"containerID": 1000, "hostID": BASE, "size": 1}]
    mount = _bind(outside, "/out", uidMappings=one, gidMappings=one)
    script = "touch /out/new; chmod 4755 /out/new; stat -c %u /out /out/new /out/of-root; chmod 4755 /out/of-root"

    def check():
        return bundles.output(bundles.spec("sh", "-c", script, mounts=[mount]), bundles.overlay(tmp_path))[0]

    said = host.call(check)
    assert said.startswith("0\n0\n65534\n")
    planted = (outside / "new").stat()
    assert (planted.st_uid, bool(planted.st_mode & stat.S_ISUID)) == (1000, True)  # its own user's, not root's
    assert not (outside / "of-root").stat().st_mode & stat.S_ISUID


def test_bound_files_are_made_where_missing_and_behind_links_inside_the_root(host: TestHost, tmp_path: Path):
    source = tmp_path / "resolv.conf"
    source.write_text("nameserver 10.0.0.1\n")
    rootfs = bundles.overlay(tmp_path)
    (tmp_path / "trees/0/etc/resolv.conf").symlink_to("/run/resolve/stub.conf")
    mounts = [_bind(source, "/etc/resolv.conf", "ro"), _bind(source, "/etc/deep/er", "ro")]

    def check():
        script = "cat /etc/resolv.conf /etc/deep/er; echo x > /etc/resolv.conf"
        return bundles.output(bundles.spec("sh", "-c", script, mounts=mounts), rootfs)[0]

    said = host.call(check)
    assert said.startswith("nameserver 10.0.0.1\n" * 2)
    assert "Read-only file system" in said
    assert (tmp_path / "c/upper/run/resolve/stub.conf").exists()


@pytest.mark.parametrize(("name", "target"), [("proc", "../../.."), ("dev", "/etc"), ("sys", "tmp")])
def test_a_link_in_place_of_a_kernel_file_system_is_refused(host: TestHost, tmp_path: Path, name: str, target: str):
    rootfs = bundles.overlay(tmp_path)
    (tmp_path / "trees/0" / name).symlink_to(target)

    def check():
        with pytest.raises(KernelError) as caught:
            bundles.output(bundles.spec("sh"), rootfs)
        return str(caught.value)

    assert f"on /{name}" in (said := host.call(check)) and "symbolic link" in said


def test_volume_targets_through_hostile_links_stay_inside(host: TestHost, tmp_path: Path):
    (tmp_path / "volume").mkdir()
    rootfs = bundles.overlay(tmp_path)
    (tmp_path / "trees/0/up").symlink_to("../../../../../../tmp")
    mount = _bind(tmp_path / "volume", "/up/v")
    before = sorted(os.listdir("/tmp"))

    def check():
        return bundles.output(bundles.spec("stat", "-c", "%F", "/tmp/v", mounts=[mount]), rootfs)[0]

    assert host.call(check) == "directory\n"
    assert "v" not in set(os.listdir("/tmp")) - set(before)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("www", "uid=33(www) gid=33(www) groups=40(extra) /var/www\n"),
        ("33", "uid=33(www) gid=33(www) groups=40(extra) /var/www\n"),
        ("1234", "uid=1234 gid=0(root) /\n"),
        ("1234:40", "uid=1234 gid=40(extra) /\n"),
        ("www:root", "uid=33(www) gid=0(root) /var/www\n"),
    ],
)
def test_user_by_name_by_number_and_with_group(host: TestHost, tmp_path: Path, user: str, said: str):
    def check():
        bundle = bundles.spec("sh", "-c", "echo $(id) $HOME", user=user)
        return bundles.output(bundle, bundles.overlay(tmp_path))[0]

    assert host.call(check) == said


def test_an_unknown_user_is_named(host: TestHost, tmp_path: Path):
    def check():
        with pytest.raises(StackupError, match="no user nobody"):
            bundles.output(bundles.spec("id", user="nobody"), bundles.overlay(tmp_path))

    host.call(check)


def test_exec_sees_the_same_namespaces_and_files(host: TestHost, tmp_path: Path):
    script = "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done"

    def check():
        with sleeping(tmp_path) as made:
            first = [os.readlink(f"/proc/{made.pid}/ns/{n}")
                     for n in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")]  # fmt: skip
            reading, writing = os.pipe()
            run = container.exec_in(
                made.pidfd, bundles.process("sh", "-c", script), stdio=Stdio(None, writing, writing), user="www"
            )
            os.close(writing)
            assert bundles.read_all(reading).split() == first
            assert run.wait() == container.Exit(0, None)

    host.call(check)


def test_exec_says_what_a_shell_would_say(host: TestHost, tmp_path: Path):
    def check():
        with sleeping(tmp_path) as made:
            with pytest.raises(NotFound, match="run nothing: the program is not in PATH"):
                container.exec_in(made.pidfd, bundles.process("nothing"))
            with pytest.raises(KernelError, match="run /etc/passwd: Permission denied"):
                container.exec_in(made.pidfd, bundles.process("/etc/passwd"))
            made.kill()
            made.wait()
            with pytest.raises(NotFound, match="the container has ended"):
                container.exec_in(made.pidfd, bundles.process("id"))

    host.call(check)


def test_exec_with_a_terminal(host: TestHost, tmp_path: Path):
    def check():
        with sleeping(tmp_path) as made:
            run = container.exec_in(made.pidfd, bundles.process("sh", "-c", "tty; read a; echo =$a", terminal=True))
            assert run.master is not None
            os.write(run.master, b"hello\n")
            run.wait()
            said = os.read(run.master, 1000).decode()
            run.close()
            return said

    assert sorted(host.call(check).split()) == ["/dev/pts/0", "=hello", "hello"]


def test_a_terminal_is_the_containers_console(host: TestHost, tmp_path: Path):
    def check():
        bundle = bundles.spec("sh", "-c", "tty; stat -c %t:%T /dev/console; stat -c %t:%T /dev/pts/0")
        bundle["process"]["terminal"] = True
        made = container.create(bundle, container_id="c", rootfs=bundles.overlay(tmp_path))
        made.start()
        made.wait()
        said = os.read(made.terminal, 1000).decode().split()
        made.delete()
        return said

    assert host.call(check) == ["/dev/pts/0", "88:0", "88:0"]


def test_what_the_child_could_not_do_is_said_by_name(host: TestHost, tmp_path: Path):
    def check():
        rootfs = bundles.overlay(tmp_path)
        gone = tuple(o.replace("trees/0", "trees/none") for o in rootfs[0].options)
        with pytest.raises(KernelError, match=r"^mount overlay on /: No such file or directory$"):
            bundles.output(bundles.spec("sh"), (Mount("overlay", "overlay", "/", gone),))
        missing = _bind(tmp_path / "missing", "/data")
        with pytest.raises(KernelError, match=f"^bind {tmp_path}/missing: No such file or directory$"):
            bundles.output(bundles.spec("sh", mounts=[missing]), rootfs)
        on_a_file = _bind(tmp_path, "/etc/passwd")
        with pytest.raises(KernelError, match=f"^bind {tmp_path} on /etc/passwd: .*Not a directory$"):
            bundles.output(bundles.spec("sh", mounts=[on_a_file]), rootfs)
        with pytest.raises(NotFound, match="run nothing: "):
            bundles.output(bundles.spec("nothing"), rootfs)
        return _children()

    assert host.call(check) == []


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_a_half_made_container_dies_with_its_creator(host: TestHost, tmp_path: Path):
    def check():
        reading, writing = os.pipe()
        creator = os.fork()
        if creator == 0:
            made = container.create(bundles.spec("sleep", "9"), container_id="c", rootfs=bundles.overlay(tmp_path))
            os.write(writing, str(made.pid).encode())
            signal.pause()
        pidfd = os.pidfd_open(pid := int(os.read(reading, 20)))
        os.kill(creator, signal.SIGKILL)
        os.waitpid(creator, 0)
        eventually(lambda: _ended(pidfd), message=f"{pid} lives")

    host.call(check)


def _ended(pidfd: int) -> bool:
    try:
        syscalls.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_started_container_outlives_its_creator(host: TestHost, tmp_path: Path):
    def check():
        reading, writing = os.pipe()
        creator = os.fork()
        if creator == 0:
            made = container.create(bundles.spec("sleep", "99"), container_id="c", rootfs=bundles.overlay(tmp_path))
            made.start()
            os.write(writing, str(made.pid).encode())
            signal.pause()
        pidfd = os.pidfd_open(int(os.read(reading, 20)))
        os.kill(creator, signal.SIGKILL)
        os.waitpid(creator, 0)
        time.sleep(0.05)
        alive = not _ended(pidfd)
        syscalls.pidfd_send_signal(pidfd, signal.SIGKILL)
        return alive

    assert host.call(check)


def test_exits_by_code_and_by_signal(host: TestHost, tmp_path: Path):
    def check():
        rootfs = bundles.overlay(tmp_path)
        ended = bundles.output(bundles.spec("sh", "-c", "exit 7"), rootfs)[1]
        with sleeping(tmp_path) as made:
            made.kill(signal.SIGKILL)
            return ended, made.wait()

    assert host.call(check) == (container.Exit(7, None), container.Exit(None, 9))


def test_more_layers_than_a_page_of_options_holds(host: TestHost, tmp_path: Path):
    def check():
        deep = tmp_path / ("a-long-name-for-a-folder-" * 3)
        deep.mkdir()
        for n in range(120):
            (deep / "trees" / f"{n}{'x' * 60}").mkdir(parents=True)
        bundles.tree(deep / "trees" / "base")
        lowers = [str(p) for p in sorted((deep / "trees").iterdir())]
        options = (f"lowerdir={':'.join(lowers)}", f"upperdir={deep}/upper", f"workdir={deep}/work", "userxattr")
        return bundles.output(bundles.spec("hostname"), (Mount("overlay", "overlay", "/", options),))[0]

    assert host.call(check) == "box\n"


def test_a_folder_as_it_stands_can_be_the_root(host: TestHost, tmp_path: Path):
    bundles.tree(tmp_path / "bundle/rootfs")
    for name in ("proc", "sys", "dev"):
        (tmp_path / "bundle/rootfs" / name).mkdir()

    def check():
        bundle = bundles.spec("stat", "-c", "%u", "/bin/busybox")
        plain = bundles.output(bundle, (), folder=str(tmp_path / "bundle"))[0]
        bind = (Mount("bind", str(tmp_path / "bundle/rootfs"), "/", ("ro",)),)
        mapped = bundles.output(bundle, bind)[0]
        refused = bundles.output(bundles.spec("touch", "/x"), bind)[0]
        return plain, mapped, refused

    assert host.call(check) == ("65534\n", "0\n", "touch: /x: Read-only file system\n")


def test_it_is_born_in_its_group_of_version_two(host: TestHost, tmp_path: Path):
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line]
    if not places:
        pytest.skip("needs a mounted cgroup v2 hierarchy")
    group = Path(places[0]) / "stackup/runtime-test"
    group.mkdir(parents=True)
    try:

        def check():
            with sleeping(tmp_path, cgroup=CgroupJoin(directory=str(group))) as made:
                return Path(f"/proc/{made.pid}/cgroup").read_text()

        said = host.call(check)
    finally:
        eventually(lambda: _removed(group), message=f"{group} stays")
    assert "0::/stackup/runtime-test\n" in said


def test_containers_can_share_namespaces(host: TestHost, tmp_path: Path):
    def check():
        shared = ("user", "net", "ipc")
        with sleeping(tmp_path, "a") as one, sleeping(tmp_path, "b", join=dict.fromkeys(shared, one.pidfd)) as other:
            names = (*shared, "mnt", "pid", "uts")
            of = [{n: os.readlink(f"/proc/{c.pid}/ns/{n}") for n in names} for c in (one, other)]
            return [n for n in names if of[0][n] == of[1][n]]

    assert host.call(check) == ["user", "net", "ipc"]


def test_it_is_in_its_control_group_before_it_does_anything(host: TestHost, tmp_path: Path):
    group = Path("/sys/fs/cgroup/pids/stackup/runtime-test")
    if not group.parent.parent.is_dir():
        pytest.skip("needs cgroup v1 with the pids controller")
    group.mkdir(parents=True)
    try:

        def check():
            join = CgroupJoin((str(group / "tasks"),))
            return bundles.output(bundles.spec("cat", "/proc/self/cgroup"), bundles.overlay(tmp_path), cgroup=join)[0]

        said = host.call(check)
    finally:
        eventually(lambda: _removed(group), message=f"{group} stays")
    assert ":pids:/\n" in said  # the root of its own control group namespace


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def test_new_user_namespaces_and_mounts_are_refused_inside(host: TestHost, tmp_path: Path):
    def check():
        script = "busybox unshare -U true; busybox mount -t tmpfs none /tmp"
        return bundles.output(bundles.spec("sh", "-c", script), bundles.overlay(tmp_path))[0]

    assert host.call(check).count("Operation not permitted") + host.call(check).count("permission denied") >= 2


def test_nothing_is_left_of_a_container(host: TestHost, tmp_path: Path):
    def check():
        before = set(os.listdir("/proc/self/fd"))
        mounts = Path("/proc/self/mountinfo").read_text()
        bundles.output(bundles.spec("id"), bundles.overlay(tmp_path))
        with pytest.raises(NotFound):
            bundles.output(bundles.spec("nothing"), bundles.overlay(tmp_path))
        assert set(os.listdir("/proc/self/fd")) == before
        assert Path("/proc/self/mountinfo").read_text() == mounts
        assert _children() == []

    host.call(check)
