"""What the pages say of keys, rules and options is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stackup.spec import support

HOUSE = Path(__file__).parents[2]
STACK_FILE = (HOUSE / "docs/stack-file.md").read_text()


def section(page: str, title: str) -> str:
    found = page.partition(f"\n## {title}\n")[2]
    assert found, f"no section {title}"
    return found.partition("\n## ")[0]


def words(text: str) -> set[str]:
    return {word for code in re.findall(r"`([^`]*)`", text) for word in re.findall(r"[a-z_]+", code)}


def test_every_key_of_a_service_that_is_obeyed_is_listed() -> None:
    obeyed = {*support.OBEYED["services.*"].split(), *support.OURS["services.*"].split()}
    table = section(STACK_FILE, "Services").partition("###")[0]
    assert obeyed - words(table) == set()


def test_no_key_is_listed_that_is_not_obeyed() -> None:
    others = {*support.WARNED["services.*"], *support.WITHOUT_EFFECT["services.*"], *support.REJECTED["services.*"]}
    rows = [row for row in section(STACK_FILE, "Services").splitlines() if row.startswith("| ")]
    assert words("\n".join(rows)) & others == set()


def test_every_option_of_config_is_listed() -> None:
    from typer.main import get_command

    from stackup.cli.app import app

    page = section((HOUSE / "docs/cli.md").read_text(), "What config shows")
    config = get_command(app).get_command(None, "config")  # type: ignore[attr-defined, arg-type]
    for parameter in config.params:
        assert any(re.search(rf"`{name}\b", page) for name in parameter.opts), parameter.opts


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", STACK_FILE, re.DOTALL))
def test_what_is_shown_is_yaml(block: str) -> None:
    assert isinstance(yaml.safe_load(block), dict)
