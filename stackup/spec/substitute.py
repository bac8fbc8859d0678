"""Variables put into the values of a file: `{{ vars.x }}` where it is a stack file, and `${NAME}`.

Each scalar of the source is looked at once. What an expression gives is never searched for `${}`, and what a variable
gives is never read as an expression: expressions leave tokens, `${}` is put into the text around them, then the tokens
become their values. Keys are never touched. A text without `$` and `{{` costs two searches in it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stackup.errors import Place
from stackup.spec.discover import Dialect
from stackup.spec.nodes import Node, shorten
from stackup.spec.report import Report, dotted
from stackup.spec.sources import Source
from stackup.spec.suggest import did_you_mean
from stackup.spec.variables import Variables, not_utf_8
from stackup.spec.vars import TEXTLESS, Vars, as_text, lossy_numbers, with_value

if TYPE_CHECKING:
    from stackup.spec.expressions import Expressions
    from stackup.spec.interpolate import Made, Use, Wrong

# Read here, because most expressions are no more than this and Jinja2 costs 57 ms: `{{ vars.web.port }}`, `{{ '{{' }}`.
# Not compiled here: most files have none.
_SIMPLE = r"(?<!\{)\{\{ *(?:vars((?:\.[A-Za-z_][A-Za-z0-9_]*)+)|'(\{[{%])') *\}\}(?!\})"
_EXPRESSION = re.compile(r"\{[{%]")
_TOKEN = re.compile("\ud800([0-9]+)\ud801")
_MOST_NEAR = 200
_LITERALLY = "for '{{' itself write {{ '{{' }}"
_ESCAPED = re.compile(r"\{\{|\{%|\$")


def substitute(root: Node, variables: Variables, known: Vars | None, report: Report, dialect: Dialect) -> Node:
    """The document with variables put in; what holds none is the same node. `known` None: no expressions.

    Under `vars` of a stack file an expression is a problem: what it stands for is not known there.
    """
    return _Substitution(variables, known if dialect == "stack" else None, report).document(root, dialect)


def escape(text: str, dialect: Dialect) -> str:
    """The text that a file has to hold for `substitute` to make `text` of it."""
    if "$" not in text and "{" not in text:
        return text
    if dialect == "compose":
        return text.replace("$", "$$")
    return _ESCAPED.sub(lambda match: "$$" if match[0] == "$" else f"{{{{ '{match[0]}' }}}}", text)


class _Substitution:
    def __init__(self, variables: Variables, known: Vars | None, report: Report) -> None:
        self.variables = variables
        self.known = known
        self.report = report

    def document(self, root: Node, dialect: Dialect) -> Node:
        own = root.items.get("vars") if dialect == "stack" else None
        if own is None:
            return self.node(root, self.expressions)
        rest = self.node(root.made({k: v for k, v in root.items.items() if k != "vars"}), self.expressions)
        made = {k: self.node(v, self.no_expressions) if v is own else rest.items[k] for k, v in root.items.items()}
        lossy_numbers(made["vars"], self.report)
        return with_value(root, made)

    def node(self, node: Node, expressions: Callable[[Node], _Expressed]) -> Node:
        value = node.value
        if node.tag == "!reset":  # what stands behind it does not count
            return node
        if isinstance(value, str):
            expressed = "{" in value and self.known is not None and _EXPRESSION.search(value) is not None
            return self.scalar(node, expressions if expressed else None) if expressed or "$" in value else node
        if isinstance(value, dict):
            changed = {k: new for k, v in value.items() if (new := self.node(v, expressions)) is not v}
            return with_value(node, {**value, **changed}) if changed else node
        if isinstance(value, list):
            items = [self.node(item, expressions) for item in value]
            return with_value(node, items) if any(a is not b for a, b in zip(items, value, strict=True)) else node
        return node

    def scalar(self, node: Node, expressions: Callable[[Node], _Expressed] | None) -> Node:
        from stackup.spec.interpolate import MAX_LENGTH, interpolate  # only for files with `$` or `{{` in them

        expressed = expressions(node) if expressions else _Expressed(node.value)
        account = self.variables.account
        made = interpolate(expressed.text, self.variables.get, max(min(account.left, MAX_LENGTH), 0))
        sources = (*expressed.sources, *made.sources)
        text = self.filled(node, made.text, expressed)
        if sources:
            account.left -= len(text)
        for use in made.uses:
            self.variables.mention(use)
        self.tell(node, expressed.text, made)
        wrong = self.no_text(node, made, text)
        if made.wrong or expressed.wrong or wrong:
            self.report.spoil(node.file, node.path)
        if text == node.value and not sources:
            return node
        return Node(text, node.file, node.line, node.column, node.path, node.key, text, node.tag, sources)

    def filled(self, node: Node, text: str, expressed: _Expressed) -> str:
        """The text with the values in the place of their tokens; a token may stand there many times."""
        values = expressed.values
        if not values:
            return text
        left = self.variables.account.left
        for number in _TOKEN.findall(text):
            left -= len(values[int(number)])
            if left < 0:
                expressed.wrong = True
                self.problem(node, 0, "the expressions of the stack make too much text", None)
                return ""
        return _TOKEN.sub(lambda match: values[int(match[1])], text)

    # --- messages

    def tell(self, node: Node, text: str, made: Made) -> None:
        if not made.unset and not made.wrong:
            return
        from stackup.spec.interpolate import MAX_TOLD

        unset = made.unset[:MAX_TOLD]
        path = dotted(node.path)
        for use, place in zip(unset, self.places(node, text, unset), strict=True):
            if (use.name, place) in self.variables.account.told:
                continue
            self.variables.account.told.add((use.name, place))
            near = self.near(use.name)
            message = f"the variable {use.name} is not set: nothing stands for it" + (f"; {near}" if near else "")
            self.report.warn_at(place, path, message)
        for wrong, place in zip(made.wrong, self.places(node, text, made.wrong), strict=True):
            self.report.problem_at(place, path, wrong.message, wrong.hint)

    def near(self, name: str) -> str | None:
        """A name in the env files that was probably meant; looked for a few times, it takes long among many."""
        names = list(itertools.islice(self.variables.in_files(), _MOST_NEAR))
        return did_you_mean(name, names) if len(self.variables.account.told) <= _MOST_NEAR else None

    def no_text(self, node: Node, made: Made, text: str) -> bool:
        """Bytes of the environment that are no text belong into no stack."""
        if not not_utf_8(text):
            return False
        names = [s.name for s in made.sources if not_utf_8((self.variables.get(s.name) or ("",))[0])]
        told = f"the value of '{names[0]}' in your environment" if names else "the text"
        self.report.problem_at(node.place, dotted(node.path), f"{told} is not UTF-8")
        return True

    def places(self, node: Node, text: str, mentions: Sequence[Use | Wrong]) -> list[Place]:
        """Where mentions in `text` stand in the file. Where expressions changed the text, the same words are looked
        for in what was written."""
        if not mentions:
            return []
        from stackup.spec.written import places

        offsets = [mention.offset for mention in mentions]
        if text != node.value:
            offsets = [_counterpart(text, offset, node.value) for offset in offsets]
        order = sorted(range(len(offsets)), key=offsets.__getitem__)
        found = places(node, [offsets[i] for i in order], self.report.lines.get(node.file, ()))
        return [place for _, place in sorted(zip(order, found, strict=True))]

    def problem(self, node: Node, offset: int, message: str, hint: str | None) -> None:
        from stackup.spec.written import places

        (place,) = places(node, [offset], self.report.lines.get(node.file, ()))
        self.report.problem_at(place, dotted(node.path), message, hint)

    # --- expressions

    def no_expressions(self, node: Node) -> _Expressed:
        match = _EXPRESSION.search(node.value)
        hint = "write $NAME here; an expression stands where the variable is used"
        self.problem(node, match.start() if match else 0, "no expressions in 'vars'", hint)
        return _Expressed(node.value, wrong=True)

    def expressions(self, node: Node) -> _Expressed:
        text: str = node.value
        if "\ud800" in text:
            return _Expressed(text, wrong=True)  # told as no UTF-8
        made = _Expressed(text)

        def simple(match: re.Match[str]) -> str:
            made.values.append(match[2] or self.value(node, match, made))
            return f"\ud800{len(made.values) - 1}\ud801"

        rest = re.sub(_SIMPLE, "", text)
        if _EXPRESSION.search(rest):
            return self.general(node)
        made.text = re.sub(_SIMPLE, simple, text)
        return made

    def value(self, node: Node, match: re.Match[str], made: _Expressed) -> str:
        assert self.known is not None
        keys = tuple(match[1][1:].split("."))
        made.sources.append(Source(".".join(("vars", *keys)), self.known.where(keys)))
        found = self.known.get(keys)
        if found is None:
            message, hint = self.known.absent(keys)
        else:
            text, what = as_text(found.value)
            if text is not None:
                return text
            message, hint = f"vars{match[1]} is {what}, not a text", TEXTLESS.get(what, "")
        made.wrong = True
        self.problem(node, match.start(), message, hint)
        return ""

    def general(self, node: Node) -> _Expressed:
        """All that Jinja2 knows."""
        assert self.known is not None
        made = self.jinja().expressed(node.value, self.known.plain)
        if made.message is not None:
            before = sum(len(line) + 1 for line in node.value.split("\n")[: made.line - 1])
            match = _EXPRESSION.search(node.value, before) or _EXPRESSION.search(node.value)
            self.problem(node, match.start() if match else 0, made.message, made.hint or _LITERALLY)
            return _Expressed(node.value, wrong=True)
        sources = [Source(".".join(("vars", *keys)), self.known.where(keys)) for keys in made.used]
        if not sources:  # typed places read what an expression gave, whatever it was made of
            sources = [Source(shorten(node.value, 30), f"{node.file}:{node.line}")]
        return _Expressed(made.text, made.values, sources)

    def jinja(self) -> Expressions:
        account = self.variables.account
        if account.expressions is None:
            from stackup.spec.expressions import Expressions

            account.expressions = Expressions()
        return account.expressions


class _Expressed:
    """A text whose expressions are tokens, and what they stand for."""

    __slots__ = ("sources", "text", "values", "wrong")

    def __init__(
        self, text: str, values: list[str] | None = None, sources: list[Source] | None = None, wrong: bool = False
    ) -> None:
        self.text = text
        self.values = values if values is not None else []
        self.sources = sources if sources is not None else []
        self.wrong = wrong


def _counterpart(text: str, offset: int, written: str) -> int:
    """The offset in `written` of what stands at `offset` of `text`: the same words, as often after themselves."""
    words = re.split("[\ud800\n]", text[offset : offset + 40])[0] or text[offset : offset + 2]
    at = -1
    for _ in range(min(text.count(words, 0, offset), 1000) + 1):
        at = written.find(words, at + 1)
        if at < 0:
            return 0
    return at
