"""Where a value came from, when a variable was put into it. Apart from the nodes, so that reading variables costs no
YAML."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """A variable that a value was made of: `name` as it is looked up (`PORT`, `vars.port`), `where` it came from
    (`the environment`, `.env:3`, `--set`, `stack.yaml:4`), None where it was not set."""

    name: str
    where: str | None
