from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .testhost import TestHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[TestHost]:
    """A fresh host; the test fails if anything of stackup is left on it."""
    one = TestHost(tmp_path)
    try:
        yield one
    finally:
        left = one.close()
    assert not left, "left on the host:\n" + "\n".join(left)
