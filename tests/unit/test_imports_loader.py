"""What a load brings along: a plain stack file pays for no more than it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackup.spec import canonical, later

PLAIN = """
services:
  web:
    image: registry.example/web:1.2
    command: serve --port 80
    ports: ["8080:80"]
    environment: {LEVEL: info}
    volumes: ["data:/data", "./src:/app:ro"]
    depends_on: [db]
    healthcheck: {test: curl localhost, interval: 5s}
  db:
    image: db
    restart: always
volumes: {data: }
"""
CODE = """
import sys
from stackup.spec.load import load
load(sys.argv[1], environment={})
print(*sys.modules)
"""
# What only some files need, and what only other verbs do.
SELDOM = {
    f"stackup.spec.{name}"
    for name in (
        "annotate", "descriptions", "dotenv", "dump", "expressions", "extends", "include", "init", "interpolate",
        "later", "lint", "pending", "schema", "support", "templating", "unheeded", "written",
    )
}  # fmt: skip
HEAVY = {"jinja2", "ipaddress", "difflib", "subprocess", "json", "asyncio", "typer", "rich", "pydantic", "networkx"}


# What a service says, and a module that it is read with.
SAYS = {
    "include: [other.yaml]": "include",
    "services: {web: {image: a}, two: {extends: web}}": "extends",
    "services: {web: {image: a, command: '$$HOME'}}": "interpolate",
    "services: {web: {image: a, env_file: a.env}}": "dotenv",
    "services: {web: {image: a, command: '{{ 1 + 1 }}'}}": "expressions",
    "services: {web: {image: a, init: true}}": "unheeded",
    "services: {web: {image: a, secrets: [a]}}\nsecrets: {a: {file: a}}": "later",
    "services: {web: {image: a, platform: linux/amd64}}": "support",
    "services: {web: {image: a, gpus: all}}": "pending",
}


def brought(folder: Path, text: str) -> set[str]:
    """The modules of a new process that has loaded a stack file of this text."""
    (folder / "stack.yaml").write_text(text)
    done = subprocess.run([sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_plain_file_brings_what_every_file_needs(tmp_path: Path) -> None:
    modules = brought(tmp_path, PLAIN)
    assert "stackup.spec.validate" in modules and "yaml" in modules
    assert modules & (SELDOM | HEAVY) == set()
    rooms = {name.split(".")[1] for name in modules if name.startswith("stackup.")}
    assert rooms <= {"spec", "errors", "classes"}


@pytest.mark.parametrize(("text", "module"), SAYS.items())
def test_what_a_file_says_brings_its_reader(text: str, module: str, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("services: {web: {image: a}}")
    (tmp_path / "a.env").write_text("A=1")
    assert f"stackup.spec.{module}" in brought(tmp_path, text)


def test_no_key_is_looked_for_in_vain() -> None:
    assert later.SERVICE.keys() | later.SECTIONS.keys() == canonical.LATER
