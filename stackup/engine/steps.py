"""Run the `run` steps of a build: each in a sandbox like a service's, through a private spawner.

A spawner is a program of its own, so a CLI with threads and heavy imports is never forked. Each thread that builds uses
one at a time; they are kept for the next step and end with us, and with them whatever runs.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal as signals
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Literal

from stackup import errors
from stackup.engine import bundle, groups
from stackup.errors import Interrupted, StackupError, Unsupported
from stackup.oci import Document, Mount
from stackup.paths import Host
from stackup.runtime import idmap, spawning
from stackup.runtime.cgroups import driver
from stackup.runtime.cgroups.driver import Group
from stackup.runtime.channel import Message, close_all
from stackup.runtime.idmap import IdMap
from stackup.spec.model import Resources, Service

PIDS = 2048  # processes and threads that a step may have, as Podman's default

_FIRST_ID, _RANGES = 0x7000_0000, 0xFFF  # above all that containers get, below 2^31


class Runner:
    """A `builder.build.StepRunner`. Use it as a context manager."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._free: list[_Spawner] = []
        self._busy: dict[str, _Spawner] = {}
        self._cancelled = False

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End what runs: a spawner ends with its channel, and its children with it."""
        with self._lock:
            self._cancelled = True
            free, busy = list(self._free), list(self._busy.values())
            self._free.clear()
        for spawner in free:
            spawner.channel.close()
        for spawner in busy:  # its thread waits in receive: that ends now, and it closes the channel
            _shut(spawner.channel.fileno())

    def __call__(
        self, *, rootfs: tuple[Mount, ...], argv: tuple[str, ...], env: Mapping[str, str], cwd: str,
        network: Literal["none", "host"], output: Callable[[bytes], None],
    ) -> int:  # fmt: skip
        """The exit status, 128 + n for signal n. Raises StackupError where the sandbox cannot be made."""
        if os.geteuid() != 0:
            raise Unsupported("only root can run the commands of a build yet", hint="sudo stackup build")
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        spec = sandbox(name, argv, env, cwd, network)
        spawner = self._take(name)
        group = None
        try:
            group = self._group(name, spec)
            status = spawner.run(name, spec, rootfs, output, group)
        except BaseException:
            with self._lock:
                self._busy.pop(name, None)
            spawner.channel.close()
            if self._cancelled:
                raise Interrupted("the build was interrupted") from None
            raise
        finally:
            if group is not None:
                groups.remove(group)  # and what is still in it
        with self._lock:
            del self._busy[name]
            if not self._cancelled:
                self._free.append(spawner)
            else:
                spawner.channel.close()
        return status

    def _group(self, name: str, spec: Document) -> Group | None:
        """A bound on what a step can fork. None on a machine without control groups, where nothing is kept running
        anyway: an image can still be built there."""
        try:
            found = driver.detect(self._host.cgroup_fs)
            groups.sweep_steps(self._host, found)
            return groups.make(found, groups.of_step(self._host, name), spec["linux"]["resources"])
        except StackupError:
            return None

    def _take(self, name: str) -> _Spawner:
        with self._lock:
            if self._cancelled:
                raise Interrupted("the build was interrupted")
            spawner = self._free.pop() if self._free else _Spawner()
            self._busy[name] = spawner
        return spawner


class _Spawner:
    """A private spawner with one step at a time. A short step may end before its reply is read: nothing is lost."""

    def __init__(self) -> None:
        self.channel = spawning.private()
        self._kept: list[Message] = []

    def run(
        self, name: str, spec: Document, rootfs: tuple[Mount, ...], output: Callable[[bytes], None], group: Group | None
    ) -> int:  # fmt: skip
        cgroup = {"cgroup": group.join.to_json()} if group else {}
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self.channel.send(
                {
                    "id": 1,
                    "op": "run",
                    "container": name,
                    "spec": spec,
                    "rootfs": [m.to_json() for m in rootfs],
                    **cgroup,
                },
                {"stdout": writing, "stderr": writing},
            )
        finally:
            os.close(writing)
        try:
            self._reply()
            while data := os.read(reading, 1 << 16):
                output(data)
        finally:
            os.close(reading)
        end = self._next(lambda m: m.get("event") == "exited")
        self.channel.send({"id": 2, "op": "forget", "container": name})
        self._reply()
        if end.get("signal"):
            return 128 + int(end["signal"])
        return int(end["code"]) if end.get("code") is not None else 128 + signals.SIGKILL

    def _reply(self) -> None:
        message = self._next(lambda m: "re" in m)
        if not message.get("ok"):
            raise errors.from_plain(message.get("error") or {})

    def _next(self, wanted: Callable[[Message], bool]) -> Message:
        for message in self._kept:
            if wanted(message):
                self._kept.remove(message)
                return message
        while True:
            received = self.channel.receive()
            if received is None:
                raise StackupError("the process that runs build steps is gone")
            message, fds = received
            close_all(fds)
            if wanted(message):
                return message
            self._kept.append(message)


def _shut(descriptor: int) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.shutdown(socket.SHUT_RDWR)


def sandbox(
    name: str, argv: tuple[str, ...], env: Mapping[str, str], cwd: str, network: Literal["none", "host"]
) -> Document:
    """The runtime spec of a step: root in a user namespace of its own, Docker's default capabilities, no devices."""
    service = Service(
        name=name, image="", entrypoint=argv, environment=dict(env), working_dir=cwd,
        network_mode="host" if network == "host" else "none", resources=Resources(pids=PIDS),
    )  # fmt: skip
    etc = {p: p for p in ("/etc/resolv.conf", "/etc/hosts") if network == "host" and os.path.exists(p)}
    spec: Document = bundle.bundle(
        service, {}, container_id=name, hostname="build", idmap=_ids(), cgroup_path="", etc=etc,
        hard_limits={"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1]},
    )  # fmt: skip
    for mount in spec["mounts"]:
        if mount["destination"] in etc:  # ours stays ours, the step may only read it
            mount["options"] = [*(o for o in mount["options"] if o not in ("rw", "idmap")), "ro"]
            mount.pop("uidMappings", None)
            mount.pop("gidMappings", None)
    spec["linux"].pop("cgroupsPath", None)
    return spec


def _ids() -> IdMap:
    """Ids that no container and no user has. Two builds at once start at different places."""
    taken = [r for path in ("/etc/subuid", "/etc/subgid") for r in idmap.read_subids(path)]
    for offset in range(_RANGES):
        chosen = IdMap(_FIRST_ID + (os.getpid() + offset) % _RANGES * idmap.SIZE)
        if not any(chosen.overlaps(*one) for one in taken):
            return chosen
    raise StackupError("no free range of 65536 user ids for a build step", hint="see /etc/subuid")
