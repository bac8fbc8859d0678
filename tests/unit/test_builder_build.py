"""Build: what is cached, what is built again and why, and that the same inputs give the same image anywhere."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackup.builder import build as builder
from stackup.builder import inputs
from stackup.builder.store import images
from stackup.engine import observe
from stackup.errors import BadInput, NotFound, Place, ProgramFailed, StackupError
from stackup.spec.layers import Copy, File, HostPrograms, Run, Template
from stackup.spec.model import Loaded, Stack

from .builder_helpers import Events, FakeRunner, build, image, listing, make_host, project, settle, stack, tree

FILES = {"web/app.py": "print(1)\n", "web/lib/util.py": "x = 1\n", "motd.j2": "{{ vars.greeting }}\n"}
COPY = Copy(source="./web", target="/app")
MOTD = Template(source="motd.j2", target="/etc/motd", vars={"greeting": "hello"})
RUN = Run(command=("compile", "/app"))


def compile_(upper: Path, argv: tuple[str, ...]) -> None:
    """A step whose result does not depend on the sources."""
    os.mkdir(upper / "app")
    os.chmod(upper / "app", 0o755)
    (upper / "app" / "out").write_text("compiled")
    os.chmod(upper / "app" / "out", 0o644)


def web(folder: Path, **config: Any) -> Stack:
    return stack(folder, web=image("web", COPY, RUN, MOTD, **config))


def reasons(host: Any, wanted: Stack) -> list[str | None]:
    return [s.reason for s in builder.examine(host, wanted, ["web"])["web"].steps]


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Any, Stack, FakeRunner]:
    """A host, a stack that was built once, and the runner that did it."""
    wanted = web(project(tmp_path / "p", FILES))
    host, runner = make_host(tmp_path), FakeRunner(compile_)
    settle()
    build(host, wanted, runner=runner)
    return host, wanted, runner


def test_the_second_build_runs_nothing(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, runner = shop
    events = Events()
    first = images.resolve(host, "shop/web")
    assert build(host, wanted, runner=runner, report=events) == {"web": first}
    assert len(runner.calls) == 1
    assert events.texts("started") == []
    assert events.texts("done") == ["image:web unchanged"]


def test_examine_says_what_build_will_do_and_writes_nothing(tmp_path: Path) -> None:
    wanted = web(project(tmp_path / "p", FILES))
    found = builder.examine(None, wanted, ["web"])["web"]
    assert (found.digest, found.named, [s.hit for s in found.steps]) == (None, None, [False] * 3)
    host = make_host(tmp_path)
    before = sorted(os.walk(host.root))
    builder.examine(host, wanted, ["web"])
    assert sorted(os.walk(host.root)) == before
    built = build(host, wanted, runner=FakeRunner(compile_))
    found = builder.examine(host, wanted, ["web"])["web"]
    assert (found.digest, found.named) == (built["web"], built["web"])
    assert [s.text for s in found.steps] == ["copy ./web -> /app", "run compile /app", "template motd.j2 -> /etc/motd"]


def test_a_changed_time_rebuilds_nothing(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, _ = shop
    os.utime(Path(wanted.folder) / "web/app.py", (1, 1))
    os.chmod(Path(wanted.folder) / "web/app.py", 0o600)
    assert reasons(host, wanted) == [None, None, None]


def test_one_changed_byte_rebuilds_its_layer_and_what_stands_on_it(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, _ = shop
    (Path(wanted.folder) / "web/lib/util.py").write_text("x = 2\n")
    first, *rest = reasons(host, wanted)
    assert first is not None and first.startswith("web/lib/util.py changed (")
    assert rest == ["follows a rebuilt layer"] * 2
    (Path(wanted.folder) / "web/lib/util.py").write_text("x = 1\n")
    (Path(wanted.folder) / "motd.j2").write_text("{{ vars.greeting }}!\n")
    assert [r and r.split(" (")[0] for r in reasons(host, wanted)] == [None, None, "motd.j2 changed"]


def test_a_layer_that_comes_out_the_same_lets_those_above_hit(tmp_path: Path) -> None:
    wanted = stack(project(tmp_path / "p", FILES), web=(RUN, File(target="/x", content="x")))
    host, runner = make_host(tmp_path), FakeRunner(compile_)
    build(host, wanted, runner=runner)
    louder = stack(tmp_path / "p", web=(Run(command=("compile", "-v", "/app")), File(target="/x", content="x")))
    events = Events()
    build(host, louder, runner=runner, report=events)
    assert [t.split(" (")[0] for t in events.texts("started")] == ["image:web 1/2 run compile -v /app"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: (p / "web/new").write_text(""), "web/new is new"),
        (lambda p: (p / "web/app.py").unlink(), "web/app.py is gone"),
        (lambda p: (p / "web/app.py").chmod(0o755), "web/app.py became executable"),
        (lambda p: ((p / "web/app.py").unlink(), (p / "web/app.py").mkdir()), "web/app.py was a file and is a folder"),
    ],
)
def test_a_miss_names_the_first_thing_that_differs(shop: tuple[Any, Stack, FakeRunner], change: Any, said: str) -> None:
    host, wanted, _ = shop
    change(Path(wanted.folder))
    assert reasons(host, wanted)[0] == said


def test_a_miss_names_the_changed_key_of_the_file(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, _ = shop
    folder = Path(wanted.folder)
    moved = stack(folder, web=(Copy(source="./web", target="/srv"), RUN, MOTD))
    assert reasons(host, moved)[0] == 'target changed "/app" -> "/srv"'
    greeted = stack(folder, web=(COPY, RUN, Template(source="motd.j2", target="/etc/motd", vars={"greeting": "hi"})))
    assert reasons(host, greeted)[2] == 'vars changed: greeting "hello" -> "hi"'
    assert reasons(host, stack(folder, web=(RUN, COPY)))[0] == "a copy layer stood here"


def test_the_same_inputs_give_the_same_image_from_another_folder_umask_clock_and_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests, now = set(), time.time()
    for number, umask in enumerate((0o022, 0o077, 0o000)):
        before = os.umask(umask)
        monkeypatch.setattr("time.time", lambda years=number: now + years * 365 * 86400)
        try:
            folder = project(tmp_path / f"p{number}" / "deep", FILES)
            os.utime(folder / "web/app.py", (number, number))
            host = make_host(tmp_path / str(number))
            digests.add(build(host, web(folder, environment={"A": "1"}), runner=FakeRunner(compile_))["web"])
        finally:
            os.umask(before)
    assert len(digests) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_builds_the_same_image(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        open_folder = Path(name)
        os.chmod(open_folder, 0o777)
        wanted = stack(project(open_folder / "p", FILES), web=(HostPrograms(programs=("cat",)), COPY, MOTD))
        mine = build(make_host(tmp_path), wanted)["web"]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(1000, 1000, 1000)
                os.setresuid(1000, 1000, 1000)
                (open_folder / "theirs").mkdir()
                os.umask(0o077)
                os.write(writing, build(make_host(open_folder / "theirs"), wanted)["web"].encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert pipe.read() == mine
        os.waitpid(child, 0)


def test_no_cache_runs_everything_and_gives_the_same_image(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, runner = shop
    first = images.resolve(host, "shop/web")
    assert build(host, wanted, runner=runner, no_cache=True)["web"] == first
    assert len(runner.calls) == 2


def test_an_image_stands_on_another_and_takes_its_config(tmp_path: Path) -> None:
    project(tmp_path / "p", FILES)
    base = image("base", MOTD, environment={"A": "1", "B": "2"}, command=("sh",), working_dir="/srv", user="7")
    top = image("web", COPY, RUN, base="base", environment={"B": "3"}, entrypoint=("run",), expose=("80",))
    host, runner = make_host(tmp_path), FakeRunner(compile_)
    digests = build(host, stack(tmp_path / "p", base=base, web=top), "web", runner=runner)
    assert set(digests) == {"base", "web"}
    found = images.image(host, digests["web"])
    assert found.base == digests["base"]
    assert found.config["config"] == {
        "Env": ["A=1", "B=3"], "Entrypoint": ["run"], "WorkingDir": "/srv", "User": "7", "ExposedPorts": {"80/tcp": {}},
    }  # fmt: skip
    assert found.diff_ids[0] == images.image(host, digests["base"]).diff_ids[0]
    assert [h.created_by for h in found.history] == [
        "template motd.j2 -> /etc/motd", "copy ./web -> /app", "run compile /app",
    ]  # fmt: skip
    call = runner.calls[0]
    assert (call["env"]["A"], call["env"]["B"], call["cwd"]) == ("1", "2", "/srv")
    assert call["env"]["SOURCE_DATE_EPOCH"] == "315532800" and call["env"]["PATH"].startswith("/usr/local/sbin:")


def test_an_image_of_the_store_can_be_a_base_and_an_absent_one_is_named(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    build(host, stack(tmp_path, base=(File(target="/a", content="a"),)))
    top = stack(tmp_path, top=image("top", File(target="/b", content="b"), base="shop/base"))
    assert len(images.image(host, build(host, top)["top"]).diff_ids) == 2
    with pytest.raises(NotFound, match="debian:12") as caught:
        build(host, stack(tmp_path, top=image("top", base="debian:12")))
    assert "no registry support yet" in str(caught.value.hint)
    assert caught.value.resource == "image:top"


def test_who_misses_an_image_is_told_the_nearest_name_or_where_one_is_described(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    wanted = stack(tmp_path, tools=(File(target="/a", content="a"),))
    build(host, wanted)
    foreign = {"shop/tools": "sha256:0", "tolls": None, "nginx:1": None}
    loaded = Loaded(wanted, {})
    ours, theirs = (observe.advice(host, one, foreign) for one in (loaded, replace(loaded, dialect="compose")))
    assert ours.keys() == theirs.keys() == {"tolls", "nginx:1"}
    assert ours["tolls"] == theirs["tolls"] == "did you mean 'shop/tools'? `stackup image ls` lists the store"
    assert "under images:" in ours["nginx:1"]
    assert "images:" not in theirs["nginx:1"] and "stack.yaml beside" in theirs["nginx:1"]


def test_a_failing_step_shows_command_status_last_lines_and_place(tmp_path: Path) -> None:
    wanted = stack(tmp_path, bad=(File(target="/a", content="a"), Run(command=("/bin/sh", "-ec", "boom"))))
    with pytest.raises(ProgramFailed, match=r"run boom: ended with status 3(.|\n)*first line\n  second") as caught:
        build(
            make_host(tmp_path), wanted, runner=FakeRunner(lambda upper, argv: 3),
            origins={("images", "bad", "layers", 1): ("stack.yaml", 7, 9)},
        )  # fmt: skip
    assert caught.value.resource == "image:bad"
    assert caught.value.place == Place("stack.yaml", 7, 9)


def test_what_does_not_stand_on_a_failure_is_built_the_rest_skipped(tmp_path: Path) -> None:
    wanted = stack(
        tmp_path, bad=(Run(command=("false",)),), top=image("top", base="bad"), peak=image("peak", base="top"),
        good=(File(target="/a", content="a"),),
    )  # fmt: skip
    host, events = make_host(tmp_path), Events()
    with pytest.raises(ProgramFailed):
        build(host, wanted, runner=FakeRunner(lambda upper, argv: 1), report=events)
    assert images.resolve(host, "shop/good")
    assert [e.resource for e in events if e.kind == "skipped"] == ["image:top", "image:peak"]
    assert [e.resource for e in events if e.kind == "failed"] == ["image:bad"]
    assert os.listdir(host.tmp) == []


def test_independent_images_are_built_at_the_same_time(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=20)
    runner = FakeRunner(lambda upper, argv: meeting.wait() * 0)
    build(make_host(tmp_path), stack(tmp_path, a=(Run(command=("a",)),), b=(Run(command=("b",)),)), runner=runner)


def test_lines_of_a_step_are_reported(shop: tuple[Any, Stack, FakeRunner]) -> None:
    host, wanted, runner = shop
    events = Events()
    build(host, wanted, runner=runner, report=events, no_cache=True)
    assert events.texts("output") == ["image:web first line", "image:web second"]


def test_a_source_that_changes_while_it_is_read_is_read_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "p", {"web/a": "1"})
    scan, changes = inputs.scan, [b"22", b"333"]

    def scan_then_change(*arguments: Any, **more: Any) -> inputs.Inputs:
        found = scan(*arguments, **more)
        if changes:
            (folder / "web/a").write_bytes(changes.pop(0))
        return found

    monkeypatch.setattr(inputs, "scan", scan_then_change)
    host, wanted = make_host(tmp_path), stack(folder, web=(COPY,))
    with pytest.raises(inputs.Changed, match="web/a changed while it was read"):
        build(host, wanted)
    changes.append(b"4444")
    assert (tree(host, build(host, wanted)["web"]) / "app/a").read_text() == "4444"


def test_a_full_disk_is_said_with_the_layer_and_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, wanted = make_host(tmp_path), stack(project(tmp_path / "p", FILES), web=(COPY,))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr("stackup.builder.draft._write_all", full)
    with pytest.raises(StackupError, match=r"^copy \./web -> /app: No space left on device") as caught:
        build(host, wanted)
    assert caught.value.resource == "image:web" and "free some space" in str(caught.value.hint)
    assert os.listdir(host.tmp) == os.listdir(host.trees) == []


def test_blocks_are_shared_where_the_file_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def clone(target: int, request: int, source: int) -> int:
        asked.append(request)
        os.write(target, os.pread(source, 1 << 20, 0))
        return 0

    project(tmp_path / "p", {"web/large": "x" * 70_000, "web/small": "x"})
    wanted = stack(tmp_path / "p", web=(COPY,))
    plain = build(make_host(tmp_path / "plain"), wanted)
    shared = make_host(tmp_path / "shared")
    monkeypatch.setattr("fcntl.ioctl", clone)
    assert build(shared, wanted) == plain
    assert asked == [0x40049409]


def test_images_that_stand_on_each_other_are_a_circle(tmp_path: Path) -> None:
    wanted = stack(tmp_path, a=image("a", base="b"), b=image("b", base="a"))
    with pytest.raises(BadInput, match="a -> b -> a"):
        build(make_host(tmp_path), wanted)


def test_the_sandbox_leaves_no_trace_of_its_mount_points(tmp_path: Path) -> None:
    """The command sees a skeleton below the image; what it did to that does not become part of the image."""

    def act(upper: Path, argv: tuple[str, ...]) -> None:
        (upper / "etc").mkdir()
        os.mknod(upper / "etc/resolv.conf", 0o020000, 0)
        (upper / "data").write_text("made")

    host, runner = make_host(tmp_path), FakeRunner(act)
    digest = build(host, stack(tmp_path, web=(Run(command=("x",)),)), runner=runner)["web"]
    assert list(listing(tree(host, digest))) == ["data"]
    lowest = runner.calls[0]["rootfs"][0].options[0].rpartition(":")[2].removeprefix("lowerdir=")
    assert sorted(p.name for p in Path(lowest).iterdir()) == ["dev", "etc", "proc", "sys"]


def test_builds_in_two_processes_share_the_store(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    wanted = stack(project(tmp_path / "p", FILES), **{f"i{n}": (COPY, MOTD) for n in range(6)})
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                build(host, wanted, jobs=3)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(c, 0)[1] for c in children] == [0, 0, 0]
    assert len(os.listdir(host.trees)) == 2
    assert len({i.digest for i in images.list_images(host)}) == 1
    assert os.listdir(host.tmp) == []


def test_killed_at_any_step_a_build_leaves_a_store_the_next_one_goes_on_with(tmp_path: Path) -> None:
    """The process dies at its n-th call that changes the disk, for every n; then a build must give the known image."""
    wanted = stack(project(tmp_path / "p", {"web/a": "a", "web/b/c": "c"}), web=(COPY, RUN))
    expected = build(make_host(tmp_path / "whole"), wanted, runner=FakeRunner(compile_))["web"]
    host = make_host(tmp_path / "torn")
    number = 0
    while not _dies_at(number, host, wanted):
        number += 1
        assert images.resolve(host, "shop/web") in (None, expected)
        if number % 9 == 0:  # and mostly on top of what the earlier deaths left
            assert build(host, wanted, runner=FakeRunner(compile_))["web"] == expected
            assert os.listdir(host.tmp) == []
            images.remove(host, "shop/web")
    assert number > 30
    assert build(host, wanted, runner=FakeRunner(compile_))["web"] == expected
    assert os.listdir(host.tmp) == []


def _dies_at(number: int, host: Any, wanted: Stack) -> bool:
    """Whether a child reached the end of its build; else it was killed at its `number`-th change."""
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL)
        return status == 0
    count = 0

    def dying(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count > number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **more)

        return call

    from stackup.db import Database

    for name in ("mkdir", "rename", "unlink", "rmdir", "write", "fsync", "symlink"):
        setattr(os, name, dying(getattr(os, name)))
    Database.execute = dying(Database.execute)  # type: ignore[method-assign]
    try:
        build(host, wanted, runner=FakeRunner(compile_), jobs=1)
    except StackupError:
        os._exit(1)
    os._exit(0)
