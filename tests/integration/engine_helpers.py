"""What the engine's tests ask of a host: rows of `ps`, the pair's pids."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from .testhost import TestHost, eventually


class Project:
    """A project folder on a test host, with its verbs."""

    def __init__(self, host: TestHost, folder: Path) -> None:
        self.host = host
        self.folder = folder

    def __call__(self, *argv: str, **options: Any) -> str:
        return str(self.host.cli("-C", str(self.folder), *argv, **options).stdout)

    def write(self, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stack.yaml").write_text(text)

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "stack.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def rows(self) -> list[dict[str, Any]]:
        return list(json.loads(self("ps", "--format", "json")))

    def row(self, service: str, number: int = 1) -> dict[str, Any]:
        return next(r for r in self.rows() if (r["service"], r["number"]) == (service, number))

    def until(self, service: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the row of a service shows these values."""

        def check() -> dict[str, Any] | None:
            row = self.row(service)
            return row if all(row.get(k) == v for k, v in wanted.items()) else None

        return dict(eventually(check, message=f"{service} never became {wanted}: {self.row(service)}"))

    # The pair

    def supervisor(self) -> int:
        return int(json.loads((self.host.root / "run" / "identity.json").read_text())["pid"])

    def spawner(self) -> int:
        with open(f"/proc/{self.supervisor()}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))

    def kill(self, *pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            eventually(lambda pid=pid: not alive(pid), message=f"{pid} did not die")


def alive(pid: int) -> bool:
    """Is it there and no zombie? Orphans are reaped by whoever is process 1, in its own time."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
