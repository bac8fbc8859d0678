from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackup.errors import BadInput
from stackup.planner.desired import Desired
from stackup.planner.graph import graph, order, to_dot, to_text
from stackup.spec.model import Dependency, Image
from stackup.values import from_plain, to_plain

from .planner_values import DATA, HEALTHY, service, stack, wish


def test_the_order_puts_dependencies_first_and_is_always_the_same() -> None:
    made = stack(
        service("web", depends_on=HEALTHY), service("store", volumes=(DATA,)),
        images=(Image(name="app", base="base"), Image(name="base")),
    )  # fmt: skip
    assert wish(made).order == (
        "image:base", "image:app", "network:default", "volume:data", "service:store", "service:web",
    )  # fmt: skip
    assert ("service:web", "service:store") in wish(made).edges


def test_names_in_the_store_and_the_root_carry_the_stack() -> None:
    one = wish(stack(service(volumes=(DATA,)), images=(Image(name="app", base="debian:12"),)))
    assert one.images["app"].reference == "shop/app" and one.images["app"].base == "debian:12"
    assert one.services["web"].image == "shop/app" and one.services["web"].image_key == "app"
    assert one.networks["default"].name == "shop_default" and one.volumes["data"].name == "shop_data"


def test_places_are_addresses_and_fields() -> None:
    origins = {
        ("name",): ("stack.yaml", 1, 1),
        ("services", "web"): ("stack.yaml", 3, 3),
        ("services", "web", "ports", 0): ("stack.yaml", 5, 9),
    }
    assert wish(stack(service()), origins).places == {
        "service:web": "stack.yaml:3",
        "service:web ports.0": "stack.yaml:5",
    }


def test_a_circle_is_refused() -> None:
    made = stack(service("a", depends_on={"b": Dependency()}), service("b", depends_on={"a": Dependency()}))
    for draw in (graph, wish):
        with pytest.raises(BadInput, match="a circle of dependencies: service:"):
            draw(made)


@given(st.data())
def test_the_order_is_the_one_networkx_finds(data: st.DataObject) -> None:
    import networkx as nx

    nodes = data.draw(st.permutations("abcdefgh"))
    pairs = st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] != pair[1])
    edges = {("abcdefgh"[min(p)], "abcdefgh"[max(p)]) for p in data.draw(st.lists(pairs))}
    drawn = nx.DiGraph(sorted(edges))
    drawn.add_nodes_from(nodes)
    assert order(nodes, edges) == list(nx.lexicographical_topological_sort(drawn, key=nodes.index))


def test_a_wish_is_drawn_without_networkx() -> None:
    lines = ("import sys", "from tests.unit.planner_values import *", "wish(stack(service()))")
    code = "\n".join((*lines, "assert 'networkx' not in sys.modules"))
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_desired_survives_the_way_through_json() -> None:
    one = wish(stack(service("web", depends_on=HEALTHY), service("store", volumes=(DATA,))))
    assert from_plain(Desired, to_plain(one)) == one


def test_text_is_a_tree_that_draws_nothing_twice() -> None:
    made = stack(
        service("web", depends_on=HEALTHY),
        service("store"),
        images=(Image(name="app", base="base"), Image(name="base")),
    )
    assert to_text(graph(made)).splitlines() == [
        "service:web",
        "├── image:app",
        "│   └── image:base",
        "├── network:default",
        "└── service:store (healthy)",
        "    ├── image:app ...",
        "    └── network:default",
    ]


def test_dot_is_graphviz() -> None:
    text = to_dot(graph(stack(service("web", depends_on=HEALTHY), service("store"))))
    assert text.startswith('digraph "shop" {') and text.endswith("}")
    assert '  "service:web" -> "service:store" [label="healthy"];' in text
