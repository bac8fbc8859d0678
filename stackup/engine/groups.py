"""Control groups of containers and of build steps, made and removed whatever an unlucky end left behind."""

from __future__ import annotations

import os
import sys

from stackup.errors import Conflict, StackupError
from stackup.oci import Document
from stackup.paths import Host
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


def of_step(host: Host, name: str) -> str:
    """The path of a build step's group; `name` begins with the pid of the command that builds."""
    return f"stackup/{host.id}/b/{name}"


def sweep_steps(host: Host, driver: Driver) -> None:
    """Groups of steps whose command was killed: their processes died with it."""
    for name in driver.list(of_step(host, "").rstrip("/")):
        if not os.path.exists(os.path.join(host.proc, name.partition("-")[0])):
            remove(driver.open(of_step(host, name)))
