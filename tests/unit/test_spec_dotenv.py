"""Files of variables: what Compose reads out of them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackup.errors import SpecErrors
from stackup.spec.dotenv import MAX_LENGTH, MAX_VARIABLES, parse
from stackup.spec.report import Report

NAMES = "letters, digits and _ . - [ ], no blanks"
LITERALLY = "a name begins with a letter or _; for '${' itself write '$${'"
OUTSIDE = {"OUT": "outside", "EARLIER": "from outside"}


def lookup(name: str) -> tuple[str, str] | None:
    return (OUTSIDE[name], "the environment") if name in OUTSIDE else None


def read(text: str, *, raw: bool = False) -> tuple[dict[str, str], tuple[str, ...]]:
    report = Report()
    found = {name: entry.value for name, entry in parse(text, "a.env", lookup, report, raw=raw).items()}
    report.finish()
    return found, report.warnings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}), ("\n \r\n\t\n# c\n  # c = d\n#", {}), ("A=1\nB=2", {"A": "1", "B": "2"}), ("A=1\nA=2", {"A": "2"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}), ("  A = 1  \n\tB\t=\t2\t", {"A": "1", "B": "2"}),
        ("A: 1\nB:2\nC: Foo=bar\nD=1:B", {"A": "1", "B": "2", "C": "Foo=bar", "D": "1:B"}),
        ("export A=1\nexport\tB=2\n export C=3\nexport OUT", {"A": "1", "B": "2", "C": "3", "OUT": "outside"}),
        ("exportA=1\nexport=2\nexport.A=3\nexport = 4", {"exportA": "1", "export": "4", "export.A": "3"}),
        ("OUT\nGONE\nOUT ", {"OUT": "outside"}), ("A=\nB=''\nC=\"\"", {"A": "", "B": "", "C": ""}),
        ("a.b-c[0]=1\nárvíztűrő-TÜKÖR=ü\n1A=x", {"a.b-c[0]": "1", "árvíztűrő-TÜKÖR": "ü", "1A": "x"}),
        # not quoted
        ("A=x # y\nB=x# y\nC=x#y\nD=x\t# y", {"A": "x", "B": "x# y", "C": "x#y", "D": "x\t# y"}),
        ("A=it's \"so\"\nB=a\\nb\nC=a=b=", {"A": "it's \"so\"", "B": "a\\nb", "C": "a=b="}),
        # double quotes
        ('A="x # y" # c\nB="a\nb" \nC=1', {"A": "x # y", "B": "a\nb", "C": "1"}),
        (r'A="\n\r\t\a\b\f\v\\\"\$X\$$"', {"A": "\n\r\t\a\b\f\v\\\"$X$$"}),
        (r'A="\c\q\ \'"', {"A": r"\c\q\ \'"}), (r'A="\0101\01\0\0777\0351"', {"A": r"A\01\0\0777é"}),
        (r'A="\\n\\$OUT"', {"A": r"\n\outside"}), ('A="\'x\'"', {"A": "'x'"}), ('A="\\\nb"', {"A": "\\\nb"}),
        # single quotes
        (r"A='\n $OUT \'x\' \\' # c", {"A": r"\n $OUT 'x' \\"}), ("A='a\nb'", {"A": "a\nb"}), ("A='\"'", {"A": '"'}),
        # variables
        ("A=1\nB=$A ${A}2\nC=\"$B\"\nD='$B'", {"A": "1", "B": "1 12", "C": "1 12", "D": "$B"}),
        ("EARLIER=here\nA=$EARLIER", {"EARLIER": "here", "A": "from outside"}),
        ("A=$$OUT\nB=\"$${OUT}\"\nC=a$", {"A": "$OUT", "B": "${OUT}", "C": "a$"}),
        ("A=${GONE:-d} ${OUT:+x}\nB=\"${GONE:-a b}\"", {"A": "d x", "B": "a b"}),
    ],
)  # fmt: skip
def test_what_is_read(text: str, found: dict[str, str]) -> None:
    assert read(text) == (found, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=x # y\nB='q'\nC=$OUT\n # c\n\nD= x \r\n", {"A": "x # y", "B": "'q'", "C": "$OUT", "D": " x "}),
        ("  A=1\nOUT\nGONE\nB=\nC=a=b\n\ufeffD=1", {"A": "1", "OUT": "outside", "B": "", "C": "a=b", "\ufeffD": "1"}),
        ("\ufeffA=1", {"A": "1"}),
    ],
)
def test_raw_takes_lines_as_they_stand(text: str, found: dict[str, str]) -> None:
    assert read(text, raw=True) == (found, ())


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("A=1\nB='x\n\nC=2", ["a.env:2:3: the quote in the value of 'B' is not closed"]),
        ('A="\\"', ["a.env:1:3: the quote in the value of 'A' is not closed"]),
        ("=1\nA=2\n : 3", ["a.env:1:1: no name before '='; write NAME=value",
                           "a.env:3:2: no name before ':'; write NAME=value"]),
        ("lol$wut\nA B=1\nA\tB=1", ["a.env:1:1: 'lol$wut' is no variable; write NAME=value",
                                    f"a.env:2:2: 'A B' is no name of a variable; {NAMES}",
                                    f"a.env:3:2: 'A\\tB' is no name of a variable; {NAMES}"]),
        ("A='it'\\''s'\nB=1", ["a.env:1:7: text behind the closing quote; put the whole value into the quotes"]),
        ('A="x"y', ["a.env:1:6: text behind the closing quote; put the whole value into the quotes"]),
        ("é=$OUT ${1}", [f"a.env:1:8: '${{1}}' names no variable (in the value of 'é'); {LITERALLY}"]),
        ('A="\n\n  ${GONE?why} $OUT"', ["a.env:3:3: the variable GONE is not set: why (in the value of 'A')"]),
        ('A="\\0000"', ["a.env:1:1: a zero byte in the value of 'A'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_line(text: str, problems: list[str]) -> None:
    with pytest.raises(SpecErrors) as raised:
        read(text)
    assert [str(problem).splitlines()[0] for problem in raised.value.problems] == problems


@pytest.mark.parametrize("text", ["A B=1", "=x"])
def test_what_is_wrong_in_a_raw_file(text: str) -> None:
    with pytest.raises(SpecErrors, match=r"^a.env:1:1: .*name"):
        read(text, raw=True)


@pytest.mark.parametrize(
    ("text", "found", "warning"),
    [
        ("A= # x", {"A": "# x"}, "a.env:1:4: 'A' begins with '#': a comment needs a value before it, or its own line"),
        (
            "A='1' B=2",
            {"A": "1", "B": "2"},
            "a.env:1:7: what stands behind the closing quote is",
        ),
        ("A=1\nB=x $GONE", {"A": "1", "B": "x "}, "a.env:2:5: the variable GONE is not set: nothing stands for it"),
    ],
)
def test_what_is_odd_is_warned_of(text: str, found: dict[str, str], warning: str) -> None:
    values, (told,) = read(text)
    assert values == found
    assert told.startswith(warning)


def test_the_files_before_are_asked_last() -> None:
    before = {"OUT": ("before", "b"), "LINE": ("before", "b"), "BEFORE": ("before", "b")}
    found = parse("LINE=line\nA=$OUT $LINE $BEFORE\nBEFORE", "a.env", lookup, Report(), before=before.get)
    assert {name: entry.value for name, entry in found.items()} == {"LINE": "line", "A": "outside line before"}


def test_an_entry_knows_its_place() -> None:
    entries = parse("# c\n A=1\nOUT\nB=$A", "a.env", lookup, Report())
    assert [(e.line, e.column, e.where) for e in entries.values()] == [
        (2, 2, "a.env:2"), (3, 1, "the environment"), (4, 1, "a.env:4"),
    ]  # fmt: skip
    assert [source.where for source in entries["B"].sources] == ["a.env:2"]


@pytest.mark.parametrize(
    "text",
    [
        "A=0123456789\n" + "".join(f"A=$A$A #{i}\n" for i in range(100)), 'A="' + "\\" * 300_000,
        "A='" + "x\\'" * 200_000, 'A="' + 'x"' * 200_000, "\n" * 500_000, "#\n" * 300_000, "A\n" * 300_000,
        "A=$A\n" * 150_000,
        "a" * 900_000, "A=" + " #" * 300_000, "A=" + "${" * 300_000, 'A="' + "$B\n" * 150_000 + '"', "=\n" * 150_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("raw", [False, True])
def test_hostile_files_end(text: str, raw: bool) -> None:
    began = time.monotonic()
    found = parse(text, "a.env", lambda name: None, Report(), raw=raw)
    assert len(found) <= MAX_VARIABLES
    assert sum(len(entry.value) for entry in found.values()) <= MAX_LENGTH + len(text)
    assert time.monotonic() - began < 10  # a guard, not a measurement


@given(st.text(alphabet=st.sampled_from("AB=:'\"\\$#{}- \n\r\tn0") | st.characters()))
def test_nothing_is_raised(text: str) -> None:
    for raw in (False, True):
        parse(text, "a.env", lookup, Report(), raw=raw)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,5}", fullmatch=True), st.text()))
def test_quoted_values_come_back(values: dict[str, str]) -> None:
    values = {name: value.replace("\0", "") for name, value in values.items()}
    lines = [f'{n}="{v.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34)).replace("$", "$$")}"'
             for n, v in values.items()]  # fmt: skip
    assert read("\n".join(lines)) == (values, ())
