"""The sandbox as a stack file gets it: through `up` and `exec`, with nothing asked for and with a folder of root's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackup.runtime import capabilities

from .testhost import TestHost, write_stack

STACK = """\
name: box
images:
  tools: {layers: [{host: {programs: [sh, cp, chmod, id, cat, sleep, ls, grep, mkdir]}}]}
services:
  box:
    image: tools
    command: [sh, -c, %r]
    stop_signal: SIGKILL
    %s
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the host can reach (pytest's cannot be)."""
    folder = Path(f"/tmp/shared-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def test_a_service_and_what_joins_it_are_bound_by_default(host: TestHost) -> None:
    look = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; exec sleep 1000"
    folder = write_stack(host.folder / "box", STACK % (look, ""))
    host.cli("-C", str(folder), "up", "--wait")
    try:
        joined = host.cli(
            "-C", str(folder), "exec", "box", "grep", "-E", "^(Cap|NoNew|Seccomp:)", "/proc/self/status"
        ).stdout
        own = host.cli("-C", str(folder), "logs", "box").stdout
        ids = host.cli("-C", str(folder), "exec", "box", "cat", "/proc/self/uid_map").stdout.split()
    finally:
        host.cli("-C", str(folder), "down")
    default = f"{capabilities.mask(capabilities.DEFAULT):016x}"
    for text in (joined, own):
        found = {line.split("\t")[0].split()[-1]: line.split("\t")[1].strip() for line in text.splitlines()}
        assert found == {
            "CapInh:": "0" * 16, "CapPrm:": default, "CapEff:": default, "CapBnd:": default, "CapAmb:": "0" * 16,
            "NoNewPrivs:": "1", "Seccomp:": "2",
        }  # fmt: skip
    assert ids[0] == "0" and int(ids[1]) >= 0x10000000 and ids[2] == "65536"


@pytest.mark.parametrize("owner", [0, 1234])
def test_no_setuid_file_left_in_a_bind_source_makes_a_user_root(host: TestHost, open_folder: Path, owner: int) -> None:
    os.chown(open_folder, owner, owner)
    plant = "cp $(command -v id) /shared/id; chmod u+s,g+s /shared/id; exec sleep 1000"
    folder = write_stack(host.folder / "box", STACK % (plant, f"volumes: ['{open_folder}:/shared']"))
    host.cli("-C", str(folder), "up")
    try:
        host.cli("-C", str(folder), "exec", "box", "sh", "-c", "chmod 6755 /shared/id; mkdir /shared/done", status=None)
    finally:
        host.cli("-C", str(folder), "down")
    planted = open_folder / "id"
    assert planted.exists() and (open_folder / "done").is_dir(), "ordinary work is possible"
    assert planted.stat().st_uid == owner
    ran = subprocess.run([planted, "-u"], capture_output=True, text=True, user=65534, group=65534, extra_groups=[])
    assert ran.stdout.strip() in ("1234", "65534")


def test_a_hostile_working_directory_is_refused_with_a_sentence(host: TestHost) -> None:
    folder = write_stack(host.folder / "box", STACK % ("ls; ls ..", "working_dir: /proc/self/fd/3"))
    done = host.cli("-C", str(folder), "up", status=None)
    host.cli("-C", str(folder), "down")
    assert done.returncode != 0
    assert "working directory" in done.stderr


def test_a_container_cannot_turn_a_bind_source_into_another_folder(host: TestHost, open_folder: Path) -> None:
    """A service that may write the project folder puts a link in place of a source of it; the next start follows it."""
    secret = open_folder / "secret"
    secret.mkdir(mode=0o700)
    (secret / "key").write_text("of the host")
    volumes = "volumes: ['.:/app', './data:/data']"
    folder = write_stack(open_folder / "project", STACK % ("exec sleep 1000", volumes), {"data/own": "mine"})
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 1234, 1234)
    swap = f"cp -r /app/data /app/old; rm -r /app/data; ln -s {secret} /app/data"
    (folder / "stack.yaml").write_text((folder / "stack.yaml").read_text().replace("ls, grep", "ls, rm, ln, grep"))
    host.cli("-C", str(folder), "up")
    try:
        host.cli("-C", str(folder), "exec", "box", "sh", "-c", swap)
        restarted = host.cli("-C", str(folder), "restart", "box", status=None)
        seen = host.cli("-C", str(folder), "exec", "box", "cat", "/data/key", status=None)
    finally:
        host.cli("-C", str(folder), "down")
    assert "of the host" not in seen.stdout, "the container reads what only root may"
    assert restarted.returncode != 0 and "data" in restarted.stderr, "it is said"
