"""Our `dataclass` gives the same classes as the standard library's, for every option that the house uses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from stackup import classes

OPTIONS: tuple[dict[str, bool], ...] = (
    {}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True}, {"slots": True, "eq": False},
    {"frozen": True, "slots": True, "kw_only": True}, {"frozen": True, "slots": True, "order": True},
)  # fmt: skip


def both(build: Callable[[Callable[..., Any]], type], **options: bool) -> tuple[Any, Any]:
    return build(classes.dataclass(**options)), build(dataclasses.dataclass(**options))


def point(decorate: Callable[..., Any]) -> type:
    @decorate
    class Point:
        """A place."""

        kind: ClassVar[str] = "point"
        x: int
        y: int = 2
        tags: dict[str, int] = field(default_factory=dict)

        @property
        def sum(self) -> int:
            return self.x + self.y

    return Point


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_values_behave_alike(options: dict[str, bool]) -> None:
    for one in both(point, **options):
        value, same, other = one(x=1), one(x=1), one(x=3, y=1, tags={"a": 1})
        assert (value.x, value.y, value.tags, value.sum, value.kind) == (1, 2, {}, 3, "point")
        assert value.tags is not same.tags
        assert (value == same) == options.get("eq", True) and value != other and value != (1, 2, {})
        assert repr(other).endswith("Point(x=3, y=1, tags={'a': 1})")
        assert [f.name for f in dataclasses.fields(one)] == ["x", "y", "tags"]
        assert dataclasses.replace(other, x=5).x == 5 and dataclasses.asdict(other)["tags"] == {"a": 1}
        assert hasattr(value, "__dict__") != options.get("slots", False)
        assert one.__doc__ == "A place." and one.__match_args__ == (() if "kw_only" in options else ("x", "y", "tags"))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_they_refuse_alike(options: dict[str, bool]) -> None:
    for one in both(point, **options):
        for wrong in ({}, {"x": 1, "z": 2}):
            with pytest.raises(TypeError):
                one(**wrong)
        if options.get("frozen"):
            with pytest.raises(dataclasses.FrozenInstanceError):
                one(x=1).x = 2
            with pytest.raises(dataclasses.FrozenInstanceError):
                del one(x=1).x
        if options.get("kw_only"):
            with pytest.raises(TypeError):
                one(1)


def test_order_and_hash_are_those_of_the_fields() -> None:
    def pair(decorate: Callable[..., Any]) -> type:
        @decorate
        class Pair:
            a: int
            b: str

        return Pair

    for one in both(pair, frozen=True, slots=True, order=True):
        values = [one(2, "a"), one(1, "b"), one(1, "a")]
        assert sorted(values) == [one(1, "a"), one(1, "b"), one(2, "a")]
        assert len({*values, one(1, "a")}) == 3
        with pytest.raises(TypeError):
            assert values[0] < (1, "a")
    for one in both(pair, slots=True):
        with pytest.raises(TypeError):
            hash(one(1, "a"))


@classes.dataclass(frozen=True, slots=True)
class Kept:
    a: int
    b: tuple[str, ...] = ()


def test_a_frozen_value_is_copied_and_pickled() -> None:
    value = Kept(1, ("x",))
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value


def test_a_class_may_inherit_fields_and_write_its_own_methods() -> None:
    def child(decorate: Callable[..., Any]) -> type:
        @decorate
        class Base:
            a: int
            b: int = 1

        @decorate
        class Child(Base):
            b: int = 5
            c: int = 7

            def __post_init__(self) -> None:
                object.__setattr__(self, "c", self.c + 1)

            def __repr__(self) -> str:
                return "mine"

        return Child

    for one in both(child, frozen=True, slots=True):
        value = one(3)
        assert (value.a, value.b, value.c, repr(value)) == (3, 5, 8, "mine")
