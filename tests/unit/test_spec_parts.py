"""The parts of the loader, each by itself: scalars, sizes, durations, near words, discovery, messages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stackup.errors import BadInput, Place, SpecErrors
from stackup.spec import units
from stackup.spec.consistency import is_reference
from stackup.spec.discover import derived_name
from stackup.spec.dump import dump
from stackup.spec.layers import File, HostPrograms, Layer, Run, describe
from stackup.spec.load import load, load_text
from stackup.spec.nodes import MAX_DEPTH, MAX_NODES, core_scalar, decode, parse
from stackup.spec.report import Report, dotted
from stackup.spec.suggest import did_you_mean, nearest

HELLO = "services: {web: {image: 'debian:12'}}\n"


def plain(text: str) -> Any:
    report = Report()
    root = parse(text, "stack.yaml", report)
    report.finish()
    return root.plain() if root else None


def problems(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as raised:
        load_text(text, "/stacks/demo/stack.yaml", environment={})
    return [str(problem).splitlines()[0] for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("22:22", "22:22"), ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("=", "="),
        ("0440", 0o440), ("0o440", 0o440), ("089", "089"), ("0x1F", 31), ("12", 12), ("-7", -7), ("1.5", 1.5),
        ("1e3", 1000.0), ("1.2.3", "1.2.3"), ("~", None), ("", None), ("null", None), ("True", True), ("tRue", "tRue"),
        ("9" * 5000, "9" * 5000), (".inf", float("inf")), ("-", "-"), (".", "."), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    assert core_scalar(text) == value
    assert type(core_scalar(text)) is type(value)


def test_quotes_and_tags_decide_the_type() -> None:
    text = "{a: '12', b: !!str 12, c: !!int '12', d: !!float 1, e: ! on, f: \"no\"}"
    assert plain(text) == {"a": "12", "b": "12", "c": 12, "d": 1.0, "e": "on", "f": "no"}


def test_merge_keys_give_way_to_what_is_written() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\n"
    assert plain(text)["c"] == {"x": 3, "y": 1, "z": 2}


def test_a_bomb_of_aliases_is_refused() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    with pytest.raises(BadInput, match=f"more than {MAX_NODES} values"):
        plain(text)


@pytest.mark.parametrize("piece", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_does_not_end_the_process(piece: str) -> None:
    with pytest.raises(BadInput, match=f"more than {MAX_DEPTH} deep"):
        plain(piece * 100_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a:\n\tb: 1",
            "stack.yaml:2:1: not YAML: found character that cannot start any token .*; YAML is indented with",
        ),
        ("a: [1", r"stack.yaml:1:4: not YAML: did not find expected ',' or '\]'"),
        ("a: 1\nb: [", "stack.yaml:2:5: not YAML: did not find expected node content"),
        ("a: b: c", "stack.yaml:1:5: not YAML: mapping values are not allowed in this context; put quotes"),
        ("a: *x", r"stack.yaml:1:4: a: no anchor &x before this alias"),
        ("&a [*a]", r"stack.yaml:1:5: \[0\]: the alias \*a stands inside its own anchor"),
        ("a: \x00", "stack.yaml:1:4: a stack file is text"),
        ("é: '\x01'", "stack.yaml:1:5: a stack file is text"),
        ("? [a]\n: b", "stack.yaml:1:3: a key is a word, not a list"),
        ("a: !!python/object:os.system b", "stack.yaml:1:4: a: unknown tag !!python/object:os.system"),
        ("- a", "stack.yaml:1:1: expected a mapping with 'images' and 'services', found a list"),
        ("x", "stack.yaml:1:1: expected a mapping with 'images' and 'services', found the text 'x'"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(SpecErrors, match=f"(?m)^{told}"):
        load_text(text, "/stacks/demo/stack.yaml", environment={})


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~"])
def test_an_empty_file_is_told(text: str) -> None:
    with pytest.raises(BadInput, match=r"^stack.yaml is empty"):
        load_text(text, "/stacks/demo/stack.yaml", environment={})


def test_text_is_utf_8_with_or_without_a_bom() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", "stack.yaml") == "a: 1"
    with pytest.raises(BadInput, match=r"stack.yaml:2:5: byte 0xff is not UTF-8"):
        decode("a: é\nb: \xe9".encode() + b"\xff", "stack.yaml")
    with pytest.raises(BadInput, match="UTF-16"):
        decode("a: 1".encode("utf-16"), "stack.yaml")


def test_the_caret_stands_below_its_column() -> None:
    text = "services: {w: {image: a, hostname: ''}, web: {image: é😀, resorces: 1}}"
    with pytest.raises(SpecErrors) as raised:
        load_text(text, "/demo/stack.yaml", environment={})
    _, line, caret = str(raised.value.problems[-1]).splitlines()
    assert line.index("resorces") == caret.index("^")


def test_places_are_counted_in_characters() -> None:
    report = Report()
    root = parse("{a: 'é😀', b: 1}", "stack.yaml", report)
    assert root is not None
    assert root.items["b"].place == Place("stack.yaml", 1, 14)


@pytest.mark.parametrize(
    ("text", "value"),
    [("64M", 64 << 20), ("64mb", 64 << 20), ("1.5g", 3 << 29), ("10", 10), ("1 k", 1024), ("2GiB", 2 << 30), ("0", 0)],
)
def test_sizes_are_powers_of_1024(text: str, value: int) -> None:
    assert units.size(text) == value
    assert units.size(units.size_text(value)) == value


@pytest.mark.parametrize("text", ["", "M", "1x", "-1", "1e9", "٣M", "1" * 41, "9" * 30])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        units.size(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90.0), ("1m30s", 90.0), ("500ms", 0.5), ("2h", 7200.0), ("1.5s", 1.5), ("10", 10.0), ("100us", 0.0001)],
)
def test_durations_are_seconds(text: str, value: float) -> None:
    assert units.duration(text) == value
    assert units.duration(units.duration_text(value)) == value


@pytest.mark.parametrize("text", ["", "s", "1", "-1s", "1y", "1s ago", "1s1", "9999999h"])
def test_no_durations(text: str) -> None:
    if text == "1":
        assert units.duration(text) == 1.0
        return
    with pytest.raises(ValueError, match="'"):
        units.duration(text)


def test_near_words() -> None:
    known = ["from", "layers", "config", "resources", "restart", "depends_on"]
    assert nearest("form", known) == "from"
    assert nearest("resorces", known) == "resources"
    assert nearest("dependsOn", known) == "depends_on"
    assert nearest("Config", known) == "config"
    assert nearest("xy", known) is None
    assert did_you_mean("colour", known) is None


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("debian", True), ("debian:12", True), ("library/debian", True), ("localhost:5000/a/b:c", True), ("a__b", True),
        ("ghcr.io/x/y@sha256:" + "a" * 64, True), ("Debian", False), ("a:b:c", False), ("", False), ("a b", False),
        ("a@sha256:12", False), ("-a", False), ("a/", False),
    ],
)  # fmt: skip
def test_image_references(text: str, good: bool) -> None:
    assert is_reference(text) is good


def test_paths_are_dotted() -> None:
    assert dotted(("services", "web", "ports", 0)) == "services.web.ports[0]"
    assert dotted(("labels", "a.b")) == 'labels["a.b"]'


# --- discovery and names


def test_the_file_is_looked_for_upward(tmp_path: Path) -> None:
    (tmp_path / "stack.yml").write_text(HELLO)
    (tmp_path / "a" / "b").mkdir(parents=True)
    loaded = load(str(tmp_path / "a" / "b"), environment={})
    assert loaded.stack.folder == str(tmp_path)
    assert loaded.origins["services", "web", "image"] == ("../../stack.yml", 1, 25)


def test_stack_yaml_wins_and_the_other_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(HELLO)
    (tmp_path / "stack.yml").write_text("nonsense: [")
    assert load(str(tmp_path), environment={}).warnings == (
        "stack.yaml is used, stack.yml beside it is not; -f takes it",
    )


def test_no_file_says_what_was_looked_for_and_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"looked for stack.yaml, .* and docker-compose.yaml in .* and in every folder above"
    ) as raised:
        load(str(tmp_path), environment={})
    assert "`stackup init` writes a first one" in str(raised.value.hint)


def test_a_compose_file_is_found_where_there_is_no_stack_file(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(HELLO)
    assert list(load(str(tmp_path), environment={}).stack.services) == ["web"]
    (tmp_path / "stack.yaml").write_text(HELLO.replace("web", "ours"))
    loaded = load(str(tmp_path), environment={})
    assert list(loaded.stack.services) == ["ours"]
    assert loaded.warnings == ("stack.yaml is used, compose.yaml beside it is not; -f takes it",)


def test_wrong_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no file other\.yaml"):
        load(str(tmp_path), ["other.yaml"])
    with pytest.raises(BadInput, match="is a folder") as raised:
        load(str(tmp_path), ["."])
    assert "-C" in str(raised.value.hint)
    with pytest.raises(BadInput, match="no folder"):
        load(str(tmp_path / "gone"))


def test_the_name_is_given_or_written_or_the_folders(tmp_path: Path) -> None:
    folder = tmp_path / "My App_2"
    folder.mkdir()
    (folder / "stack.yaml").write_text(HELLO)
    assert load(str(folder)).stack.name == "myapp_2"
    (folder / "stack.yaml").write_text("name: shop\n" + HELLO)
    assert load(str(folder)).stack.name == "shop"
    assert load(str(folder), project_name="other").stack.name == "other"
    with pytest.raises(BadInput, match="'No!' is no name of a stack"):
        load(str(folder), project_name="No!")
    with pytest.raises(BadInput, match="gives the stack no name"):
        derived_name("/")


def test_version_and_variables_that_are_not_set_are_warned_about() -> None:
    text = "version: '3'\nx-a: ${A}\n" + "services: {web: {image: 'debian:12', command: [$$x, '${B}']}}"
    loaded = load_text(text, "/stacks/demo/stack.yaml", environment={"B": "b"})
    assert loaded.stack.services["web"].command == ("$x", "b")
    assert [w.split(": ")[1] for w in loaded.warnings] == ["version", "x-a"]


def test_a_source_stays_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "out").symlink_to("/etc")
    sources = ["/etc/passwd", "../x", "~/x", "out/passwd", "gone", "."]
    layers = ", ".join(f"{{copy: {{source: '{source}', target: /x}}}}" for source in sources)
    with pytest.raises(SpecErrors) as raised:
        load_text(f"images: {{a: {{layers: [{layers}]}}}}", str(tmp_path / "stack" / "stack.yaml"), environment={})
    told = [problem.message for problem in raised.value.problems]
    assert [("leaves" in t, "no file or folder" in t) for t in told] == [(True, False)] * 4 + [(False, True)]


def test_a_missing_indentation_is_recognised() -> None:
    told = problems("services:\n  web:\n  image: 'debian:12'\n")
    assert told[0].endswith("found nothing; is what follows indented?")
    assert told[1].endswith("indent it: 'image' belongs to what stands above it")


def test_one_mistake_is_one_problem() -> None:
    assert problems("services: {web: {imge: 'debian:12'}}") == [
        "stack.yaml:1:18: services.web.imge: unknown key; did you mean 'image'?"
    ]


def test_a_health_check_of_the_image_is_the_base_of_the_services() -> None:
    text = """
