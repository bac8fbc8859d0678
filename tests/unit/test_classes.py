"""`stackup.classes.dataclass` makes what the standard library's decorator makes."""

import dataclasses
from typing import Any, ClassVar

import pytest

from stackup.classes import dataclass


def point() -> dict[str, Any]:
    return {
        "__annotations__": {"kind": ClassVar[str], "x": int, "y": int, "names": tuple},
        "kind": "point",
        "y": 0,
        "names": dataclasses.field(default_factory=tuple),
    }


def made(decorate: Any, **options: Any) -> Any:
    return decorate(frozen=True, slots=True, **options)(type("Point", (), point()))


@pytest.mark.parametrize("kw_only", [False, True])
def test_fields_arguments_and_text_are_the_same(kw_only: bool) -> None:
    ours, theirs = made(dataclass, kw_only=kw_only), made(dataclasses.dataclass, kw_only=kw_only)
    assert [f.name for f in dataclasses.fields(ours)] == ["x", "y", "names"]
    assert ours.__slots__ == theirs.__slots__
    assert ours.__match_args__ == theirs.__match_args__
    assert repr(ours(x=1)) == repr(theirs(x=1)) == "Point(x=1, y=0, names=())"


def test_values_are_equal_where_class_and_fields_are() -> None:
    ours = made(dataclass)
    assert ours(1, 2) == ours(1, 2)
    assert hash(ours(1, 2)) == hash(ours(1, 2))
    assert ours(1, 2) != ours(1, 3)
    assert ours(1, 2) != made(dataclass)(1, 2)
    assert len({ours(1), ours(1), ours(2)}) == 2


def test_a_copy_with_other_fields_is_another_value() -> None:
    ours = made(dataclass)
    assert dataclasses.replace(ours(1, 2), y=3) == ours(1, 3)
    with pytest.raises(AttributeError):
        ours(1).z = 1  # slots: no field of that name


def test_a_class_without_fields_has_equal_values() -> None:
    empty = dataclass(frozen=True, slots=True)(type("Empty", (), {"__annotations__": {}}))
    assert empty() == empty()
    assert repr(empty()) == "Empty()"


def test_what_a_class_says_itself_stays() -> None:
    own = {"__annotations__": {"x": int}, "__repr__": lambda self: "mine", "__eq__": lambda self, other: True}
    kind = dataclass(frozen=True, slots=True)(type("Own", (), own))
    assert repr(kind(1)) == "mine"
    assert kind(1) == kind(2)


def test_other_kinds_of_classes_are_the_standard_librarys() -> None:
    ordered = dataclass(frozen=True, slots=True, order=True)(type("O", (), {"__annotations__": {"x": int}}))
    assert ordered(1) < ordered(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ordered(1).x = 2
