"""Templates: one name, strict, the same text for the same input, and an end to everything."""

from __future__ import annotations

from typing import Any

import pytest

from stackup.errors import BadInput, Place
from stackup.spec.templating import render

VARS: dict[str, Any] = {"greeting": "hello", "list": ["a", "b"], "n": 3, "deep": {"a": {"b": 1}}}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ vars.greeting }}\n", "hello\n"),
        ("{% for x in vars.list %}{{ loop.index }}{{ x }}{{ '' if loop.last else ',' }}{% endfor %}", "1a,2b"),
        ("{{ vars.list | join(', ') | upper }}", "A, B"),
        ("{{ vars.deep.a.b + vars.n }} {{ vars['n'] ~ 'x' }} {{ 2 ** 10 }} {{ 'ab' * 2 }}", "4 3x 1024 abab"),
        ("{{ vars.gone | default('none') }}{% if vars.gone is defined %}x{% endif %}", "none"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{% set a = 2 %}{{ a }}", "<1>2"),
        ("{{ '%03d' % vars.n }} {{ '{:>4}'.format('x') }}", "003    x"),
        ("{% for x in [1, 2] recursive %}{{ x }}{% else %}none{% endfor %}", "12"),
    ],
)
def test_templates_render(text: str, made: str) -> None:
    assert render(text, VARS, "motd.j2") == made


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("{{ greeting }}", 1, "no variable 'greeting'", "write 'vars.greeting'"),
        ("\n\n{{ vars.greting }}", 3, "no 'greting' in the variables", "did you mean 'greeting'?"),
        ("{{ vars.zzz }}", 1, "no 'zzz' in the variables", "there is deep, greeting"),
        ("a\n{% if %}", 2, "expected an expression", None),
        ("a\n{{ x", 2, "unexpected end of template", None),
        ("\n{{ 1 / 0 }}", 2, "ZeroDivisionError", None),
        ("{% include 'x' %}", 1, "takes nothing from other templates", "one file"),
        ("{{ ''.__class__ }}", 1, "not allowed in a template", "only sees 'vars'"),
        ("{{ vars.list | map('upper') }}", 1, "a generator has no text", "| list"),
        ("{{ range }}", 1, "a function has no text", None),
        ("{{ vars.list | random }}", 1, "no filter named 'random'", None),
    ],
)
def test_errors_name_file_and_line(text: str, line: int, message: str, hint: str | None) -> None:
    with pytest.raises(BadInput) as raised:
        render(text, VARS, "motd.j2")
    assert raised.value.place == Place("motd.j2", line)
    assert raised.value.message.startswith(f"motd.j2:{line}: ")
    assert message in raised.value.message
    assert (hint or "") in (raised.value.hint or "")


def test_a_template_without_variables_is_told_so() -> None:
    with pytest.raises(BadInput) as raised:
        render("{{ vars.who }}", {}, "motd.j2")
    assert raised.value.hint == "the layer gives it no 'vars'"


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in range(10**9) %}{% endfor %}",
        "{% for x in range(99999) %}{% for y in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f(n) %}{{ f(n-1) }}{% endmacro %}{{ f(1) }}",
        "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set n = namespace(x='x') %}{% for i in [1]*99 %}{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
        "{% set ns = namespace(x=3) %}{% for i in range(999) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "{{ 'x' * 10**9 }}", "{{ [1] * 10**9 }}", "{{ 10 ** (10 ** 9) }}", "{{ '%999999999d' % 1 }}",
        "{{ '%*d' % (999999999, 1) }}", "{{ '{:999999999}'.format(1) }}", "{{ 'a'.center(10**9) }}",
        "{{ 'a' | center(10**9) }}", "{{ 'a' | indent(10**9, true) }}", "{{ '%999999999d' | format(1) }}",
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}", "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
        "{{ ('x' * 100000).join(['y'] * 100000) }}", "{{ (['y'] * 100000) | join('x' * 100000) }}",
        "{% for i in range(99999) %}{% set a = range(99999) | sum %}{% endfor %}",
        "{% for i in range(99999) %}{% if range(99999) is iterable %}{% endif %}{% endfor %}",
        "{% set b = 'x' * 4000000 %}{% for i in range(99999) %}{% if 'y' in b %}{% endif %}{% endfor %}",
        "{% set b = 'x' * 4000000 %}{% for i in range(99999) %}{% set c = b[1:] == b[2:] %}{% endfor %}",
        "{% set b = 'x' * 4000000 %}{% for i in range(99999) %}{% set c = b.count('ab') %}{% endfor %}",
        "{{ ('http://a.b(' * 100000) | urlize }}", "{{ ('<!--' * 300000) | striptags }}",
        "{{ [] | batch(1) | list }}{{ [1] | batch(10**9, 0) | list }}", "{{ 'a'.zfill(10**9) }}",
    ],
)  # fmt: skip
def test_nothing_grows_or_runs_without_end(text: str) -> None:
    with pytest.raises(BadInput, match="makes too much or runs too long"):
        render(text, VARS, "motd.j2")
