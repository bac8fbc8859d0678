from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is one with a stack file, and the root a place where nothing is yet."""
    from .cli_values import STACK

    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "stack.yaml").write_text(STACK)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STACKUP_ROOT", str(tmp_path / "root"))
    for name in ("FORCE_COLOR", "NO_COLOR", *(name for name in os.environ if name.startswith("COMPOSE_"))):
        monkeypatch.delenv(name, raising=False)
    return folder
