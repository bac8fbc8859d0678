"""Stack -> graph -> Desired, and the graph told as text and DOT. The one home of networkx; imported by the CLI only.

Nodes are addresses (`image:web`, `network:default`, `volume:data`, `service:web`), edges run from a dependency to what
depends on it, so a topological order is an order of creation. That order takes no library: networkx, whose import costs
more than the rest of a no-op `up`, is loaded for the graph as a value and to name a circle.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stackup.errors import BadInput
from stackup.planner.desired import Desired, DesiredImage, DesiredNetwork, DesiredService, DesiredVolume
from stackup.spec.model import Image, Loaded, Path, Service, Stack

if TYPE_CHECKING:
    import networkx as nx

_SECTIONS = {"images": "image", "networks": "network", "volumes": "volume", "services": "service"}
_CONDITIONS = {"service_healthy": "healthy", "service_completed_successfully": "completed"}

Edges = Mapping[tuple[str, str], str]
"""(dependency, dependent) -> the condition, "" where a start is enough."""


def graph(stack: Stack) -> nx.DiGraph:
    """The dependency graph. An edge to a service carries `condition` where more than a start is asked for.

    BadInput where something depends on itself; the stack file's own checks report that earlier, with its lines.
    """
    import networkx as nx

    nodes, edges = _parts(stack)
    drawn = nx.DiGraph(name=stack.name)
    drawn.add_nodes_from(nodes)
    for (dependency, dependent), condition in edges.items():
        drawn.add_edge(dependency, dependent, condition=condition)
    if not nx.is_directed_acyclic_graph(drawn):
        circle = [edge[0] for edge in nx.find_cycle(drawn)]
        raise BadInput(f"a circle of dependencies: {' -> '.join([*reversed(circle), circle[-1]])}")
    return drawn


def _parts(stack: Stack) -> tuple[list[str], Edges]:
    """Nodes in the order of the file's sections, and edges."""
    edges: dict[tuple[str, str], str] = {}
    for image in stack.images.values():
        if image.base in stack.images:
            edges[f"image:{image.base}", f"image:{image.name}"] = ""
    for service in stack.services.values():
        for needed, condition in _needs(stack, service):
            edges[needed, f"service:{service.name}"] = condition
    nodes = [f"{kind}:{key}" for section, kind in _SECTIONS.items() for key in getattr(stack, section)]
    return list(dict.fromkeys([*nodes, *(node for edge in edges for node in edge)])), edges


