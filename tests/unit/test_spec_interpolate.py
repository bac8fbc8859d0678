"""`$NAME` and `${...}`: what Compose makes of them, and that no text is too hostile."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackup.spec.interpolate import MAX_TOLD, interpolate
from stackup.spec.sources import Source

SET = {"FOO": "first", "EMPTY": "", "JSON": '{"json":2}', "DOLLAR": "$FOO ${FOO} $$"}


def lookup(name: str) -> tuple[str, str] | None:
    return (SET[name], ".env:1") if name in SET else None


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("no variable", "no variable"), ("$FOO ${FOO}", "first first"), ("$FOO-bar", "first-bar"),
        ("$FOO.x", "first.x"),
        ("$FOO_ ${FOO}_", " first_"), ("$$FOO $${FOO}", "$FOO ${FOO}"), ("$$$FOO", "$first"), ("$$$$", "$$"),
        ("$1 $ $} ^a$ $-", "$1 $ $} ^a$ $-"), ("$é", "$é"), ("${GONE}$GONE", ""), ("a ${EMPTY} b", "a  b"),
        ("${GONE:-d} ${GONE-d} ${EMPTY:-d} ${EMPTY-d} ${FOO:-d} ${FOO-d}", "d d d  first first"),
        ("${GONE:+a} ${GONE+a} ${EMPTY:+a} ${EMPTY+a} ${FOO:+a} ${FOO+a}", "   a a a"),
        ("${FOO:?e} ${FOO?e} ${EMPTY?e}", "first first "),
        # the first operator decides
        ("${GONE-a:-b} ${GONE-a?b} ${GONE:-/a:-b} ${FOO?a-b} ${EMPTY+a:-b}", "a:-b a?b /a:-b first a:-b"),
        ("-x ${EMPTY:-d} +x ?x", "-x d +x ?x"),
        # nesting
        ("${GONE-$FOO} ${GONE-${FOO}} ${GONE:-${EMPTY:-${FOO}}}", "first first first"),
        ("${GONE-${FOO} ${FOO}} ${EMPTY+$FOO ${FOO:+second}}", "first first first second"),
        ("${GONE:-$$FOO} ${GONE:-$${FOO}} ${GONE:-$$}", "$FOO ${FOO} $"),
        # braces are counted
        ('${GONE:-{"json":1}} ${JSON:-{"json":1}}', '{"json":1} {"json":2}'), ("{${FOO}} ${GONE:-{}}", "{first} {}"),
        ("${GONE:-a{b} ${FOO}", "a{b first"), ("${GONE:-}}", "}"), ("${GONE-a b\nc}", "a b\nc"),
        # a value is never looked into
        ("$DOLLAR ${GONE:-$DOLLAR}", "$FOO ${FOO} $$ $FOO ${FOO} $$"),
        # what nobody needs may be wrong
        ("${FOO:-${1} ${GONE?} ${a b}}", "first"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_text(text: str, made: str) -> None:
    result = interpolate(text, lookup)
    assert (result.text, result.wrong) == (made, ())


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("a ${1}", 2, "'${1}' names no variable"), ("${a b}", 0, "'${a b}' is no variable"),
        ("${}", 0, "names no variable"),
        ("${ a}", 0, "names no variable"), ("${a }", 0, "is no variable"), ("${a!}", 0, "is no variable"),
        ("${a:}", 0, "is no variable"), ("${a:b}", 0, "is no variable"), ("${a=b}", 0, "is no variable"),
        ("${é}", 0, "names no variable"), ("${", 0, "'${' has no '}'"), ("x${FOO", 1, "'${' has no '}'"),
        ("${FOO:-${GONE:-${", 0, "'${' has no '}'"), ("${GONE:-${B ${FOO}", 0, "'${' has no '}'"),
        ("${GONE:-${1}}", 8, "names no variable"), ("${FOO:+${a b}}", 7, "is no variable"),
        ("$FOO ${GONE:?say it}", 5, "the variable GONE is not set: say it"),
        ("${EMPTY:?}", 0, "the variable EMPTY is empty"), ("${GONE?}", 0, "the variable GONE is not set"),
        ("${GONE?need $FOO ${FOO-x}}", 0, "the variable GONE is not set: need first first"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_offset(text: str, offset: int, message: str) -> None:
    (wrong,) = interpolate(text, lookup).wrong
    assert wrong.offset == offset
    assert message in wrong.message


def test_every_mistake_of_a_text_is_told() -> None:
    assert [wrong.offset for wrong in interpolate("${1} $FOO ${GONE?} ${", lookup).wrong] == [0, 10, 19]


def test_sources_are_the_variables_that_decided() -> None:
    made = interpolate("$FOO ${GONE:-$EMPTY} ${FOO:-$JSON} $GONE $GONE", lookup)
    assert made.sources == (Source("FOO", ".env:1"), Source("GONE", None), Source("EMPTY", ".env:1"))
    assert [(use.name, use.offset) for use in made.unset] == [("GONE", 35)]
    assert [use.name for use in made.uses] == ["FOO", "GONE", "EMPTY", "FOO", "JSON", "GONE"]
    assert made.uses[1].operator == ":-"
    assert made.uses[1].operand == "$EMPTY"


def test_unset_is_not_told_where_something_else_was_said() -> None:
    assert interpolate("${GONE-} ${GONE:-} ${GONE+x} ${GONE:+x}", lookup).unset == ()


@pytest.mark.parametrize(
    "text",
    [
        "${" * 300_000, "${A:-" * 100_000, "${A:-" * 100_000 + "}" * 100_000, "$A" * 300_000, "{" * 600_000 + "${A}",
        "${A:-x}" * 100_000, "${1}" * 100_000, "$" * 600_000, "${A:-{" * 100_000, "}" * 600_000 + "${",
        "".join(f"$A{i}" for i in range(100_000)),
    ],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    began = time.monotonic()
    made = interpolate(text, lookup)
    assert len(made.wrong) <= MAX_TOLD + 1
    assert time.monotonic() - began < 10  # a guard, not a measurement


def test_a_text_grows_no_further_than_its_limit() -> None:
    long = "x" * 10_000
    made = interpolate("$A" * 10_000, lambda name: (long, "the environment"), 1_000_000)
    assert len(made.text) <= 1_000_000
    assert made.wrong[-1].message == "makes a text of more than 1000000 characters"


@given(st.text(alphabet=st.sampled_from("${}AFO:-+?_1 \n\"'\\é") | st.characters()), st.text())
def test_nothing_is_raised(text: str, value: str) -> None:
    made = interpolate(text, lambda name: (value, "x") if name != "A" else None)
    assert made.wrong or "$" in text or made.text == text


@given(st.text(alphabet=st.sampled_from("${}A_ b") | st.characters()))
def test_two_dollars_stand_for_one(text: str) -> None:
    made = interpolate(text.replace("$", "$$"), lookup)
    assert (made.text, made.sources, made.wrong) == (text, (), ())
