"""Documents, tags, keys and anchors: what the nodes of a file know."""

from __future__ import annotations

import time
from typing import Any

import pytest

from stackup.errors import BadInput, SpecErrors
from stackup.spec.decoding import MAX_BYTES, decode
from stackup.spec.nodes import MAX_DEPTH, MAX_NODES, Node, documents, parse
from stackup.spec.report import Report


def roots(text: str) -> list[Node]:
    report = Report()
    found = documents(text, "stack.yaml", report)
    report.finish()
    return found


def told(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as raised:
        roots(text)
    return [str(problem).splitlines()[0] for problem in raised.value.problems]


def tags(node: Node) -> dict[str, str]:
    return {".".join(map(str, below.path)): below.tag for below in node.walk() if below.tag}


# --- documents


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("---\na: 1\n...\n---\nb: 2\n...\n", [{"a": 1}, {"b": 2}]),
        ("---\n---\na: 1\n---\n# nothing\n---\n", [{"a": 1}]),
        ("%YAML 1.2\n---\na: 1\n", [{"a": 1}]),
        ("a: 1\n--- {b: 2}\n", [{"a": 1}, {"b": 2}]),
        ("", []),
        ("# nothing\n", []),
        ("---\n...\n", []),
    ],
)
def test_a_file_has_as_many_documents_as_it_likes(text: str, found: list[Any]) -> None:
    assert [root.plain() for root in roots(text)] == found


def test_a_document_knows_its_lines() -> None:
    second = roots("a: 1\n---\n\nb: 2\n")[1]
    assert (second.items["b"].line, second.items["b"].column, second.items["b"].path) == (4, 4, ("b",))


def test_an_anchor_holds_for_its_document() -> None:
    assert told("a: &x 1\n---\nb: *x\n") == [
        "stack.yaml:3:4: b: no anchor &x before this alias; the one above '---' belongs to another document"
    ]
    assert [r.plain() for r in roots("a: &x 1\nb: *x\n---\na: &x 2\nb: *x\n")] == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]


def test_one_document_is_one_where_no_more_are_wanted() -> None:
    report = Report()
    assert parse("a: 1\n---\nb: 2\n", "vars.yaml", report) is not None
    with pytest.raises(SpecErrors, match=r"vars.yaml:3:1: a second document; this file has one"):
        report.finish()


def test_the_bound_is_the_files_and_not_the_documents() -> None:
    document = f"a: [{'x, ' * (MAX_NODES // 4)}]\n---\n"
    with pytest.raises(BadInput, match="more than"):
        roots(document * 5)


# --- tags


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [
        ("a: !reset", "!reset", None),
        ("a: !reset null", "!reset", None),
        ("a: !reset []", "!reset", []),
        ("a: !reset {}", "!reset", {}),
        ("a: !override 12", "!override", 12),
        ("a: !override '12'", "!override", "12"),
        ("a: !override on", "!override", "on"),
        ("a: !override [1, b]", "!override", [1, "b"]),
        ("a: !override\n  b: 1", "!override", {"b": 1}),
        ("a: !override &x [1]\nb: *x", "!override", [1]),
        ("a: &x !override [1]\nb: *x", "!override", [1]),
    ],
)
def test_tags_of_merging_stay_on_their_values(text: str, tag: str, value: Any) -> None:
    node = roots(text)[0].items["a"]
    assert (node.tag, node.plain()) == (tag, value)


def test_tags_come_along_with_aliases_and_merge_keys() -> None:
    text = """
x-base: &base {ports: !reset [], deep: {list: !override [1]}}
web: *base
other:
  <<: *base
  ports: [1]
more: {<<: [*base]}
"""
    assert tags(roots(text)[0]) == {
        "x-base.ports": "!reset",
        "x-base.deep.list": "!override",
        "web.ports": "!reset",
        "web.deep.list": "!override",
        "other.deep.list": "!override",
        "more.ports": "!reset",
        "more.deep.list": "!override",
    }


def test_what_is_made_of_a_node_keeps_its_tag() -> None:
    node = roots("a: !override [A=1]")[0].items["a"]
    assert node.made({"A": node.list[0].made("1")}).tag == "!override"


def test_other_tags_are_refused_and_where_tags_belong_is_said() -> None:
    assert told("a: !merge 1") == [
        "stack.yaml:1:4: a: unknown tag !merge; there are !reset and !override; or remove it"
    ]
    assert told("!reset a: 1") == ["stack.yaml:1:1: !reset stands before a key; it belongs before the value"]
    assert told("<<: !reset {a: 1}") == [
        "stack.yaml:1:5: [\"<<\"]: !reset has no meaning behind '<<'; it belongs before a key's value"
    ]
    assert told("a: !!binary aGk=")[0].startswith("stack.yaml:1:4: a: unknown tag !!binary")


