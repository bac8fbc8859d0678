from __future__ import annotations

import pytest

from stackup.errors import BadInput
from stackup.planner.desired import Desired
from stackup.planner.graph import graph, to_dot, to_text
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
    with pytest.raises(BadInput, match="a circle of dependencies: service:"):
        graph(made)


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
