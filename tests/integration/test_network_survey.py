"""`doctor` says what is wrong with a network in the kernel, on the real kernel."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from .testhost import TestHost, write_stack

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """
name: one
images: {tools: {layers: [{host: {programs: [sleep]}}]}}
services: {one: {image: tools, command: [sleep, infinity], stop_signal: SIGKILL}}
"""


def networks(host: TestHost) -> dict[str, tuple[bool, str]]:
    features = json.loads(host.cli("doctor", "--format", "json").stdout)
    return {f["name"]: (f["present"], f["detail"]) for f in features if f["name"].startswith(("network ", "links"))}


def test_doctor_sees_a_sound_network_and_a_broken_one(host: TestHost) -> None:
    folder = write_stack(host.folder / "project", STACK)
    host.cli("-C", str(folder), "up")
    (name,) = networks(host)
    present, detail = networks(host)[name]
    assert name == "network one_default" and present and detail.endswith("1 container link")

    def harm() -> None:
        (bridge,) = [line.split()[1].rstrip(":") for line in _ip("-o", "link", "show", "type", "bridge")]
        _ip("addr", "flush", "dev", bridge)

    host.call(harm)
    present, detail = networks(host)[name]
    assert not present and "lacks its address" in detail
    host.cli("-C", str(folder), "down")
    assert networks(host) == {}


def _ip(*words: str) -> list[str]:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout.splitlines()
