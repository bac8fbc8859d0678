"""The spawner: what it keeps, what it tells, who dies with whom."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from stackup import errors, paths
from stackup.errors import Conflict, NotFound
from stackup.runtime import spawning
from stackup.runtime.channel import Channel, close_all, pair
from stackup.runtime.spawner import Spawner

from . import bundles
from .testhost import TestHost, eventually

SUPERVISOR = """
import os, socket, sys
from stackup.runtime.channel import Channel
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
channel = Channel.from_descriptor(int(options["--channel"]))
channel.send({"id": 1, "op": "hello"})
seen = []
while True:
    message, fds = channel.receive()
    seen.append(str(message.get("event")))
    if "socket" in fds:
        listener = socket.socket(fileno=fds["socket"])
    if message.get("event") == "hello_end":
        break
while True:
    connection, _ = listener.accept()
    asked = connection.recv(100)
    if asked == b"pid":
        connection.send(f"{os.getpid()} {os.getppid()} {' '.join(seen)}".encode())
    if asked == b"shutdown":
        channel.send({"id": 2, "op": "shutdown"})
        reply, _ = channel.receive()
        connection.send(str(reply["ok"]).encode())
        if reply["ok"]:
            sys.exit()
"""


class Client:
    """Requests one after the other; events are kept."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.events: list[dict[str, Any]] = []
        self.fds: dict[str, int] = {}
        self._number = 0

    def ask(self, op: str, fds: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
        self._number += 1
        self.channel.send({"id": self._number, "op": op, **fields}, fds)
        message = self.next(lambda m: m.get("re") == self._number)
        if not message["ok"]:
            error = errors.from_plain(message["error"])
            error.args = (*error.args, message["exit"])
            raise error
        return message

    def next(self, wanted: Any) -> dict[str, Any]:
        for message in self.events:
            if wanted(message):
                self.events.remove(message)
                return message
        while True:
            received = self.channel.receive(20)
            assert received is not None, "the spawner is gone"
            message, fds = received
            if wanted(message):
                self.fds = fds
                return message
            self.events.append(message)
            close_all(fds)

    def event(self, name: str) -> dict[str, Any]:
        return self.next(lambda m: m.get("event") == name)


@contextmanager
def private() -> Iterator[Client]:
    client = Client(spawning.private())
    try:
        yield client
    finally:
        client.channel.close()


def request(folder: Path, *args: str, name: str = "c", **more: Any) -> dict[str, Any]:
    rootfs = [m.to_json() for m in bundles.overlay(folder, name)]
    return {"container": name, "spec": bundles.spec(*args), "rootfs": rootfs, **more}


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def asked_to_end(pid: int) -> bool:
    """SIGUSR1, again and again: before a shell has set its trap, a first process does not feel it."""
    if not gone(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
    return gone(pid)


def test_a_step_runs_with_given_descriptors_and_its_end_is_told(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            reading, writing = os.pipe()
            spawner.ask("run", {"stdout": writing, "stderr": writing}, **request(tmp_path, "sh", "-c", "id -u; exit 3"))
            os.close(writing)
            assert bundles.read_all(reading) == "0\n"
            end = spawner.event("exited")
            assert (end["container"], end["code"], end["signal"]) == ("c", 3, None)
            spawner.ask("forget", container="c")
            with pytest.raises(NotFound):
                spawner.ask("forget", container="c")

    host.call(check)


def test_it_works_for_a_program_with_threads(host: TestHost, tmp_path: Path):
    def check():
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            with private() as spawner:
                spawner.ask("run", **request(tmp_path, "sh", "-c", "exit 5"))
                return spawner.event("exited")["code"]
        finally:
            stop.set()
            thread.join()

    assert host.call(check) == 5


def test_a_program_that_is_not_there_leaves_nothing_to_forget(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            spawner.ask("create", **request(tmp_path, "nothing"))
            close_all(spawner.fds)
            with pytest.raises(NotFound) as caught:
                spawner.ask("start", container="c")
            assert caught.value.args[1] == 127
            spawner.ask("hello")
            spawner.event("hello_end")
            assert spawner.events == []
            spawner.ask("run", **request(tmp_path, "id"))

    host.call(check)


def test_steps_run_side_by_side(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            bundles.overlay(tmp_path)
            for n in range(8):
                fields = request(tmp_path, "sh", "-c", f"exit {n}", name=f"c{n}")
                spawner.channel.send({"id": 100 + n, "op": "run", **fields})
            return sorted(spawner.event("exited")["code"] for _ in range(8))

    assert host.call(check) == list(range(8))


def test_a_private_spawner_ends_with_its_channel_and_what_it_runs_with_it(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            pid = spawner.ask("run", **request(tmp_path, "sleep", "1000"))["pid"]
            own = spawner.ask("hello")["pid"]
        eventually(lambda: gone(pid) and gone(own))

    host.call(check)


def test_output_waits_in_its_pipe_when_everybody_of_ours_is_killed(host: TestHost, tmp_path: Path):
    def check():
        channel = spawning.new_spawner(_host(tmp_path))
        spawner = Client(channel)
        pipes = {n: str(tmp_path / f"{n}.fifo") for n in ("stdout", "stderr")}
        script = "trap 'trap : USR1; echo after; echo more; exit' USR1; echo before; while :; do sleep 0.02; done"
        pid = spawner.ask("run", **request(tmp_path, "sh", "-c", script), **pipes)["pid"]
        reading = spawner.fds["stdout"]
        assert os.stat(pipes["stdout"]).st_mode & 0o777 == 0o666
        os.kill(spawner.ask("hello")["pid"], signal.SIGKILL)
        spawner.channel.close()
        eventually(lambda: asked_to_end(pid))
        return bundles.read_all(reading)

    assert host.call(check) == "before\nafter\nmore\n"


def _host(folder: Path) -> paths.Host:
    return paths.open_root(str(folder / "own"))


def test_ends_are_kept_until_forgotten_and_told_again(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            spawner.ask("run", **request(tmp_path, "sh", "-c", "exit 4"))
            spawner.event("exited")
            spawner.ask("hello")
            spawner.event("hello_end")
            told = {e["event"]: e for e in spawner.events}
            assert (told["container"]["state"], told["exited"]["code"]) == ("exited", 4)
            spawner.ask("forget", container="c")
            spawner.events.clear()
            spawner.ask("hello")
            spawner.event("hello_end")
            assert spawner.events == []

    host.call(check)


def test_an_exec_is_killed_as_a_whole(host: TestHost, tmp_path: Path):
    def check():
        with private() as spawner:
            container = spawner.ask("run", **request(tmp_path, "sleep", "1000"))["pid"]
            both = bundles.process("sh", "-c", "sleep 1000 & sleep 1000")
            spawner.ask("exec", exec="e", container="c", process=both)
            inside = eventually(lambda: _sleeping_in(container, 3))
            with pytest.raises(Conflict):
                spawner.ask("forget", exec="e")
            spawner.ask("kill", exec="e", signal=9, group=True)
            assert spawner.event("exited")["exec"] == "e"
            eventually(lambda: sum(not gone(pid) for pid in inside) == 1)
            with pytest.raises(NotFound):
                spawner.ask("kill", exec="e", signal=9)

    host.call(check)


def _sleeping_in(container: int, many: int) -> list[int]:
    namespace = os.readlink(f"/proc/{container}/ns/pid")
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes()
            if line.startswith(b"sleep\0") and os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(int(entry))
        except OSError:
            continue
    return found if len(found) == many else []


def test_a_new_spawner_adopts_and_learns_the_status_of_what_is_not_its_child(host: TestHost, tmp_path: Path):
    def check():
        own = _host(tmp_path)
        first = Client(spawning.new_spawner(own))
        made = first.ask("run", **request(tmp_path, "sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.02; done"))
        kept = dict(first.fds)
        old = first.ask("hello")["pid"]
        os.kill(old, signal.SIGKILL)
        first.channel.close()
        second = Client(spawning.new_spawner(own))
        about = {"container": "c", "pid": made["pid"], "start_time": made["start_time"]}
        second.ask("adopt", kept, **about)
        second.ask("hello")
        second.event("hello_end")
        assert [e["state"] for e in second.events if e["event"] == "container"] == ["running"]
        eventually(lambda: asked_to_end(made["pid"]))
        end = second.event("exited")
        second.ask("forget", container="c")
        spawner = second.ask("hello")["pid"]
        os.kill(spawner, signal.SIGKILL)
        return end["code"], end["signal"]

    known = tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 15)
    assert host.call(check) == ((9, None) if known else (None, None))


def test_descriptors_and_values_are_stored_and_dropped(host: TestHost):
    def check():
        with private() as spawner:
            reading, writing = os.pipe()
            spawner.ask("store", {"read": reading, "write": writing}, key="pipe", value={"port": 53})
            close_all([reading, writing])
            spawner.ask("hello")
            stored = spawner.event("stored")
            assert stored["value"] == {"port": 53}
            os.write(spawner.fds["write"], b"x")
            assert os.read(spawner.fds["read"], 1) == b"x"
            spawner.event("hello_end")
            spawner.ask("drop", key="pipe")
            spawner.ask("hello")
            spawner.event("hello_end")
            assert spawner.events == []

    host.call(check)


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> paths.Host:
    """A root whose supervisor is SUPERVISOR."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/small_supervisor.py").write_text(SUPERVISOR)
    original = spawning._command

    def command(options: Any) -> tuple[list[str], dict[str, str]]:
        argv, environment = original(options)
        return argv, {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{tmp_path / 'modules'}"}

    monkeypatch.setattr(spawning, "_command", command)
    return paths.open_root(str(tmp_path / "root"))


def _query(root: paths.Host, text: bytes) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(os.path.join(root.run, "control.sock"))
        connection.send(text)
        return connection.recv(1000).decode()


def test_queries_wait_for_a_supervisor_that_is_started_again(host: TestHost, supervised: paths.Host):
    def check():
        assert spawning.start_pair(supervised, supervisor="small_supervisor")
        assert not spawning.start_pair(supervised, supervisor="small_supervisor")
        pid, parent, *_ = _query(supervised, b"pid").split()
        os.kill(int(pid), signal.SIGKILL)
        eventually(lambda: gone(int(pid)))
        again, same, *seen = _query(supervised, b"pid").split()
        assert (again != pid, same) == (True, parent)
        assert seen == ["None", "stored", "hello_end"]
        assert _query(supervised, b"shutdown") == "True"
        eventually(lambda: gone(int(parent)) and gone(int(again)))
        return os.listdir(supervised.run)

    assert host.call(check) == ["start.lock"]


def test_a_reply_for_a_dead_supervisor_does_not_reach_its_successor(host: TestHost, tmp_path: Path):
    def check():
        ours, theirs = pair()
        spawner = Spawner(None, theirs, private=False)
        ours.send({"id": 7, "op": "create", **request(tmp_path, "sleep", "9")})
        spawner._hear()
        ours.close()
        spawner._hear()
        ours, spawner._channel = pair()
        client = Client(ours)
        ours.send({"id": 7, "op": "hello"})
        spawner._hear()
        (entry,) = spawner.table
        spawner._advance(entry, wait=True)
        assert client.event("container")["state"] == "created"
        assert client.events == [{"v": 1, "re": 7, "ok": True, **client.events[0]}, {"v": 1, "event": "hello_end"}]
        spawner.finish()

    host.call(check)


def test_it_does_not_go_while_somebody_starts(host: TestHost, supervised: paths.Host):
    def check():
        spawning.start_pair(supervised, supervisor="small_supervisor")
        with paths.lock(os.path.join(supervised.run, "start.lock")):
            assert _query(supervised, b"shutdown") == "False"
        assert _query(supervised, b"shutdown") == "True"

    host.call(check)


def test_a_stale_socket_is_replaced(host: TestHost, supervised: paths.Host):
    def check():
        spawning.start_pair(supervised, supervisor="small_supervisor")
        pid, parent, *_ = _query(supervised, b"pid").split()
        os.kill(int(parent), signal.SIGKILL)
        os.kill(int(pid), signal.SIGKILL)
        eventually(lambda: not spawning.is_served(supervised))
        assert spawning.start_pair(supervised, supervisor="small_supervisor")
        assert _query(supervised, b"shutdown") == "True"

    host.call(check)


def test_a_supervisor_that_never_stays_up_is_given_up(host: TestHost, supervised: paths.Host, tmp_path: Path):
    (tmp_path / "modules/no_supervisor.py").write_text("print('no')\nraise SystemExit(1)\n")

    def check():
        spawning.start_pair(supervised, supervisor="no_supervisor")
        with pytest.raises((ConnectionError, FileNotFoundError)):
            _query(supervised, b"pid")
        eventually(lambda: not spawning.is_served(supervised))
        assert (Path(supervised.root) / "supervisor.log").read_text() == "no\n" * 5
        return os.listdir(supervised.run)

    assert host.call(check) == ["start.lock"]


def test_the_foreground_pair_ends_on_sigterm_and_leaves_no_socket(host: TestHost, supervised: paths.Host):
    def check():
        child = os.fork()
        if child == 0:
            spawning.foreground(supervised, supervisor="small_supervisor")
        eventually(lambda: spawning.is_served(supervised))
        pid = int(_query(supervised, b"pid").split()[0])
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        eventually(lambda: gone(pid))
        return os.listdir(supervised.run)

    assert host.call(check) == ["start.lock"]
