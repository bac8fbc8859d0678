"""Marks: a test below tests/integration needs root on a Linux kernel and says so when it is skipped."""

from __future__ import annotations

import os
import signal
import sys

import pytest


def pytest_configure() -> None:
    """Whoever starts the tests in the background of a script leaves SIGINT ignored, and tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    refused = not sys.platform.startswith("linux") or os.geteuid() != 0
    for item in items:
        if "/integration/" in str(item.path) or item.get_closest_marker("root"):
            item.add_marker(pytest.mark.root)
            if refused:
                item.add_marker(pytest.mark.skip(reason="needs root on a Linux kernel"))
