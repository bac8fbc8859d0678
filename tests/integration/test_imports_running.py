"""What the running supervisor and the running spawner have loaded, read from their memory.

Every imported module leaves the path of its file in the process (`co_filename`); a folder listing does not.
"""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import pytest

from .testhost import TestHost, eventually, write_stack

STACK = """
name: one
images: {tools: {layers: [{host: {programs: [sleep]}}]}}
services: {one: {image: tools, command: [sleep, infinity], ports: ["18080:80"]}}
"""
SITE = sysconfig.get_path("purelib")
STDLIB = sysconfig.get_path("stdlib")
CLI_ONLY = ("networkx", "pydantic", "pydantic_core", "pyroute2", "yaml", "jinja2", "typer", "rich", "elftools")


def memory(pid: int) -> bytes:
    """All that the process can write, which is where a Python keeps its objects."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, rights, *_rest = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            mem.seek(start)
            try:
                parts.append(mem.read(end - start))
            except OSError:
                continue
    return b"".join(parts)


def processes(host: TestHost, name: str) -> list[int]:
    found = []
    for pid in host.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if name in words and os.path.basename(words[0]).startswith("python"):
            found.append(pid)
    return found


def has(content: bytes, module: str) -> bool:
    return any(f"{folder}/{module}/".encode() in content for folder in (SITE, STDLIB))


@pytest.fixture
def pair(host: TestHost) -> tuple[bytes, bytes]:
    """Memory of spawner and supervisor after up, exec, a change and what else makes them load things."""
    folder = write_stack(host.folder / "project", STACK)
    host.cli("-C", str(folder), "up")
    host.cli("-C", str(folder), "exec", "one", "sleep", "0")
    write_stack(folder, STACK.replace("image: tools,", "image: tools, resources: {memory: 64M},"))
    host.cli("-C", str(folder), "up")
    (spawner,) = eventually(lambda: processes(host, "stackup.runtime.spawner"))
    (supervisor,) = eventually(lambda: processes(host, "stackup.engine.supervisor"))
    seen = memory(spawner), memory(supervisor)
    (row,) = json.loads(host.cli("-C", str(folder), "ps", "--format", "json").stdout)
    assert row["state"] == "running"
    host.cli("-C", str(folder), "down")
    return seen


def test_the_pair_stays_lean(pair: tuple[bytes, bytes]) -> None:
    spawner, supervisor = pair
    # This way of looking does see a module that is there.
    assert b"stackup/runtime/spawner.py" in spawner and has(supervisor, "asyncio") and has(supervisor, "apsw")
    assert [m for m in CLI_ONLY if has(supervisor, m)] == []
    lean = (*CLI_ONLY, "apsw", "dnslib", "asyncio", "sqlite3")
    assert [m for m in lean if has(spawner, m)] == []
    for room in ("engine", "planner", "builder", "spec", "cli"):
        assert f"stackup/{room}/".encode() not in spawner, room
    for module in ("planner/graph.py", "spec/load.py", "cli/"):
        assert f"stackup/{module}".encode() not in supervisor, module
