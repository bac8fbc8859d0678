"""Jinja2 for `template` layers: sandboxed, strict about names, the same text for the same input, bounded. Values of a
stack file are built upon it (expressions.py).

Import this module where a template is at hand, not before: Jinja2 costs 57 ms.

A template sees one name, `vars`. Nothing in it can tell the time, the machine or a random number, so a rendered layer
can be cached by its inputs. The sandbox keeps a template from Python's insides; `_Meter` keeps it from running or
growing without end: every pass of a loop, every call and every text made are paid from one account.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.nodes
import jinja2.sandbox
from jinja2.exceptions import SecurityError

from stackup.errors import BadInput, Place
from stackup.spec.report import found
from stackup.spec.suggest import did_you_mean

MAX_OUTPUT = 4 << 20
MAX_WORK = 16 << 20  # characters made; a pass of a loop counts as 64, a call as 256
_STEP = 64
CALL = 256
_WIDE = 100_000  # the widest padding
_BIG_NUMBER = 4096  # bits
_MARKED_UP = 4096  # characters to look for addresses or tags in
_WIDTHS = re.compile(r"\*|[0-9]{6}")


class TooMuch(Exception):
    pass


class NoText(Exception):
    pass


class Refused(Exception):
    """What a value of a stack file does not take."""


class _Meter:
    def __init__(self) -> None:
        self.left = MAX_WORK

    def pay(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise TooMuch

    def result(self, value: Any) -> Any:
        """Pay for what an operation made."""
        if isinstance(value, str | list | tuple | dict):
            self.pay(len(value))
        return value

    def weigh(self, *values: Any) -> None:
        """Pay for what an operation has to look through. A list that holds another one twice is counted twice: few
        lines make one of 2**60 values that way, whose text, hash or comparison has no end."""
        for value in values:
            if isinstance(value, str | bytes):
                self.pay(len(value) >> 6)
            elif isinstance(value, list | tuple | dict | range):
                self.weigh_all(value)

    def weigh_all(self, outer: Sequence[Any] | Mapping[Any, Any]) -> None:
        waiting = [outer]
        while waiting:
            value = waiting.pop()
            self.pay(len(value) + 1 >> 1)
            if isinstance(value, range):
                continue
            for item in itertools.chain(value, value.values()) if isinstance(value, dict) else value:
                if isinstance(item, str):
                    self.pay(len(item) >> 2)
                elif isinstance(item, list | tuple | dict):
                    self.pay(_STEP)
                    waiting.append(item)

    def passes(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.pay(_STEP)
            yield value


class _Message(str):
    """An error's text that carries its hint through Jinja's exception."""

    hint: str | None = None


class Missing(jinja2.StrictUndefined):
    """A name that is not there: says which, and what there is."""

    nothing = "the layer gives it no 'vars'"
    knows = "'vars' is the one name a template knows"

    @property
    def _undefined_message(self) -> str:
        name, owner = str(self._undefined_name), self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if isinstance(owner, Mapping):
            message = _Message(f"no '{name}' in the variables")
            there = f"there is {found([str(k) for k in owner])}" if owner else self.nothing
            longer = next((k for k in owner if str(k).startswith(f"{name}-")), None)
            there = f"a name with '-' in it is written ['{longer}']" if longer else there
            message.hint = there if longer else did_you_mean(name, map(str, owner)) or there
            return message
        message = _Message(f"no variable '{name}'" if not isinstance(owner, str | list) else f"no '{name}' in it")
        message.hint = f"write 'vars.{name}': {self.knows}"
        return message


def _metered(tree: jinja2.nodes.Template, environment: jinja2.Environment) -> jinja2.nodes.Template:
    """Put the meter into a template: around what is looped over, compared or cut, and what `~` joins."""

    def through(name: str, node: Any) -> jinja2.nodes.Expr:
        made = jinja2.nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
        made.set_environment(environment)
        return made

    for loop in tree.find_all(jinja2.nodes.For):
        loop.iter = through("_passes", loop.iter)
    for concat in tree.find_all(jinja2.nodes.Concat):
        concat.nodes = [through("_counted", node) for node in concat.nodes]
    for compare in tree.find_all(jinja2.nodes.Compare):
        compare.expr = through("_weighed", compare.expr)
        for operand in compare.ops:
            operand.expr = through("_weighed", operand.expr)
    for item in tree.find_all(jinja2.nodes.Getitem):
        if isinstance(item.arg, jinja2.nodes.Slice):
            item.node = through("_weighed", item.node)
        elif not isinstance(item.arg, jinja2.nodes.Const):
            item.arg = through("_weighed", item.arg)
    for pair in tree.find_all(jinja2.nodes.Pair):
        if not isinstance(pair.key, jinja2.nodes.Const):
            pair.key = through("_weighed", pair.key)
    return tree


class Environment(jinja2.sandbox.SandboxedEnvironment):
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        super().__init__(
            undefined=Missing, keep_trailing_newline=True, finalize=self._finalize, loader=jinja2.DictLoader({})
        )
        self.meter = _Meter()
        for name in ("lipsum",):  # random
            del self.globals[name]
        del self.filters["random"]
        self.filters = {name: self._paid(name, f) for name, f in self.filters.items()}
        self.filters["_passes"] = self.meter.passes
        self.filters["_counted"] = self._counted
        self.filters["_weighed"] = self._weighed
        tests: dict[str, Any] = self.tests
        self.tests = {name: self._weighing(f) for name, f in tests.items()}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What the user named comes before what Python has: `vars.items` may be theirs."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        return _metered(super()._parse(source, name, filename), self)

    def _counted(self, value: Any) -> Any:
        self.meter.pay(len(value) if isinstance(value, str) else _STEP)
        if not isinstance(value, str):
            self.meter.weigh(value)
        return value

    def _weighed(self, value: Any) -> Any:
        self.meter.weigh(value)
        return value

    def _weighing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self.meter.weigh(*arguments)
            return function(*arguments, **named)

        return call

    def _finalize(self, value: Any) -> Any:
        if value is not None and not isinstance(value, str | int | float | list | tuple | dict | jinja2.Undefined):
            raise NoText(f"a {type(value).__name__}")  # its text would hold an address in memory
        self.meter.weigh(value)
        text = value if isinstance(value, str | jinja2.Undefined) else str(value)
        if isinstance(text, str):
            self.meter.pay(len(text))
        return text

    def _paid(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self._refuse_wide(name, arguments, named)
            self.meter.weigh(*arguments)
            return self.meter.result(function(*arguments, **named))

        return call

    def _refuse_wide(self, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """What multiplies: paddings, `join`, `replace`, format strings."""
        values = (*arguments, *named.values())
        if any(isinstance(v, int) and abs(v) > _WIDE for v in values[1:]):
            raise TooMuch
        texts = [v for v in values if isinstance(v, str)]
        if name in ("urlize", "striptags") and len(texts[0] if texts else "") > _MARKED_UP:
            raise TooMuch  # they take a time that grows with the square
        if name in ("format", "format_map") and any(_WIDTHS.search(t) for t in texts[:1]):
            raise TooMuch
        if name in ("replace", "join", "indent", "wordwrap", "translate") and texts:
            lists = [len(v) for v in values if isinstance(v, list | tuple | dict)]
            self.meter.pay(max(len(t) for t in texts) * max([len(texts[0]), *lists]) // 16)

    def call(self, context: Any, function: Any, *arguments: Any, **named: Any) -> Any:
        self.meter.pay(CALL)
        owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)
        self.meter.weigh(owner, *arguments)
        if isinstance(owner, str | bytes):
            self._refuse_wide(function.__name__, (owner, *arguments), named)
        return self.meter.result(super().call(context, function, *arguments, **named))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            self._refuse_wide("format", (left,), {})
            self.meter.weigh(right)
        elif operator == "**" and isinstance(right, int) and (right > 1000 or _bits(left) * right > _BIG_NUMBER):
            raise TooMuch
        elif operator == "*":
            sizes = [len(v) for v in (left, right) if isinstance(v, str | list | tuple)]
            factors = [v for v in (left, right) if isinstance(v, int)]
            if sizes and factors:
                self.meter.pay(max(sizes[0] * factors[0], 0))
            elif _bits(left) + _bits(right) > _BIG_NUMBER:
                raise TooMuch
        return self.meter.result(super().call_binop(context, operator, left, right))


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def render(text: str, variables: Mapping[str, Any], name: str) -> str:
    """`text` with `vars` = `variables`. `name` is the template's file, for messages. The final newline is kept.

    Raises BadInput naming file and line: bad syntax, a variable that is not there, something the sandbox refuses, more
    than MAX_OUTPUT characters, or more work than a template should need.
    """
    environment = Environment()
    try:
        parts, length = [], 0
        for part in environment.from_string(text).generate(vars=dict(variables)):
            length += len(part)
            if length > MAX_OUTPUT:
                raise TooMuch
            parts.append(part)
        return "".join(parts)
    except Exception as error:  # a template can raise anything a Python expression can
        raise _told(error, name) from None


def _told(error: Exception, name: str) -> BadInput:
    line, message, hint = explained(error)
    return BadInput(f"{name}:{line}: {message}", hint=hint, place=Place(name, line))


def explained(error: Exception, what: str = "a template") -> tuple[int, str, str | None]:
    """Line, message and hint."""
    hint = None
    line = _line(error)
    if isinstance(error, jinja2.UndefinedError):
        message = error.args[0] if error.args else str(error)
        hint = getattr(message, "hint", None)
    elif isinstance(error, jinja2.TemplateNotFound):
        message, hint = "a template takes nothing from other templates", "put it all in one file"
    elif isinstance(error, jinja2.TemplateSyntaxError):
        line, message = error.lineno, (error.message or "bad syntax").rstrip(".")
        message = message[:1].lower() + message[1:]
    elif isinstance(error, SecurityError):
        message, hint = f"not allowed in {what}: {str(error).rstrip('.')}", f"{what} only sees 'vars'"
    elif isinstance(error, TooMuch | MemoryError | RecursionError | OverflowError):
        message = f"the {what.split()[-1]} makes too much or runs too long"
        hint = "does a loop or a number grow without end?"
    elif isinstance(error, Refused):
        message = "a value takes {{ }}, {% if %}, {% for %} and {% set x = ... %}"
        hint = "what is more belongs into a file, with a layer 'template'"
    elif isinstance(error, NoText):
        message = f"{error.args[0]} has no text"
        hint = error.args[1] if error.args[1:] else "add '| list' or '| join', or call it"
    else:
        message = f"{type(error).__name__}: {error}"
    return line, str(message), hint


def _line(error: BaseException) -> int:
    """The template's line: the last frame of it in the traceback."""
    line, trace = 1, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
