"""What is installed from a checkout: the wheel has every file that is needed, and runs a stack by itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from .testhost import TestHost

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(CHECKOUT)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_code_profiles_types_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (metadata,) = (n for n in names if n.endswith("dist-info/METADATA"))
        said = Parser().parsestr(file.read(metadata).decode())
    ours = {str(p.relative_to(CHECKOUT)) for p in (CHECKOUT / "stackup").rglob("*") if p.is_file()}
    assert {n for n in ours if "__pycache__" not in n} == {n for n in names if ".dist-info/" not in n}
    assert {"stackup/py.typed", "stackup/runtime/profiles/default.x86_64.bpf"} <= names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.11", "Apache-2.0")


@pytest.mark.root
def test_the_wheel_runs_a_stack_without_the_checkout(wheel: Path, host: TestHost) -> None:
    site = host.folder / "site"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    env = {"PYTHONPATH": str(site)}
    hello = CHECKOUT / "samples" / "hello"
    host.cli("-C", str(hello), "up", "--wait", env=env)
    assert "hello from" in host.cli("-C", str(hello), "logs", env=env).stdout
    supervisor = next(
        p for p in host.processes() if b"stackup.engine.supervisor" in Path(f"/proc/{p}/cmdline").read_bytes()
    )
    assert f"PYTHONPATH={site}".encode() in Path(f"/proc/{supervisor}/environ").read_bytes()
    host.cli("-C", str(hello), "down", env=env)
