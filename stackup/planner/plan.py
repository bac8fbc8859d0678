"""A plan: operations, what each has to wait for, and how it reads. Stdlib only.

A plan never changes: `resolve` and `run_half` give another one with fewer nodes. A node that falls away
hands its prerequisites on to those who waited for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace

from stackup.classes import dataclass
from stackup.planner.observed import Observed
from stackup.planner.operations import (
    AwaitService,
    BuildImage,
    CreateNetwork,
    CreateVolume,
    DeleteNetwork,
    DeleteVolume,
    Operation,
    RestartContainer,
)

VERSION = 1
EMPTY_STATUS, PENDING_STATUS = 0, 4  # of `plan --detailed-exitcode`


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`id` is stable: the same wish and the same machine give the same ids. `after`: ids of prerequisites."""

    id: str
    operation: Operation
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Nodes stand after their prerequisites. `serial` is that of the Observed it was made from.

    `replicas`: how many of each service are wished (for telling). `notes`: what the user should know besides, such as
    a global sysctl that creating a network changes. `left_alone`: addresses of what is there, otherwise than
    the file says, and stays as it is -> why.
    """

    version: int = VERSION
    stack: str
    serial: int = 0
    nodes: tuple[Node, ...] = ()
    replicas: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_alone: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.nodes

    @property
    def detailed_status(self) -> int:
        return EMPTY_STATUS if self.empty else PENDING_STATUS

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(n.operation for n in self.nodes)

    @property
    def conditional(self) -> bool:
        """Does anything still hang on an image that is not built?"""
        return any(conditions_of(o) for o in self.operations)

    def run_half(self) -> Plan:
        """All but the images."""
        return self.keep(lambda n: not isinstance(n.operation, BuildImage))

    def keep(self, wanted: Callable[[Node], bool]) -> Plan:
        """The plan of the nodes that `wanted` says yes to."""
        replaced: dict[str, tuple[str, ...]] = {}
        kept: list[Node] = []
        for node in self.nodes:
            after = _unique(p for one in node.after for p in replaced.get(one, (one,)))
            if wanted(node):
                kept.append(replace(node, after=after))
            else:
                replaced[node.id] = after
        return replace(self, nodes=tuple(kept))

    def resolve(self, digests: Mapping[str, str], observed: Observed) -> Plan:
        """What is left once images are built: conditional operations become definite or fall away; none is added.

        `digests`: image key -> digest as built. A condition on an image that is not in it stays a condition.
        """
        applied: dict[str, dict[int, str]] = {}
        for container in observed.containers:
            applied.setdefault(container.service_name, {})[container.number] = container.digest

        def stays(node: Node) -> bool:
            for key, if_changed, service, number in conditions_of(node.operation):
                before = applied.get(service, {})
                old = [before[number]] if number in before else list(before.values())
                if key in digests and any(digest != digests[key] for digest in old) != if_changed:
                    return False
            return True

        left = self.keep(stays)
        settled = [replace(n, operation=_definite(n.operation, digests)) for n in left.nodes]
        return _without_idle_waits(replace(left, nodes=tuple(settled)))

    def lines(self) -> tuple[str, ...]:
        """Every operation on a line, with its cause and what it waits for. Stable: tests compare it."""
        return tuple(
            f"{n.id}: {n.operation.cause}" + (f" <- {', '.join(n.after)}" if n.after else "") for n in self.nodes
        )

    def text(self) -> str:
        """The plan as the user reads it, a line per change; empty for an empty plan. No final line end."""
        from stackup.planner.telling import tell

        return "\n".join(tell(self))


def conditions_of(operation: Operation) -> list[tuple[str, bool, str, int | None]]:
    """(image key, true for "if it changed", the service and the replica whose digest tells); all have to hold."""
    found: list[tuple[str, bool, str, int | None]] = []
    if unless := _image(operation, "unless_unchanged"):
        follows = isinstance(operation, RestartContainer) and operation.follows
        found.append((unless, True, *((follows, None) if follows else _replica(operation))))
    if unchanged := _image(operation, "if_unchanged"):
        found.append((unchanged, False, *_replica(operation)))
    return found


def _image(operation: Operation, name: str) -> str | None:
    address: str | None = getattr(operation, name, None)
    return address.removeprefix("image:") if address else None


def _replica(operation: Operation) -> tuple[str, int]:
    assert not isinstance(
        operation, BuildImage | CreateNetwork | DeleteNetwork | CreateVolume | DeleteVolume | AwaitService
    )
    return operation.service, operation.number


def _definite(operation: Operation, digests: Mapping[str, str]) -> Operation:
    settled: dict[str, str | None] = {
        name: None for name in ("unless_unchanged", "if_unchanged") if _image(operation, name) in digests
    }
    if not settled:
        return operation
    if operation.cause == if_changed(f"image:{_image(operation, 'unless_unchanged')}"):
        settled["cause"] = "image changed"
    return replace(operation, **settled)  # type: ignore[arg-type]


def if_changed(image: str) -> str:
    """The cause of an operation that hangs on an image alone."""
    return f"if {image} comes out changed"


def _without_idle_waits(plan: Plan) -> Plan:
    """A wait that nothing waits for is no change."""
    needed: set[str] = set()
    kept: set[str] = set()
    for node in reversed(plan.nodes):
        if isinstance(node.operation, AwaitService) and node.id not in needed:
            continue
        kept.add(node.id)
        needed.update(node.after)
    return plan.keep(lambda n: n.id in kept)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class Draft:
    """A plan in the making. Ids of prerequisites that never come are dropped when it is finished."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._after: dict[str, list[str]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._operations

    def add(self, node: str, operation: Operation, *after: str | None) -> str:
        assert node not in self._operations, f"{node} twice in a plan"
        self._operations[node] = operation
        self._after[node] = [a for a in after if a]
        return node

    def order(self, earlier: str, later: str) -> None:
        """Let `later` wait for `earlier`, unless that would close a circle."""
        if earlier != later and earlier not in self._after[later] and not self._reaches(earlier, later):
            self._after[later].append(earlier)

    def _reaches(self, start: str, goal: str) -> bool:
        waiting, seen = [start], {start}
        while waiting:
            one = waiting.pop()
            if one == goal:
                return True
            for before in self._after.get(one, ()):
                if before not in seen:
                    seen.add(before)
                    waiting.append(before)
        return False

    def finish(self, **more: object) -> Plan:
        """Prerequisites first, otherwise in the order in which nodes were added."""
        done: set[str] = set()
        nodes: list[Node] = []

        def visit(node: str) -> None:
            stack = [node]
            while stack:
                one = stack[-1]
                if one in done:
                    stack.pop()
                    continue
                missing = [a for a in self._after[one] if a in self._operations and a not in done]
                if missing:
                    stack.extend(reversed(missing))
                    continue
                stack.pop()
                done.add(one)
                after = _unique(a for a in self._after[one] if a in self._operations)
                nodes.append(Node(id=one, operation=self._operations[one], after=after))

        for node in self._operations:
            visit(node)
        return Plan(nodes=tuple(nodes), **more)  # type: ignore[arg-type]
