"""The stack every tool is measured with: N services that sleep, a memory limit each, one network."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

SLEEP = ["busybox", "sleep", "1000000"]


def stack_yaml(count: int, changed: int | None = None) -> str:
    """For stackup; service number `changed` gets another environment."""
    lines = ["name: bench", "images:", "  bb: {layers: [{host: {programs: [busybox]}}]}", "services:"]
    for number in range(1, count + 1):
        more = ", environment: {CHANGED: yes}" if number == changed else ""
        lines.append(
            f"  s{number}: {{image: bb, command: [{', '.join(map(quote, SLEEP))}], stop_signal: SIGKILL, "
            f"resources: {{memory: 64M}}{more}}}"
        )
    return "\n".join(lines) + "\n"


def compose_yaml(count: int, changed: int | None = None) -> str:
    """For docker-compose: the same, in its words (`mem_limit` works without swarm)."""
    lines = ['version: "2.4"', "services:"]
    for number in range(1, count + 1):
        more = ', environment: {CHANGED: "yes"}' if number == changed else ""
        lines.append(
            f"  s{number}: {{image: bb, command: [{', '.join(map(quote, SLEEP))}], stop_signal: SIGKILL, "
            f"mem_limit: 64m{more}}}"
        )
    return "\n".join(lines) + "\n"


def quote(word: str) -> str:
    return f'"{word}"'


def image_tar(path: Path) -> None:
    """A root file system with nothing but busybox, for `docker import` and `podman import`."""
    busybox = os.path.realpath("/bin/busybox")
    with tarfile.open(path, "w") as tar:
        for folder in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
