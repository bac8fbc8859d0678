"""What variables say about how `up` works: COMPOSE_REMOVE_ORPHANS, COMPOSE_IGNORE_ORPHANS, COMPOSE_PARALLEL_LIMIT.

They are taken from the environment, else from the project's env files. COMPOSE_MENU has nothing to act on here.
"""

from __future__ import annotations

from stackup.cli.settings import Settings
from stackup.engine.conduct import USUAL, Conduct
from stackup.errors import BadInput
from stackup.spec import units
from stackup.spec.variables import Variables

_SHORT = {"1": True, "t": True, "0": False, "f": False}  # besides the words of a file


def of(settings: Settings) -> Conduct:
    """BadInput where a variable says what it cannot mean."""
    project = settings.project()
    if project is None:
        return USUAL
    remove = _truth(project.variables, "COMPOSE_REMOVE_ORPHANS")
    ignore = _truth(project.variables, "COMPOSE_IGNORE_ORPHANS")
    if remove and ignore:
        raise BadInput(
            "COMPOSE_REMOVE_ORPHANS and COMPOSE_IGNORE_ORPHANS contradict each other", hint="unset one of the two"
        )
    return Conduct(keep_orphans=bool(ignore) or remove is False, parallel=_limit(project.variables))


def _truth(variables: Variables, name: str) -> bool | None:
    """None: not said."""
    found = variables.get(name)
    if found is None or not found[0]:
        return None
    meant = _SHORT.get(found[0].strip().lower(), units.truth(found[0]))
    if meant is None:
        raise BadInput(f"{name} is {found[0]!r} ({found[1]})", hint="it is true or false")
    return meant


def _limit(variables: Variables) -> int:
    found = variables.get("COMPOSE_PARALLEL_LIMIT")
    if found is None or not found[0]:
        return 0
    try:
        return max(0, int(found[0]))
    except ValueError:
        hint = "a number of operations at a time, -1: as many as there are"
        raise BadInput(f"COMPOSE_PARALLEL_LIMIT is {found[0]!r} ({found[1]})", hint=hint) from None
