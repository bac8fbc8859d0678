"""`run` layers on the real kernel: what a command changed in its sandbox is the layer, the same every time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stackup import paths
from stackup.builder import build as builder
from stackup.builder import changeset
from stackup.builder.store import images
from stackup.engine import groups, steps
from stackup.engine.steps import Runner
from stackup.errors import Interrupted, ProgramFailed, StackupError
from stackup.runtime.cgroups import driver, tree
from stackup.spec.layers import File, HostPrograms, Layer, Run
from stackup.spec.model import Image, Stack

from .testhost import TestHost

pytestmark = pytest.mark.root

BUSYBOX = HostPrograms(programs=("busybox",))


def sh(script: str, network: Any = "none") -> Run:
    return Run(command=("/usr/bin/busybox", "sh", "-ec", f"PATH=/applets:$PATH; {script}"))


APPLETS = Run(
    command=("/usr/bin/busybox", "sh", "-ec", "$0 mkdir /applets; $0 --install -s /applets", "/usr/bin/busybox")
)


def built(root: str, *layers: Layer) -> dict[str, Any]:
    """Build in the root; what the last layer is: name -> mode, owner, content; and the image's diff IDs."""
    host = paths.open_root(root)
    stack = Stack(
        name="t", folder=os.path.dirname(root), file="stack.yaml", images={"i": Image(name="i", layers=layers)}
    )
    lines: list[str] = []
    with Runner(host) as runner:
        digest = builder.build(
            host, stack, ["i"], runner=runner, report=lambda e: lines.append(e.text) if e.kind == "output" else None
        )["i"]  # fmt: skip
    image = images.image(host, digest)
    assert os.listdir(host.tmp) == []
    for diff_id in image.diff_ids:
        assert changeset.digest_tree(os.path.join(host.trees, diff_id[7:])).diff_id == diff_id
    top = os.path.join(host.trees, image.diff_ids[-1][7:])
    data = b"".join(changeset.stream(top))
    return {"digest": digest, "names": names(data), "lines": lines, "top": top}


def names(stream: bytes) -> dict[str, str]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        return {m.name: f"{m.mode:04o} {m.uid}:{m.gid} {m.linkname}".strip() for m in tar}


def on_busybox(host: TestHost, *layers: Layer) -> dict[str, Any]:
    return host.call(built, str(host.root), BUSYBOX, APPLETS, *layers)


def test_changes_deletions_and_owners_become_the_layer(host: TestHost) -> None:
    first = sh("mkdir -p /data/old /data/keep; echo x > /data/old/f; echo y > /data/keep/f; echo z > /gone")
    second = sh(
        "rm -r /data/old /gone; mkdir /data/old; echo new > /data/old/g; chown 1000:7 /data/old/g; "
        "chmod 2750 /data/keep; ln -s keep /data/link; ln /data/keep/f /data/hard; mkfifo /data/fifo"
    )
    found = on_busybox(host, first, second)["names"]
    assert found == {
        ".wh.gone": "0000 0:0",
        "data": "0755 0:0",
        "data/fifo": "0644 0:0",
        "data/hard": "0644 0:0",
        "data/keep": "2750 0:0",
        "data/keep/f": "0644 0:0 data/hard",
        "data/link": "0777 0:0 keep",
        "data/old": "0755 0:0",
        "data/old/.wh..wh..opq": "0000 0:0",
        "data/old/g": "0644 1000:7",
    }


def test_touching_and_undoing_is_no_change(host: TestHost) -> None:
    layer = sh("touch /etc/passwd; chmod 600 /etc/group; chmod 644 /etc/group; echo > /etc/tmp; rm /etc/tmp; touch /x")
    assert on_busybox(host, layer)["names"] == {"x": "0644 0:0"}


def test_the_sandboxs_own_mounts_leave_nothing(host: TestHost) -> None:
    """Also on an image without /proc, /dev, /etc: the busybox alone, without the skeleton of a host layer."""
    binary = Path("/usr/bin/busybox").read_bytes()

    def alone(root: str) -> dict[str, Any]:
        folder = Path(root).parent
        (folder / "bb").write_bytes(binary)
        (folder / "bb").chmod(0o755)
        from stackup.spec.layers import Copy

        step = Run(command=("/busybox", "sh", "-c", "$0 ls /proc/self/exe /dev/null /etc; $0 touch /made", "/busybox"))
        return built(root, Copy(source="bb", target="/busybox"), step)

    found = host.call(alone, str(host.root))
    assert found["names"] == {"made": "0644 0:0"}
    assert "/dev/null" in found["lines"]


