"""Variables as they are told of: which one a value was made of, and what the files say of each. Apart from nodes and
model, so that reading variables costs little."""

from __future__ import annotations

from typing import NamedTuple

from stackup.classes import dataclass


class Source(NamedTuple):
    """A variable that a value was made of: `name` as it is looked up (`PORT`, `vars.port`), `where` it came from
    (`the environment`, `.env:3`, `--set`, `stack.yaml:4`), None where it was not set."""

    name: str
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable that the files mention. `value` and `where` it came from are None where it is not set.

    `default`, `alternative`: the texts of `${X:-default}` and `${X:+alternative}`; `required`: `${X:?}` somewhere.
    """

    name: str
    default: str | None = None
    alternative: str | None = None
    required: bool = False
    value: str | None = None
    where: str | None = None