images:
  base: {layers: [{run: "true"}], config: {healthcheck: {test: "true", interval: 2s}}}
  web: {from: base, config: {healthcheck: {retries: 7}}}
services:
  web: {image: web, healthcheck: {timeout: 1s}}
  other: {image: web, depends_on: {web: {condition: service_healthy}, other2: {condition: service_healthy}}}
  other2: {image: web}
"""
    services = load_text(text, "/stacks/demo/stack.yaml", environment={}).stack.services
    check = services["web"].healthcheck
    assert check is not None
    assert (check.test, check.interval, check.retries, check.timeout) == (("CMD-SHELL", "true"), 2.0, 7, 1.0)
    assert services["other2"].healthcheck is None


def test_the_long_form_quotes_what_yaml_1_1_would_read_otherwise_keys_too() -> None:
    words = ["y", "N", "yes", "Off", "08", "0440", "1_000", "1e3", "22:22", "~", "2024-01-01", "0x1f"]
    values = ", ".join(f'"{word}": "{word}"' for word in words)
    text = long_form(f"services: {{web: {{image: x, environment: {{{values}}}}}}}")
    for word in words:
        assert re.search(rf"""^ +(['"]){word}\1: (['"]){word}\2$""", text, re.MULTILINE), word
    plain = long_form("services: {web: {image: x, environment: {A: 127.0.0.1, yn: v1_0, b: a08}}}")
    assert "'" not in plain and '"' not in plain


def long_form(text: str) -> str:
    return dump(load_text(text, "/stacks/demo/stack.yaml", environment={}))


def test_the_long_form_quotes_what_yaml_1_2_would_read_otherwise() -> None:
    texts = ["0o17", "1e3", "on", "22:22", "~", "a\nb\n", " x", "0x1", "1_000", "", "é", "a\u2028b", "\x85"]
    stack = load_text(HELLO, "/stacks/demo/stack.yaml", environment={}).stack
    listed = json.dumps({"services": {"web": {"image": "debian:12", "command": texts}}})
    loaded = load_text(listed, stack.file, environment={})
    assert loaded.stack.services["web"].command == tuple(texts)
    assert load_text(dump(loaded), stack.file, environment={}).stack == loaded.stack


@pytest.mark.parametrize(("written", "owner"), [("7", "7:7"), ("7:8", "7:8"), ("www-data", "www-data"), ("a:b", "a:b")])
def test_an_owner_by_name_leaves_the_group_to_the_image(written: str, owner: str) -> None:
    text = f"images: {{i: {{layers: [{{file: {{target: /f, content: x, owner: '{written}'}}}}]}}}}\n"
    (layer,) = load_text(text, "/stacks/demo/stack.yaml", environment={}).stack.images["i"].layers
    assert isinstance(layer, File) and layer.owner == owner


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (Run(command=("/bin/sh", "-ec", "make all")), "run make all"),
        (Run(command=("/bin/sh", "-ec", "make\nmake install\n")), "run make ..."),
        (Run(command=("cc", "-o", "x")), "run cc -o x"),
        (Run(command=("echo", "x" * 500)), f"run echo {'x' * 115} ..."),
        (HostPrograms(programs=("sh",), files=("/etc/hosts",)), "host sh /etc/hosts"),
        (HostPrograms(), "host"),
    ],
)
def test_a_layer_is_described_in_one_line(layer: Layer, line: str) -> None:
    assert describe(layer) == line
