"""What README and docs show is what happens: their commands are run, and what they print is compared.

A ```console block with `$ stackup` in it is run in a copy of a sample's folder. `<!-- sample: NAME -->` before
a block starts anew: a fresh copy, everything of before taken down. Each `$ ` line is a command, the lines below it what
it prints (both streams); `...` stands for any lines. Compared is the shape: digits, ids and times say nothing, and
lines that begin with a resource (`service:web/1: ...`) may come in another order, as work is done in parallel.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .testhost import TestHost

HOUSE = Path(__file__).parents[2]
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").glob("*.md"))]
ALSO_RUN = ("sed ", "echo ", "touch ")


@dataclass
class Command:
    line: str
    number: int
    expected: list[str] = field(default_factory=list)


@dataclass
class Session:
    """The blocks of a page that share one copy of a sample."""

    sample: str
    commands: list[Command] = field(default_factory=list)


def sessions(page: Path) -> Iterator[Session]:
    current: Session | None = None
    block: list[Command] | None = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if block is not None:
            if line.startswith("```"):
                if block and any(c.line.startswith("stackup") for c in block):
                    assert current is not None, f"{page.name}:{number}: no `<!-- sample: NAME -->` before this block"
                    current.commands += block
                block = None
            elif line.startswith("$ "):
                block.append(Command(line[2:], number))
            else:
                assert block, f"{page.name}:{number}: output without a command"
                block[-1].expected.append(line)
        elif line.startswith("```console"):
            block = []
        elif found := re.fullmatch(r"<!-- sample: ([a-z]+) -->", line):
            if current is not None:
                yield current
            current = Session(found[1])
    if current is not None:
        yield current


def shape(line: str) -> str:
    line = re.sub(r" \(\d+\.\d s\)$", "", line)  # times too short to tell are not printed
    line = re.sub(r"[0-9a-f]{12,64}", "#", line)
    line = re.sub(r"\d+(\.\d+)?", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def in_any_order(lines: list[str]) -> list[str]:
    """Progress first, sorted; the rest as it came. (Two streams: a result never stands before its progress.)"""
    progress = [line for line in lines if re.match(r"(image|service|volume|network):", line)]
    return sorted(progress) + [line for line in lines if line not in progress]


def matches(expected: list[str], printed: list[str]) -> bool:
    if "..." in expected:
        pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"\n" for line in expected)
        return re.fullmatch(pattern, "".join(line + "\n" for line in printed)) is not None
    return in_any_order(expected) == in_any_order(printed)


PAGES_WITH_COMMANDS = [page for page in PAGES if any(session.commands for session in sessions(page))]


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_is_printed(host: TestHost, page: Path) -> None:
    for number, session in enumerate(sessions(page)):
        folder = host.folder / str(number) / session.sample
        shutil.copytree(HOUSE / "samples" / session.sample, folder)
        for command in session.commands:
            run(host, page, folder, command)
        host.cli("-C", str(folder), "down", "-v", status=None)


def run(host: TestHost, page: Path, folder: Path, command: Command) -> None:
    where = f"{page.relative_to(HOUSE)}:{command.number}"
    assert command.line.startswith(("stackup", *ALSO_RUN)), f"{where}: {command.line} is not run here"
    script = f'stackup() {{ {sys.executable} -m stackup "$@"; }}\n{command.line}'
    done = subprocess.run(
        host.enter("sh", "-c", f"cd {folder}\n{script}"), env=host.environment(PYTHONPATH=str(HOUSE)), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90,
    )  # fmt: skip
    expected = [shape(line) for line in command.expected if line.strip()]
    printed = [shape(line) for line in done.stdout.splitlines() if line.strip()]
    assert matches(expected, printed), f"{where}: {command.line} printed\n{done.stdout}"


def test_there_is_something_to_run() -> None:
    assert {"README", "errors"} <= {page.stem for page in PAGES_WITH_COMMANDS}


def test_the_readme_shows_the_files_as_they_are() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (HOUSE / "README.md").read_text(), re.DOTALL)
    sample = (HOUSE / "samples/guestbook/stack.yaml").read_text()
    assert blocks
    for block in blocks:
        assert block in sample


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not gone


def test_the_readme_has_every_verb() -> None:
    from stackup.cli.app import VERBS

    table = (HOUSE / "README.md").read_text().partition("## Verbs")[2].partition("##")[0]
    named = set(re.findall(r"`([a-z]+)[` ]", table))
    assert set(VERBS) - {"images", "rmi"} <= named
