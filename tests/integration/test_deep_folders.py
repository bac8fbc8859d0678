"""A container may dig deeper than functions call and paths are long; that is its own trouble, not ours."""

from __future__ import annotations

from .testhost import TestHost, eventually, write_stack

DIG = "import os\\nfor i in range(3000):\\n os.mkdir('{name}'); os.chdir('{name}')\\nprint('dug', flush=True)"


def _stack(name: str) -> str:
    dig = DIG.format(name=name)
    return f"""
name: deep
images:
  tools: {{layers: [{{host: {{programs: [python3]}}}}]}}
  dug: {{from: tools, layers: [{{run: [python3, -c, "{dig}"]}}]}}
services:
  digger: {{image: tools, network_mode: none, command: [python3, -c, "{dig}\\nimport signal; signal.pause()"]}}
"""


def test_deep_folders_of_a_container_are_taken_away(host: TestHost) -> None:
    for name in ("d", "d" * 200):  # deeper than a function calls itself; longer than a path may be
        project = write_stack(host.folder / "project", _stack(name))
        host.cli("-C", str(project), "up")
        eventually(lambda p=project: "dug" in host.cli("-C", str(p), "logs").stdout)  # type: ignore[misc]
        host.cli("-C", str(project), "down")


def test_a_layer_that_is_too_deep_is_an_error_and_leaves_nothing(host: TestHost) -> None:
    for name in ("d", "d" * 200):
        project = write_stack(host.folder / "project", _stack(name))
        told = host.cli("-C", str(project), "build", "dug", status=1).stderr
        assert "nested too deep" in told or "File name too long" in told, told
        assert not [n for n in (host.root / "tmp").iterdir() if n.name != "format"]
