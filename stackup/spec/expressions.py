"""`{{ }}` and `{% %}` in the values of a stack file, by Jinja2.

Import this module where there is one that is not simple (substitute.py), not before: Jinja2 costs 57 ms. What an
expression gives leaves a token in the text, because the text around it is searched for `${}` and the value is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jinja2
import jinja2.nodes
import jinja2.sandbox

from stackup.spec.templating import CALL, Environment, Missing, NoText, Refused, explained
from stackup.spec.vars import TEXTLESS, as_text

_CAPTURES = (  # what makes a text out of text around it, that is still to be searched for `${}`
    jinja2.nodes.AssignBlock, jinja2.nodes.FilterBlock, jinja2.nodes.Macro, jinja2.nodes.CallBlock, jinja2.nodes.Block,
    jinja2.nodes.Include, jinja2.nodes.Import, jinja2.nodes.FromImport, jinja2.nodes.Extends,
)  # fmt: skip
_COMPILED = 64  # a character of an expression, in the meter's units: Jinja2 and Python compile it
_OPENED = re.compile(r"\{[{%]")
_RETURN = "\ud802"  # stands for a carriage return, which Jinja2 would make a line feed


class Expressed(NamedTuple):
    """A text with a token (U+D800, a number, U+D801) where an expression stood, and what the tokens stand for.

    `used`: the parts of `vars` that the expressions name. `message` is what went wrong, in `line` of the text.
    """

    text: str = ""
    values: list[str] = []
    used: list[tuple[str, ...]] = []
    message: str | None = None
    hint: str | None = None
    line: int = 1


class _MissingInValue(Missing):
    nothing = "write it under 'vars:', or say --set NAME=VALUE"
    knows = "'vars' is the one name known here"


class _InValues(Environment):
    def __init__(self) -> None:
        super().__init__()
        self.undefined = _MissingInValue
        self.comment_start_string, self.comment_end_string = "\ud803", "\ud804"  # none: `${#list}` is a shell's
        self.values: list[str] = []

    def _finalize(self, value: Any) -> Any:
        if isinstance(value, jinja2.Undefined):
            return value
        text, what = as_text(value)
        if text is None:
            raise NoText(what, *([TEXTLESS[what]] if what in TEXTLESS else []))
        self.meter.pay(len(text))
        self.values.append(text.replace(_RETURN, "\r"))
        return f"\ud800{len(self.values) - 1}\ud801"

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Nothing here changes what the next value sees."""
        return super().is_safe_attribute(obj, attr, value) and not jinja2.sandbox.modifies_known_mutable(obj, attr)


class Expressions:
    """The expressions of all files of a stack; one account pays for them."""

    def __init__(self) -> None:
        self._environment = _InValues()
        self._known: dict[tuple[str, int], tuple[Expressed, Mapping[str, Any]]] = {}

    def expressed(self, text: str, variables: Mapping[str, Any]) -> Expressed:
        """`text` with its expressions evaluated, `vars` = `variables`, which do not change; never raises."""
        key = (text, id(variables))
        if key not in self._known:
            self._known[key] = (self._evaluated(text, variables), variables)
        return self._known[key][0]

    def _evaluated(self, text: str, variables: Mapping[str, Any]) -> Expressed:
        environment = self._environment
        environment.values = []
        try:
            environment.meter.pay(CALL + _COMPILED * _expressed_length(text))
            tree = environment.parse(text.replace("\r", _RETURN))
            _refuse_captures(tree)
            code = environment.compile(tree)
            template = environment.template_class.from_code(environment, code, environment.make_globals(None))
            made = template.render(vars=variables)
            environment.meter.pay(len(made))
        except Exception as error:  # an expression can raise anything a Python expression can
            line, message, hint = explained(error, "an expression")
            return Expressed(message=message, hint=hint, line=line)
        return Expressed(made.replace(_RETURN, "\r"), environment.values, _used(tree, variables))


def _expressed_length(text: str) -> int:
    """How many characters stand in `{{ }}` and `{% %}`, about."""
    length, position = 0, 0
    while opened := _OPENED.search(text, position):
        end = text.find("}}" if opened[0] == "{{" else "%}", opened.end())
        position = len(text) if end < 0 else end
        length += position - opened.start()
    return length


def _refuse_captures(tree: jinja2.nodes.Template) -> None:
    if next(tree.find_all(_CAPTURES), None) or any(loop.recursive for loop in tree.find_all(jinja2.nodes.For)):
        raise Refused


def _used(tree: jinja2.nodes.Template, variables: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """`vars.a.b` and `vars['a']` in a template, as far as they lead to something."""
    chains: dict[tuple[str, ...], None] = {}
    for node in tree.find_all((jinja2.nodes.Getattr, jinja2.nodes.Getitem)):
        chain = _chain(node)
        value: Any = variables
        for index, key in enumerate(chain):
            if not isinstance(value, Mapping) or key not in value:
                chain = chain[:index]
                break
            value = value[key]
        if chain:
            chains[chain] = None
    return [chain for chain in chains if not any(o != chain and o[: len(chain)] == chain for o in chains)]


def _chain(node: jinja2.nodes.Node) -> tuple[str, ...]:
    keys: list[str] = []
    while isinstance(node, jinja2.nodes.Getattr | jinja2.nodes.Getitem):
        if isinstance(node, jinja2.nodes.Getattr):
            keys.append(node.attr)
        elif isinstance(node.arg, jinja2.nodes.Const) and isinstance(node.arg.value, str):
            keys.append(node.arg.value)
        else:
            keys.clear()
        node = node.node
    return tuple(reversed(keys)) if isinstance(node, jinja2.nodes.Name) and node.name == "vars" else ()