def test_the_same_steps_in_another_root_give_the_same_image(host: TestHost) -> None:
    layer = sh("mkdir -p /a/b; date > /dev/null; echo x > /a/b/c; cp /a/b/c /a/d; touch -d 2001-01-01 /a/d")
    one = on_busybox(host, layer)["digest"]
    other = host.call(built, str(host.folder / "second" / "root"), BUSYBOX, APPLETS, layer)["digest"]
    assert one == other


def test_a_step_has_no_network_no_privilege_and_its_environment(host: TestHost) -> None:
    lines = on_busybox(host, sh("ls /sys/class/net; id -u; echo $SOURCE_DATE_EPOCH; mount -t tmpfs x /tmp || true"))
    assert lines["lines"][:3] == ["lo", "0", "315532800"]
    assert "permission denied" in lines["lines"][3].lower() or "not permitted" in lines["lines"][3].lower()


def test_a_failing_step_tells_how(host: TestHost) -> None:
    def failing(root: str, script: str) -> tuple[str, str | None]:
        try:
            built(root, BUSYBOX, APPLETS, sh(script))
        except ProgramFailed as error:
            return error.message, error.resource
        raise AssertionError("it did not fail")

    message, resource = host.call(failing, str(host.root), "echo on stdout; echo on stderr >&2; exit 7")
    assert "ended with status 7" in message and message.endswith("on stdout\n  on stderr")
    assert resource == "image:i"
    assert os.listdir(host.root / "tmp") == []
    message, _ = host.call(failing, str(host.root), "exit 3")
    assert message.endswith("exit 3: ended with status 3 and printed nothing")


def test_a_program_that_is_not_there_is_said_so(host: TestHost) -> None:
    def missing(root: str) -> str:
        try:
            built(root, BUSYBOX, Run(command=("/no/such",)))
        except StackupError as error:
            return error.message
        raise AssertionError("it did not fail")

    assert "/no/such" in host.call(missing, str(host.root))


def test_an_image_of_many_layers_runs(host: TestHost) -> None:
    many = tuple(File(target=f"/files/{n}", content=str(n)) for n in range(120))
    found = host.call(built, str(host.root), BUSYBOX, APPLETS, *many, sh("ls /files | wc -l; cat /files/119 > /sum"))
    assert found["lines"] == ["120"] and Path(found["top"], "sum").read_text() == "119"


def test_interrupting_ends_the_step_and_leaves_nothing(host: TestHost) -> None:
    def interrupted(root: str) -> str:
        opened = paths.open_root(root)
        runner = Runner(opened)
        layers = (BUSYBOX, APPLETS, sh("echo begun; sleep 600"))
        stack = Stack(
            name="t", folder=os.path.dirname(root), file="stack.yaml", images={"i": Image(name="i", layers=layers)}
        )
        begun = threading.Event()
        main = threading.get_ident()

        def press() -> None:
            import signal

            begun.wait(60)
            signal.pthread_kill(main, signal.SIGINT)

        threading.Thread(target=press).start()

        def report(event: Any) -> None:
            if event.kind == "output":
                begun.set()

        started = time.monotonic()
        try:
            with runner:
                builder.build(opened, stack, ["i"], runner=runner, report=report)
        except (KeyboardInterrupt, Interrupted) as error:
            assert time.monotonic() - started < 60
            return type(error).__name__
        raise AssertionError("it was not interrupted")

    assert host.call(interrupted, str(host.root)) == "KeyboardInterrupt"
    assert os.listdir(host.root / "tmp") == []


def test_a_step_cannot_fork_without_end(host: TestHost) -> None:
    def bounded(root: str) -> dict[str, Any]:
        steps.PIDS = 20
        script = "n=0; while [ $n -lt 40 ]; do (sleep 60 &) 2>/dev/null || break; n=$((n+1)); done; echo $n"
        return built(root, BUSYBOX, APPLETS, sh(f"({script}) 2>&1 || true"))

    (forked,) = host.call(bounded, str(host.root))["lines"]
    assert 10 < int(forked) < 20
    assert host.cgroups() == []


def test_groups_of_steps_whose_command_was_killed_are_swept(host: TestHost) -> None:
    def leave(root: str) -> None:
        opened = paths.open_root(root)
        for pid in ("1", "4999999"):
            groups.make(driver.detect(opened.cgroup_fs), groups.of_step(opened, f"{pid}-abcd"), {})

    def left(root: str) -> list[str]:
        opened = paths.open_root(root)
        return list(driver.detect(opened.cgroup_fs).list(f"stackup/{opened.id}/b"))

    host.call(leave, str(host.root))
    on_busybox(host, sh(":"))
    assert host.call(left, str(host.root)) == ["1-abcd"]
    for group in host.cgroups():
        top, _, below = str(group).partition("/stackup/")
        tree.remove_empty(top, f"stackup/{below}")
