"""A container of the real runtime to attack: the engine's own bundle, an overlay of a scratch image, this machine's
/usr read-only inside so that Python is there to attack with."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackup import paths
from stackup.engine.bundle import bundle, exec_process
from stackup.engine.mounts import Source
from stackup.errors import StackupError
from stackup.oci import Document, Mount
from stackup.runtime import container, seccomp
from stackup.runtime.cgroups.driver import Group, detect
from stackup.runtime.idmap import IdMap
from stackup.runtime.process import Stdio
from stackup.spec.model import Service, VolumeMount

from .testhost import TestHost

IDS = IdMap(0x10000000)
CONTAINER = "0123456789ab"

# What every attack may use. `attempt` gives the name of the error, or "worked".
PRELUDE = """
import ctypes, errno, json, os, socket, stat, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def sys_call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return "worked" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(function, *arguments, **options):
    try:
        function(*arguments, **options)
        return "worked"
    except OSError as error:
        return errno.errorcode[error.errno]
def text(path):
    with open(path) as file:
        return file.read()
def status(name):
    return next(l.split(":")[1].strip() for l in text("/proc/self/status").splitlines() if l.startswith(name + ":"))
N = NUMBERS
answer = {}
""".replace("NUMBERS", repr(seccomp.numbers(os.uname().machine)))


@dataclass
class Box:
    """One container to be: what differs from a service without any options."""

    service: dict[str, Any] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)  # the image's "config"
    files: dict[str, str | bytes | tuple[str, str]] = field(
        default_factory=dict
    )  # of the image; ("link", target), ("fifo", "")
    sources: Mapping[str, Source] = field(default_factory=dict)
    resources: Document = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    ids: IdMap | None = IDS
    joins: bool = False  # the attack is a process that joins the running container, as `exec` does
    process: dict[str, Any] = field(default_factory=dict)  # of that process, on top of the container's own


@dataclass
class Answer:
    """What the attack printed as JSON, everything it printed, and how it ended."""

    value: Any
    output: str
    exit: container.Exit


def attack(host: TestHost, script: str, box: Box | None = None) -> Answer:
    """Run Python inside a container; the script puts what it finds into `answer`."""
    found: Answer = host.call(_attack, str(host.folder), str(host.root), script, box or Box())
    return found


def make_image(folder: Path, files: Mapping[str, str | bytes | tuple[str, str]]) -> None:
    folder.mkdir(mode=0o755, parents=True)
    for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "root", "var"):
        (folder / name).mkdir()
    (folder / "tmp").chmod(0o1777)
    for name in ("bin", "lib", "lib64", "sbin"):
        if name not in files:
            (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nplain:x:1000:1000::/tmp:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nplain:x:1000:\n")
    for name, content in files.items():
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, tuple) and content[0] == "fifo":
            os.mkfifo(path, 0o666)
        elif isinstance(content, tuple):
            path.symlink_to(content[1])
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755)


def _attack(folder: str, root: str, script: str, box: Box) -> Answer:
    host = paths.open_root(root)
    base = Path(host.root) / "trees-of-test"
    make_image(base / "image", box.files)
    for name in ("upper", "work"):
        (base / name).mkdir()
    argv = list(box.argv) or ["/usr/bin/python3", "-I", "-S", "-c", PRELUDE + script + "\nprint(json.dumps(answer))"]
    volumes = tuple(
        VolumeMount(type="bind", source=source.path, target=target) for target, source in box.sources.items()
    )
    usr = VolumeMount(type="bind", source="/usr", target="/usr", read_only=True)
    command = ("/bin/sleep", "100") if box.joins else tuple(argv)
    service = Service(name="box", image="box", volumes=(*volumes, usr), command=command, **box.service)
    spec = bundle(
        service, {"config": box.image}, container_id=CONTAINER, hostname="box", idmap=box.ids,
        cgroup_path=f"stackup/{host.id}/c/{CONTAINER}", sources={**box.sources, "/usr": Source("/usr", (0, 0))},
        hard_limits={"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1]},
    )  # fmt: skip
    layers = f"{base}/image", f"{base}/upper", f"{base}/work"
    options = (f"lowerdir={layers[0]}", f"upperdir={layers[1]}", f"workdir={layers[2]}", "userxattr")
    group = detect().create(f"stackup/{host.id}/c/{CONTAINER}", {**spec["linux"]["resources"], **box.resources})
    try:
        return _run(spec, Mount("overlay", "overlay", "/", options), group, argv if box.joins else None, box.process)
    finally:
        group.kill()
        group.delete()


def _run(spec: Document, rootfs: Mount, group: Group, argv: list[str] | None, process: Document) -> Answer:
    reading, writing = os.pipe()
    stdio = Stdio(None, writing, writing)
    try:
        made = container.create(spec, container_id=CONTAINER, rootfs=(rootfs,), stdio=stdio, cgroup=group.join)
        made.start()
        watched: container.Child = made
        if argv is not None:
            wanted = {**exec_process(spec, argv), **process}
            watched = container.exec_in(made.pidfd, wanted, stdio=stdio, cgroup=group.join)
    except StackupError as error:
        os.close(reading)
        return Answer(None, error.message, container.Exit(125, None))
    finally:
        os.close(writing)
    if argv is not None:
        ended = watched.wait()
        made.delete()
    with os.fdopen(reading, "rb") as pipe:
        output = pipe.read().decode(errors="replace")
    if argv is None:
        ended = made.wait()
    lines = output.strip().splitlines()
    value = json.loads(lines[-1]) if lines and lines[-1].startswith(("{", "[")) else None
    return Answer(value, output, ended)
