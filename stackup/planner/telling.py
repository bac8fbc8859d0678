"""A plan as the user reads it: what is done to what, and why. Stdlib only.

The operations on one replica are one line (stop, delete, create and start are `replace`), and replicas to which the
same happens for the same reason are one line too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stackup.planner.operations import (
    AwaitService,
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DeleteContainer,
    DeleteNetwork,
    DeleteVolume,
    Operation,
    RestartContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
    resource,
)
from stackup.planner.plan import Plan

_WORDS = {
    CreateNetwork: "create", DeleteNetwork: "delete", CreateVolume: "create", DeleteVolume: "delete",
    CreateContainer: "create", StartContainer: "start", StopContainer: "stop", DeleteContainer: "delete",
    UpdateContainer: "live", RestartContainer: "restart",
}  # fmt: skip
_CONDITIONS = {
    "service_started": "started", "service_healthy": "healthy", "service_completed_successfully": "completed",
}  # fmt: skip

_Key = tuple[str, int, str | None, str | None, str]


@dataclass(slots=True)
class _Group:
    """Operations on one replica that belong together."""

    service: str
    number: int
    cause: str
    unless: str | None
    if_unchanged: str | None
    kinds: set[type[Operation]] = field(default_factory=set)

    @property
    def verb(self) -> str:
        if CreateContainer in self.kinds:
            return "replace" if DeleteContainer in self.kinds else "create"
        if DeleteContainer in self.kinds:
            return "remove"
        return " and ".join(_WORDS[k] for k in self.kinds)

    @property
    def why(self) -> str:
        if self.unless:
            condition = f"if {self.unless} comes out changed"
            return f" {condition}" if self.cause == condition else f" {condition}: {self.cause}"
        if self.if_unchanged:
            return f" if {self.if_unchanged} comes out unchanged: {self.cause}"
        return f": {self.cause}" if self.cause else ""


def tell(plan: Plan) -> list[str]:
    """Lines without line ends, in the order in which work starts."""
    groups: dict[_Key, _Group] = {}
    lines: list[str | _Group] = []
    for node in plan.nodes:
        operation = node.operation
        match operation:
            case BuildImage():
                lines += _build(operation)
            case CreateNetwork(mend=True):
                lines.append(f"mend {resource(operation)}: {operation.cause}")
            case CreateNetwork() | DeleteNetwork() | CreateVolume() | DeleteVolume():
                lines.append(f"{_WORDS[type(operation)]} {resource(operation)}: {operation.cause}")
            case AwaitService(number=int()):
                pass  # between two replicas of a service: said once, by the documentation
            case AwaitService():
                condition = _CONDITIONS[operation.condition]
                lines.append(f"wait until {resource(operation)} is {condition}: {operation.cause}")
            case _:
                unless, same = getattr(operation, "unless_unchanged", None), getattr(operation, "if_unchanged", None)
                key = (operation.service, operation.number, unless, same, operation.cause)
                if key not in groups:
                    groups[key] = _Group(operation.service, operation.number, operation.cause, unless, same)
                    lines.append(groups[key])
                groups[key].kinds.add(type(operation))
    return _merged(lines, plan)


def _build(operation: BuildImage) -> list[str]:
    bound = " (tied to this machine)" if operation.host_bound else ""
    lines = [f"build image:{operation.name}: {operation.cause}{bound}"]
    for step in operation.steps:
        reason = f": {step.reason}" if step.reason and not step.hit else ""
        lines.append(f"    {'hit ' if step.hit else 'miss'}  {step.text}{reason}")
    return lines


def _merged(lines: list[str | _Group], plan: Plan) -> list[str]:
    """Replicas that share service, verb and reason become one line, where the first of them stands."""
    same: dict[tuple[str, str, str], list[_Group]] = {}
    for line in lines:
        if isinstance(line, _Group):
            same.setdefault((line.service, line.verb, line.why), []).append(line)
    told: list[str] = []
    for line in lines:
        if isinstance(line, str):
            told.append(line)
            continue
        alike = same[line.service, line.verb, line.why]
        wished = plan.replicas.get(line.service)
        everyone = wished is not None and {g.number for g in alike} == set(range(1, wished + 1))
        if everyone or (wished is None and len({g.number for g in alike}) == len(alike)):
            if line is alike[0]:
                count = f" ({len(alike)} replicas)" if len(alike) > 1 else ""
                told.append(f"{line.verb} service:{line.service}{count}{line.why}")
        else:
            told.append(f"{line.verb} service:{line.service}/{line.number}{line.why}")
    return told
