"""Reading the file alone: `config -q` of a small Compose file and of one with 1,000 services and 4,000 lines."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .clock import Times, timed

SIZES = {"config, 5 services, 20 lines": 5, "config, 1,000 services, 4,000 lines": 1000}


def compose_yaml(count: int) -> str:
    lines = ["services:"]
    for number in range(count):
        lines += [
            f"  s{number}:",
            "    image: busybox:1",
            f'    command: [sleep, "{number}"]',
            f'    environment: {{LEVEL: "${{LEVEL:-info}}", NUMBER: "{number}"}}',
        ]
    return "\n".join(lines) + "\n"


def compare(folder: Path, reps: int, only: str) -> None:
    programs = {"stackup": [sys.executable, "-m", "stackup"]}
    if (compose := shutil.which("docker-compose")) and not only:
        programs["docker-compose"] = [compose]
    times = {name: Times() for name in programs}
    for row, count in SIZES.items():
        project = folder / f"loader{count}"
        project.mkdir(parents=True)
        (project / "compose.yaml").write_text(compose_yaml(count))
        for name, program in programs.items():
            for _ in range(reps):
                times[name].add(row, timed([*program, "config", "-q"], cwd=project))
    show(reps, times)


def show(reps: int, times: dict[str, Times]) -> None:
    print(f"\nreading the file, median of {reps}")
    print(f"{'':36}" + "".join(f"{name:>18}" for name in times))
    for row in SIZES:
        print(f"{row:36}" + "".join(f"{one.median(row) or 0:>16.2f} s" for one in times.values()), flush=True)
