"""A project folder with a stack of shell services, and the verbs that the tests of promises need."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from .testhost import TestHost, write_stack

HEAD = """
name: {name}
images:
  tools: {{layers: [{{host: {{programs: [sh, sleep, cat, ls, id, stat, touch, rm]}}}}]}}
"""


class Project:
    """`services`: the YAML of `services:` and what follows. Images: `tools`, unless `images` gives more lines."""

    def __init__(self, host: TestHost, services: str, *, name: str = "shop", images: str = "") -> None:
        self.host = host
        self.name = name
        self.folder = write_stack(host.folder / name, "")
        self.write(services, images)

    def write(self, services: str, images: str = "") -> None:
        text = HEAD.format(name=self.name) + images + "services:\n" + services
        (self.folder / "stack.yaml").write_text(text)

    def cli(self, *argv: str, **options: Any) -> str:
        return str(self.host.cli("-C", str(self.folder), *argv, **options).stdout)

    def up(self, *argv: str, **options: Any) -> str:
        return self.cli("up", *argv, **options)

    def down(self, *argv: str) -> None:
        self.cli("down", *argv)

    def rows(self) -> list[dict[str, Any]]:
        return list(json.loads(self.cli("ps", "--format", "json")))

    def row(self, service: str, number: int = 1) -> dict[str, Any]:
        (found,) = [r for r in self.rows() if (r["service"], r["number"]) == (service, number)]
        return found

    def until(self, service: str, **wanted: Any) -> dict[str, Any]:
        """The row of `ps` once it says what is wanted."""
        deadline = time.monotonic() + 20
        while True:
            row = self.row(service)
            if all(row.get(k) == v for k, v in wanted.items()):
                return row
            assert time.monotonic() < deadline, f"{service} never became {wanted}; it is {row}"
            time.sleep(0.05)

    def lines(self, *argv: str) -> list[str]:
        """What the services said, without the prefixes."""
        return [line.partition(" | ")[2] for line in self.cli("logs", *argv).splitlines()]

    def inside(self, service: str, *argv: str) -> str:
        return self.cli("exec", service, *argv)

    def supervisor(self) -> int:
        """Pid of the supervisor of this host's root."""
        mark = "stackup.engine.supervisor\0"
        for entry in os.listdir("/proc"):
            try:
                line = Path(f"/proc/{entry}/cmdline").read_text() if entry.isdigit() else ""
            except OSError:
                continue
            if mark in line and str(self.host.root) in line:
                return int(entry)
        raise AssertionError("no supervisor runs")
