"""Control groups of containers, made and removed whatever an unlucky end left behind."""

from __future__ import annotations

import sys

from stackup.errors import Conflict, StackupError
from stackup.oci import Document
from stackup.runtime.cgroups.driver import Driver, Group


def make(driver: Driver, path: str, resources: Document) -> Group:
    """A new group; one of that name that is still there is taken away first."""
    try:
        return driver.create(path, resources)
    except Conflict:
        remove(driver.open(path))
        return driver.create(path, resources)


def remove(group: Group) -> None:
    """Take a group away with whatever is still in it. What cannot be is said in the log: no reason to stop for it."""
    try:
        group.delete()
    except StackupError:
        try:
            group.kill()
            group.delete()
        except StackupError as error:
            print(f"control group {group.path}: {error}", file=sys.stderr, flush=True)  # noqa: T201