# --- keys


def test_keys_are_text() -> None:
    text = "true: a\nFalse: b\n1: c\n0x1F: d\n1.50: e\n2024-01-01: f\non: g\nnull: h\n0440: i\n"
    assert list(roots(text)[0].items) == ["true", "false", "1", "0x1F", "1.50", "2024-01-01", "on", "null", "0440"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("a: 1\na: 2\n", "stack.yaml:2:1: a: written twice; first in line 1"),
        ("1: a\n'1': b\n", "stack.yaml:2:1: 1: written twice; first in line 1"),
        ("true: a\nTrue: b\n", "stack.yaml:2:1: true: written twice; first in line 1"),
        ("a: {b: {c: 1, c: 1}}\n", "stack.yaml:1:15: a.b.c: written twice; first in line 1"),
        ("x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x\n", 'stack.yaml:4:3: b["<<"]: written twice; first in line 3'),
        ("a: &k b\n*k : 1\nb: 2\n", "stack.yaml:3:1: b: written twice; first in line 2"),
    ],
)
def test_a_key_stands_once(text: str, first: str) -> None:
    assert told(text) == [first]


def test_the_same_key_in_another_document_is_no_second_one() -> None:
    assert len(roots("a: 1\n---\na: 2\n")) == 2


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("'': 1\n", "stack.yaml:1:1: no key before ':'"),
        ("{[a]: b}\n", "stack.yaml:1:2: a key is a word, not a list"),
        ("<<: 1\n", "stack.yaml:1:5: [\"<<\"]: '<<' takes a mapping or a list of mappings, not the number 1"),
        (
            "<<: [{a: 1}, 2]\n",
            "stack.yaml:1:14: [\"<<\"][1]: '<<' takes a mapping or a list of mappings, not the number 2",
        ),
    ],
)
def test_keys_that_are_none(text: str, first: str) -> None:
    assert told(text) == [first]


def test_a_quoted_merge_key_is_a_key() -> None:
    assert roots("'<<': {a: 1}\n")[0].plain() == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    "text", ["a: {{ vars.x }}\n", "a: {{ vars.x }}:latest\n", "a: [{{ vars.x }}]\n", "a:\n  - {{ vars.x }}/b\n"]
)
def test_an_expression_without_quotes_is_told_to_take_some(text: str) -> None:
    (first,) = told(text)
    assert first.endswith("; put quotes around a text with {{ }} in it")


# --- hostile


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 60 + "x" + "]" * 60,
        "a: &a [" + "x, " * 50_000 + "]\nb: [*a, *a, *a]\n",
        "? " * 100_000,
        "&a " * 100_000,
        "!reset " * 100_000,
        "--- a\n" * 150_000,
        "a: '" + "x\n" * 500_000,
        "a" * 1_000_000,
        "{" * 100_000,
        "a: |\n" + "  x\n" * 500_000,
        "a: *" + "b" * 100_000,
        "x: &a {<<: *a}\n",
        "- " * 50 + "a\n" * 10_000,
        "a: [" + "\n" * 4_000_000,
        "a: '" + " \n" * 2_000_000,
    ],
)
def test_nothing_takes_long(text: str) -> None:
    began = time.monotonic()
    try:
        roots(text)
    except BadInput as error:
        assert len(str(error)) < 3000
    assert time.monotonic() - began < 10


def test_aliases_do_not_lead_deeper_than_values_may_lie() -> None:
    text = "x0: &a0 " + "[" * 50 + "]" * 50 + "\n"
    text += "".join(f"x{i}: &a{i} {'[' * 50}*a{i - 1}{']' * 50}\n" for i in range(1, 60))
    with pytest.raises(BadInput, match=f"^stack.yaml:1:.*more than {MAX_DEPTH} deep"):
        roots(text)


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 10 << 20])
def test_a_file_of_ten_megabytes_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match=r"^stack\.yaml has more than 4 MiB$"):
        decode(b"a" * size, "stack.yaml")


@pytest.mark.parametrize(
    "data",
    [
        "a: 1".encode("utf-16"), "a: 1".encode("utf-32"), "a: 1".encode("utf-16-be"), "é: 1".encode("latin-1"),
        b"\x7fELF\x02\x01\x01" + bytes(100), b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\x00", bytes(range(256)),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        roots(decode(data, "stack.yaml"))


def test_a_byte_order_mark_is_nothing() -> None:
    assert roots(decode(b"\xef\xbb\xbfname: shop\n", "stack.yaml"))[0].plain() == {"name": "shop"}
