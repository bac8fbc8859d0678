"""Supervisor, spawner or both die at any moment of any verb; the next `up` converges, the next `down` leaves nothing.

The moments come from a seed, which a failure names. STACKUP_KILLS says how many rounds a run has.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .engine_helpers import Project, alive
from .testhost import TestHost, eventually

STACK = """
name: chaos
images:
  tools: {layers: [{host: {programs: [sh, sleep, cat]}}]}
services:
  store:
    image: tools
    command: [sh, -c, 'trap "exit 0" TERM; while true; do sleep 0.1; done']
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, cat, /etc/hostname], interval: 1s}
  web:
    image: tools
    replicas: 2
    command: [sleep, infinity]
    ports: ["18082:80"]
    environment: {EDIT: "0"}
    depends_on: {store: {condition: service_healthy}}
    restart: always
  plain:
    image: tools
    command: [sleep, infinity]
    resources: {memory: 32M, pids: 10}
volumes: {data: {}}
"""
VERBS = ("up", "edit", "down", "restart", "stop", "scale")
WHO = ("supervisor", "spawner", "both", "both", "command")


def _pair(host: TestHost) -> dict[str, list[int]]:
    """Pids of this root's supervisors and spawners."""
    found: dict[str, list[int]] = {"supervisor": [], "spawner": []}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(host.root) in line and alive(int(entry)):
            for name, pids in found.items():
                if f"stackup.{'engine' if name == 'supervisor' else 'runtime'}.{name}" in line:
                    pids.append(int(entry))
    found["spawner"] = [p for p in found["spawner"] if _parent(p) not in found["spawner"]]  # a child before its exec
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _round(project: Project, chance: random.Random) -> str:
    host, verb, who = project.host, chance.choice(VERBS), chance.choice(WHO)
    moment = chance.uniform(0, 0.9)
    if verb == "edit":
        project.edit("EDIT: ", "EDIT: 1")
    if verb == "scale":
        count = chance.choice("1234")
        text = (project.folder / "stack.yaml").read_text().splitlines()
        text = [f"    replicas: {count}" if line.startswith("    replicas:") else line for line in text]
        (project.folder / "stack.yaml").write_text("\n".join(text) + "\n")
    words = [verb if verb not in ("edit", "scale") else "up"]
    command = host.popen(
        "-C", str(project.folder), *words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    time.sleep(moment)
    pids = _pair(host)
    chosen = [p for name in ("spawner", "supervisor") if who in (name, "both") for p in pids[name]]
    for pid in chosen if who != "command" else [command.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if who == "both" and chance.random() < 0.3:  # what comes in its place dies as well
        time.sleep(chance.uniform(0, 0.2))
        for pid in [p for pids in _pair(host).values() for p in pids]:
            os.kill(pid, signal.SIGKILL)
    _out, said = command.communicate(timeout=60)
    assert "Traceback" not in said and "a mistake in stackup" not in said, said
    return f"{verb}, {who} killed after {moment:.3f} s"


def _converged(project: Project, told: str) -> None:
    project("up")
    wished = int(next(x for x in (project.folder / "stack.yaml").read_text().splitlines() if "replicas:" in x)[-1])
    states = [(r["service"], r["state"]) for r in project.rows()]
    assert sorted(states) == sorted([("store", "running"), ("plain", "running"), *[("web", "running")] * wished]), told
    assert project("plan").startswith("nothing to do"), told
    pids = _pair(project.host)
    assert [len(p) for p in pids.values()] == [1, 1], f"{told}: {pids}"
    assert project("exec", "web", "sh", "-c", "echo hi") == "hi\n", told  # the spawner knows what the supervisor knows


@pytest.mark.timeout(900)
def test_whoever_dies_at_any_moment_the_next_up_converges_and_down_leaves_nothing(host: TestHost) -> None:
    seed = int(os.environ.get("STACKUP_SEED") or 7)
    chance = random.Random(seed)
    project = Project(host, host.folder / "project")
    project.write(STACK)
    project("up")
    for number in range(int(os.environ.get("STACKUP_KILLS") or 12)):
        told = f"seed {seed}, round {number}: {_round(project, chance)}"
        print(told)
        log = host.root / "supervisor.log"
        said = log.read_text() if log.exists() else ""
        assert "Traceback" not in said, f"{told}\n{said}"
        _converged(project, told)
        if number % 6 == 5:
            project("down", "-v")
            eventually(lambda: not host.leftovers(), message=f"{told}: {host.leftovers()}")
    project("down", "-v")