def order(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Dependencies first; among those that may come next, the first of `nodes`. What stands on a circle is left out."""
    rank = {node: number for number, node in enumerate(nodes)}
    names, waiting = list(rank), dict.fromkeys(rank, 0)
    dependents: dict[str, list[str]] = {}
    for dependency, dependent in edges:
        waiting[dependent] += 1
        dependents.setdefault(dependency, []).append(dependent)
    free = [rank[node] for node, count in waiting.items() if not count]
    done = []
    while free:
        node = names[heapq.heappop(free)]
        done.append(node)
        for dependent in dependents.get(node, ()):
            waiting[dependent] -= 1
            if not waiting[dependent]:
                heapq.heappush(free, rank[dependent])
    return done


def _needs(stack: Stack, service: Service) -> Iterable[tuple[str, str]]:
    if service.image in stack.images:
        yield f"image:{service.image}", ""
    for key in service.networks:
        yield f"network:{key}", ""
    for mount in service.volumes:
        if mount.type == "volume" and mount.source:
            yield f"volume:{mount.source}", ""
    for name, dependency in service.depends_on.items():
        if name in stack.services:
            yield f"service:{name}", _CONDITIONS.get(dependency.condition, "")


def desired(loaded: Loaded) -> Desired:
    """The whole wish of a file. What a command is about is said by `reconcile.Options`, not by leaving things out."""
    stack = loaded.stack
    nodes, edges = _parts(stack)
    names = {k: name for k, v in stack.volumes.items() if (name := v.external_name if v.external else v.own_name)}
    ordered = order(nodes, edges)
    if len(ordered) < len(nodes):
        graph(stack)  # names the circle
    return Desired(
        stack=stack.name,
        folder=stack.folder,
        file=stack.file,
        images={k: _image(stack, i) for k, i in stack.images.items()},
        services={k: _service(stack, _mounting(s, names)) for k, s in stack.services.items()},
        networks={k: DesiredNetwork(key=k, name=f"{stack.name}_{k}", network=n) for k, n in stack.networks.items()},
        volumes={
            k: DesiredVolume(key=k, name=names.get(k) or f"{stack.name}_{k}", volume=v)
            for k, v in stack.volumes.items()
        },
        order=tuple(ordered),
        edges=tuple(sorted((dependent, dependency) for dependency, dependent in edges)),
        places=_places(loaded.origins),
        inactive=stack.inactive,
    )


def _mounting(service: Service, names: Mapping[str, str]) -> Service:
    """With the names of its volumes: a container keeps the one that it was made with."""
    if not any(m.type == "volume" and m.source in names for m in service.volumes):
        return service
    mounts = tuple(replace(m, name=names.get(m.source)) if m.type == "volume" else m for m in service.volumes)
    return replace(service, volumes=mounts)


def _image(stack: Stack, image: Image) -> DesiredImage:
    base = f"{stack.name}/{image.base}" if image.base in stack.images else image.base
    return DesiredImage(name=image.name, reference=f"{stack.name}/{image.name}", image=image, base=base)


def _service(stack: Stack, service: Service) -> DesiredService:
    own = service.image in stack.images
    return DesiredService(
        name=service.name,
        service=service,
        image=f"{stack.name}/{service.image}" if own else service.image,
        image_key=service.image if own else None,
    )


def _places(origins: Mapping[Path, tuple[str, int, int]]) -> dict[str, str]:
    """("services", "web", "resources", "memory") -> `service:web resources.memory`: `stack.yaml:14`."""
    places: dict[str, str] = {}
    for path, (file, line, _column) in origins.items():
        if len(path) >= 2 and (kind := _SECTIONS.get(str(path[0]))):
            address = f"{kind}:{path[1]}"
            field = ".".join(map(str, path[2:]))
            places[f"{address} {field}" if field else address] = f"{file}:{line}"
    return places


def to_text(drawn: nx.DiGraph) -> str:
    """A tree for each thing that nothing depends on; what was drawn above is not drawn out again."""
    lines: list[str] = []
    seen: set[str] = set()

    def draw(node: str, head: str, indent: str, note: str) -> None:
        below = list(drawn.predecessors(node))
        again = node in seen and bool(below)
        lines.append(f"{head}{node}{f' ({note})' if note else ''}{' ...' if again else ''}")
        if again:
            return
        seen.add(node)
        for number, other in enumerate(below):
            last = number == len(below) - 1
            note = drawn.edges[other, node].get("condition", "")
            draw(other, indent + ("└── " if last else "├── "), indent + ("    " if last else "│   "), note)

    for node in drawn:
        if not drawn.out_degree(node):
            draw(node, "", "", "")
    return "\n".join(lines)


_SHAPES = {"image": "box3d", "network": "hexagon", "volume": "cylinder", "service": "box"}


def to_dot(drawn: nx.DiGraph) -> str:
    """The language of graphviz: `stackup graph --dot | dot -Tsvg`. Arrows point to what is needed."""
    lines = [f"digraph {_quote(drawn.graph['name'])} {{", "  rankdir=LR;"]
    for node in drawn:
        lines.append(f"  {_quote(node)} [shape={_SHAPES[node.partition(':')[0]]}];")
    for dependency, dependent, facts in drawn.edges(data=True):
        label = f" [label={_quote(facts['condition'])}]" if facts.get("condition") else ""
        lines.append(f"  {_quote(dependent)} -> {_quote(dependency)}{label};")
    return "\n".join([*lines, "}"])


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
