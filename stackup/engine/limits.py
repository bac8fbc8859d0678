"""Are a running container's limits what was applied? Somebody may have written to its control group by hand."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from stackup.errors import StackupError
from stackup.runtime.cgroups.driver import Group
from stackup.runtime.stats import Limits
from stackup.spec.model import Resources

N = TypeVar("N", int, float)

_PAGE = 1 << 16  # the largest of Linux; the kernel rounds a memory limit to whole pages


def as_they_are(group: Group, applied: Resources) -> Resources:
    """The resources that the kernel holds a container to: `applied` itself where they differ by rounding only."""
    try:
        return _merge(applied, group.limits())
    except StackupError:  # the group is gone: so is the container, which others notice
        return applied


def _merge(applied: Resources, found: Limits) -> Resources:
    return dataclasses.replace(
        applied,
        memory=_unless_close(applied.memory, found.memory, _PAGE),
        cpus=_unless_close(applied.cpus, found.cpus, 0.005),
        pids=_unless_close(applied.pids, found.pids, 0),
    )


def _unless_close(applied: N | None, found: N | None, rounding: float) -> N | None:
    if applied is None or found is None:
        return found
    return applied if abs(applied - found) <= rounding else found
