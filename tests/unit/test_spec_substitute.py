"""Variables and expressions in the values of a file: what comes out, where messages point, what nobody can do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackup.errors import BadInput
from stackup.spec.discover import Dialect
from stackup.spec.nodes import Node, parse
from stackup.spec.report import Report
from stackup.spec.sources import Source
from stackup.spec.substitute import escape, substitute
from stackup.spec.variables import Variables
from stackup.spec.vars import Vars, gather
from stackup.spec.vars import given as told
from stackup.spec.written import places

SET = {"FOO": "foo", "EMPTY": "", "CODE": "{{ vars.x }} ${FOO} {% if 1 %}", "N": "8080"}
VARS = """vars:
  x: X
  port: 80
  on: true
  nothing:
  list: [a, b]
  web: {tag: "1.0", deep: {er: $FOO}}
  items: mine
  a-name: 1
  braces: "$${FOO} }"
"""


def made(text: str, dialect: Dialect = "stack", environment: Mapping[str, str] = SET) -> tuple[Node, Report]:
    report = Report()
    root = parse(text, "stack.yaml", report)
    assert root is not None
    variables = Variables(environment)
    own = root.made({key: node for key, node in root.items.items() if key == "vars"})
    known = gather(list(substitute(own, variables, None, report, dialect).items.values()), Vars())
    return substitute(root, variables, known, report, dialect), report


def value(text: str, dialect: Dialect = "stack") -> Any:
    root, report = made(f"{VARS}a: {text}\n", dialect)
    assert not report.failed, list(report._problems.values())
    return root.items["a"].value


def problem(text: str) -> str:
    _, report = made(f"{VARS}a: {text}\n")
    (found,) = report._problems.values()
    return f"{found.place.line - VARS.count(chr(10))}:{found.place.column}: {found.message}" + (
        f"; {found.hint}" if found.hint else ""
    )


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$FOO", "foo"), ('"${FOO}-{{ vars.x }}"', "foo-X"), ("'{{vars.web.tag}}'", "1.0"),
        ("x{{ vars.port }}x", "x80x"),
        ("'{{ vars.on }}'", "true"), ("'{{ vars.web.deep.er }}'", "foo"), ("'{{ vars.items }}'", "mine"),
        ("'{{ vars.x }}{{ vars.x }}'", "XX"), ("'}{{ vars.x }} {'", "}X {"), ("'{ {vars.x} }'", "{ {vars.x} }"),
        # one is never the input of the other
        ("$CODE", SET["CODE"]), ("'{{ vars.braces }}'", "${FOO} }"), ("'{{ vars.x }}$CODE'", "X" + SET["CODE"]),
        ("'{% if 1 %}{{ vars.braces }}$CODE{% endif %}'", "${FOO} }" + SET["CODE"]),
        ("'${GONE:-{{ vars.braces }}}'", "${FOO} }"), ("'$${{ vars.x }}'", "$X"), ("'$${FOO}{{ vars.x }}'", "${FOO}X"),
        ("'${{ vars.x }}'", "$X"),
        # Jinja2's
        ("'{{ vars.x | lower }}{{ 2 * 3 }}{{ vars[\"port\"] + 1 }}'", "x681"),
        ("'{{ vars.list | join(\",\") }}'", "a,b"),
        ("'{% if vars.on %}$FOO{% else %}${1}{% endif %}'", "foo"),
        ("'{% for i in vars.list %}{{ i }}$FOO {% endfor %}'", "afoo bfoo "),
        ("'{% set y = vars.x ~ 1 %}{{ y }}'", "X1"), ("'{{ \"{{\" }}{{ \"$FOO\" }}'", "{{$FOO"),
        ("'{% raw %}{{ $FOO }}{% endraw %}'", "{{ foo }}"), ("'{# $FOO #}{{ 1 }}'", "{# foo #}1"),
        ("\"{{ 1 }}\\r\\n\\r{{ vars.x }}\\n\"", "1\r\n\rX\n"), ("'{{ vars.nothing or \"\" }}'", ""),
        ("\"{{ 'a\\r' ~ 1 }}\"", "a\r1"),
        ("'{{ vars.gone | default(\"d\") }}'", "d"), ("'{{ not vars.on }}'", "false"),
        ("|\n  a {{ vars.x }}\n  b $FOO\n", "a X\nb foo\n"),
    ],
)  # fmt: skip
def test_what_comes_out(text: str, result: str) -> None:
    assert value(text) == result


def test_expressions_belong_to_stack_files() -> None:
    assert value("'{{ vars.x }} {% $FOO'", "compose") == "{{ vars.x }} {% foo"


def test_what_is_taken_away_is_not_read() -> None:
    _, report = made("a: !reset ${1}\nb: !reset {c: '{{ x }}'}\nd: !override $FOO\n")
    assert not report.failed


def test_keys_stay() -> None:
    root, _ = made("$FOO: {'{{ vars.x }}': 1, '${FOO}': $FOO}\n")
    assert root.plain() == {"$FOO": {"{{ vars.x }}": 1, "${FOO}": "foo"}}


def test_what_holds_no_variable_is_the_same_node() -> None:
    root, _ = made("a: {b: [x, {c: 1}]}\nd: [$FOO]\n")
    before = parse("a: {b: [x, {c: 1}]}\nd: [$FOO]\n", "stack.yaml", Report())
    assert before is not None
    again = substitute(before, Variables(SET), Vars(), Report(), "stack")
    assert again.items["a"] is before.items["a"]
    assert again.items["d"] is not before.items["d"]
    assert root.items["d"].list[0].key is None


def test_sources_tell_where_a_value_came_from() -> None:
    root, _ = made(VARS + "a: '${FOO}{{ vars.web.tag }}{{ vars.web.deep.er }}${GONE:-x}'\nb: '{{ 1 + 1 }}'\nc: '$$'\n")
    assert root.items["a"].sources == (
        Source("vars.web.tag", "stack.yaml:7"), Source("vars.web.deep.er", "stack.yaml:7"),
        Source("FOO", "the environment"), Source("GONE", None),
    )  # fmt: skip
    assert root.items["b"].sources == (Source("{{ 1 + 1 }}", "stack.yaml:12"),)
    assert root.items["c"].sources == ()
    assert root.items["vars"].items["web"].items["deep"].items["er"].sources == (Source("FOO", "the environment"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x ${1}", "1:6: '${1}' names no variable"), ('"é ${a b}"', "1:7: '${a b}' is no variable"),
        ("'${EMPTY?}''${1}'", "1:16: '${1}' names"), ('"\\x41\\u0041\\t\\"\\\n  \\ ${1}"', "2:5: '${1}' names"),
        ("|\n    x\n\n    y ${1}\n", "4:7: '${1}' names"), (">-2\n    x\n      ${1}\n", "3:7: '${1}' names"),
        ("x y\n  z\n\n  ${1}\n", "4:3: '${1}' names"), ("'x\n\n  ''${1}'", "3:5: '${1}' names"),
        ('"x\n  $FOO \\\n  ${1}"', "3:3: '${1}' names"), ("&b !!str\n  ${1}", "2:3: '${1}' names"),
        ("$1 $FOO ${1}", "1:12: '${1}'"),
        ('"\\x24{1}"', "1:5: '${1}' names"), ("${GONE?say why}", "1:4: the variable GONE is not set: say why"),
        ("'{{ vars.x }} ${1}'", "1:18: '${1}' names"), ("'{{ vars.x | lower }} $FOO ${1}'", "1:31: '${1}' names"),
        # expressions
        ("'x {{ vars.web.tga }}'", "1:7: no 'tga' in vars.web; did you mean 'tag'?"),
        ("'{{ vars.zzz }}'", "1:5: no 'zzz' in vars; there is a-name, braces, items, list, nothing,"),
        ("'{{ vars.x.y }}'", "1:5: no 'y' in vars.x; vars.x is the text 'X'"),
        ("'{{ vars.list }}'", "1:5: vars.list is a list, not a text; as in {{ vars.x | join(' ') }}"),
        ("'{{ vars.web }}'", "1:5: vars.web is a mapping, not a text; name one of its keys"),
        ("'{{ vars.nothing }}'", "1:5: vars.nothing is nothing, not a text; give it a value"),
        ("'{{ x }}'", "1:5: no variable 'x'; write 'vars.x': 'vars' is the one name known here"),
        ("'{{ vars.a-name }}'", "1:5: no 'a' in the variables; a name with '-' in it is written ['a-name']"),
        ("'{{ vars.x + }}'", "1:5: "), ("'{{ }}'", "1:5: expected an expression"),
        ("'{{ vars.x '", "1:5: unexpected end of template"),
        ("|\n  {{ 1 }}\n  {{ vars.gone + 1 }}\n", "3:3: no 'gone' in the variables"),
        ("'{{ vars.x.__class__ }}'", "1:5: no '__class__' in vars.x; vars.x is the text"),
        ("'{{ (1).__class__ }}'", "1:5: not allowed in an expression"),
        ("'{{ vars.list.append(1) }}'", "1:5: not allowed in an expression"),
        ("'{% macro m() %}{% endmacro %}'", "1:5: a value takes {{ }}, {% if %}"),
        ("'{% set x %}$FOO{% endset %}'", "1:5: a value takes"),
        ("'{% filter upper %}$FOO{% endfilter %}'", "1:5: a value"),
        ("'{% for i in [[1]] recursive %}{{ loop(i) }}{% endfor %}'", "1:5: a value takes"),
        ("'{% include \"x\" %}'", "1:5: a value takes"), ("'{{ range }}'", "1:5: a "),
        ("'{{ [] | list }}'", "1:5: a list has no text; as in"),
        ("'{{ none }}'", "1:5: nothing has no text; give it"),
        ("'{{ vars.list | map(\"upper\") }}'", "1:5: a generator has no"),
        ("'{{ \"x\" * 10 ** 9 }}'", "1:5: the expression makes too much"),
    ],
)  # fmt: skip
def test_messages_point_at_the_place(text: str, told: str) -> None:
    assert problem(text)[: len(told)] == told


def test_expressions_have_no_place_in_vars() -> None:
    _, report = made('vars:\n  a: $FOO\n  b: ["x {{ vars.a }}"]\n  c: "{% x"\n')
    assert [f"{p.place.line}:{p.place.column} {p.message}" for p in report._problems.values()] == [
        "3:10 no expressions in 'vars'", "4:7 no expressions in 'vars'",
    ]  # fmt: skip


def test_what_is_not_set_is_warned_of_once_for_each_place() -> None:
    _, report = made("a: &a x $GONE ${GONE} ${NEXT}\nb: *a\nc: $GONE\n")
    places = [warning.split(" is not")[0] for warning in report.warnings]
    assert places == [
        "stack.yaml:1:9: a: the variable GONE", "stack.yaml:1:23: a: the variable NEXT",
        "stack.yaml:3:4: c: the variable GONE",
    ]  # fmt: skip


def test_what_could_not_be_made_is_told_once() -> None:
    root, report = made("a: ${1}\n")
    report.problem(root.items["a"], "expected a number")
    assert len(report._problems) == 1


def test_bytes_that_are_no_text_are_refused() -> None:
    _, report = made("a: x $BAD\nb: $1\n", environment={"BAD": "\udcff"})
    (found,) = report._problems.values()
    assert found.message == "the value of 'BAD' in your environment is not UTF-8"


def test_a_bomb_of_variables_is_refused() -> None:
    began = time.monotonic()
    _, report = made("".join(f"a{i}: {'$A' * 1000}\n" for i in range(500)), environment={"A": "x" * 100_000})
    assert report.failed
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("text", ["{{ vars.x }}" * 5000, "{% for i in range(9999) %}{{ 'x' * 10000 }}{% endfor %}"])
def test_a_bomb_of_expressions_is_refused(text: str) -> None:
    _, report = made(f'vars: {{x: {"y" * 10000}}}\na: "{text}"\nb: "{text}"\n')
    assert {problem.message for problem in report._problems.values()} <= {
        "the expressions of the stack make too much text", "the expression makes too much or runs too long",
    }  # fmt: skip
    assert report.failed


def test_expressions_are_paid_from_one_account() -> None:
    began = time.monotonic()
    lines = "".join(
        f"a{i}: '{{{{ \"x\" * 1000000 }}}}{{% for i in range(9999) %}}{{% endfor %}}'\n" for i in range(1000)
    )
    _, report = made(lines)
    assert report.failed
    _, report = made("".join(f"a{i}: '{{{{ {'(' * 90}{i}{')' * 90} }}}}'\n" for i in range(20_000)))
    assert report.failed
    assert time.monotonic() - began < 20


def test_simple_expressions_bring_no_jinja2() -> None:
    code = (
        "import sys\nfrom stackup.spec.nodes import parse\nfrom stackup.spec.report import Report\n"
        "from stackup.spec.substitute import substitute\nfrom stackup.spec.variables import Variables\n"
        "from stackup.spec.vars import gather, Vars\n"
        "root = parse('vars: {x: {y: 1}}\\na: \"{{ vars.x.y }}{{ \\'{{\\' }}$A\"', 'f', Report())\n"
        "made = substitute(root, Variables({'A': 'b'}), gather([root.items['vars']], Vars()), Report(), 'stack')\n"
        "assert made.items['a'].value == '1{{b', made.items['a'].value\nassert 'jinja2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- places

BREAKS = "\n\x85\u2028\u2029"


@given(
    st.text(alphabet=st.sampled_from("ab é'\"\\:#-&!|>%@,[]{}*?~\t\n\u00a0") | st.characters(exclude_categories=["C"])),
    st.text(alphabet="ab '\"\\\n:#é😀"),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.booleans(),
    st.integers(10, 200),
)
def test_a_character_is_found_under_all_ways_to_write(
    before: str, behind: str, style: Any, unicode: bool, width: int
) -> None:
    text = f"{before}${{1}}{behind}"
    dumped = yaml.dump({"k": [{"a": _Styled(text, style)}]}, Dumper=_Dumper, width=width, allow_unicode=all)
    root = parse(dumped, "f", Report())
    assert root is not None
    node = root.items["k"].list[0].items["a"]
    offset = str(node.value).index("${1}", len(before) if node.value == text else 0)
    report = Report()
    report.add_source("f", dumped)
    (place,) = places(node, [offset], report.lines["f"])
    line = report.lines["f"][place.line - 1]
    if "\\" in line[place.column - 1 :][:8]:  # a line may be folded between the characters
        return
    assert line[place.column - 1 :][:4] == "${1}"


class _Styled(str):
    style: str | None

    def __new__(cls, text: str, style: str | None) -> _Styled:
        made = super().__new__(cls, text)
        made.style = style
        return made


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Styled, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=value.style)
)


# --- escape


@given(st.text(alphabet=st.sampled_from("${}%#'\" vars.x\r\n\\A") | st.characters(exclude_categories=["Cs"])))
@pytest.mark.parametrize("dialect", ["stack", "compose"])
def test_what_is_escaped_comes_back(dialect: Dialect, text: str) -> None:
    report = Report()
    node = Node({"a": Node(escape(text, dialect), "f", 1, 1, ("a",))}, "f", 1, 1, ())
    back = substitute(node, Variables(SET), Vars(), report, dialect).items["a"]
    assert (back.value, report.failed, report.warnings) == (text, False, ())


@given(st.text(alphabet=st.sampled_from("${}%#'\" vars.x\r\n|()[]1+~") | st.characters(exclude_categories=["Cs"])))
def test_nothing_is_raised(text: str) -> None:
    node = Node({"a": Node(text, "f", 1, 1, ("a",))}, "f", 1, 1, ())
    substitute(node, Variables(SET), Vars(Node({}, "f", 1, 1, ())), Report(), "stack")


# --- vars


def known(text: str, settings: Mapping[str, str], *more: str) -> Vars:
    report = Report()
    roots = [parse(t, f"{i}.yaml", report) for i, t in enumerate((text, *more))]
    return gather([root.items["vars"] for root in roots if root], told(settings, (), report))


def test_later_files_and_settings_win_key_by_key() -> None:
    first, second = "vars: {a: 1, m: {x: 1, y: [1, 2]}}", "vars: {m: {y: [3], z: {k: 1}}, b: 2}"
    made = known(first, {"m.z.k": "2", "vars.a": "x", "n.e.w": "true"}, second)
    assert made.plain == {"a": "x", "m": {"x": 1, "y": [3], "z": {"k": 2}}, "b": 2, "n": {"e": {"w": True}}}
    assert [made.where(k) for k in [("a",), ("m", "x"), ("m", "z", "k"), ("b",), ("m", "y", "q"), ("gone",)]] == [
        "--set", "0.yaml:1", "--set", "1.yaml:1", "1.yaml:1", None,
    ]  # fmt: skip


def test_reset_and_override_are_obeyed() -> None:
    made = known(
        "vars: {a: 1, m: {x: 1, y: 1}, o: {x: 1}}",
        {},
        "vars: {a: !reset null, m: {y: !reset null}, o: !override {z: 1}}",
    )
    assert made.plain == {"m": {"x": 1}, "o": {"z": 1}}
    assert known("vars: {a: 1}", {}, "vars: !reset null").plain == {}


@pytest.mark.parametrize(
    ("text", "cast"),
    [("1", 1), ("1.5", 1.5), ("true", True), ("yes", "yes"), ("", None), ("null", None), ("0x10", 16),
    ("22:22", "22:22"),
     ('"1"', "1"), ("'true'", "true"), (" 1", " 1"), ("[1]", "[1]"), ("a=b", "a=b"), ('"', '"'),
     ("{{ vars.x }} $A", "{{ vars.x }} $A")],
)  # fmt: skip
def test_settings_are_scalars(text: str, cast: object) -> None:
    assert told({"a": text}, (), Report()).plain == {"a": cast}


@pytest.mark.parametrize("name", ["", "a..b", ".a", "a.", "vars."])
def test_a_setting_has_a_name(name: str) -> None:
    with pytest.raises(BadInput, match="names no variable"):
        told({name: "1"}, (), Report())


def test_numbers_that_change_are_warned_of() -> None:
    _, report = made("vars: {a: 1.10, b: 0644, c: 1e3, d: 1.5, e: 7, f: '1.10', g: -1}\n")
    assert [warning.split(";")[0] for warning in report.warnings] == [
        "stack.yaml:1:11: vars.a: 1.10 is the number 1.1", "stack.yaml:1:20: vars.b: 0644 is the number 420",
        "stack.yaml:1:29: vars.c: 1e3 is the number 1000.0",
    ]  # fmt: skip
