"""A project folder from a stranger: looking at it does nothing to who looks. Nothing hangs, nothing grows, no name
speaks to the terminal, and no line of a file with secrets is shown."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from stackup.errors import BadInput, SpecErrors
from stackup.spec import decoding
from stackup.spec.load import load_text

_SPEAKS = '"a\\e[31m\\e]0;t\\a\\nerror: x\\u202e\\x9b31m"'  # colours, a title, a line of its own, letters turned round
_SERVICE = "services:\n  web:\n    image: a:1\n"


def stackup(
    folder: Path, *argv: str | bytes, environment: Mapping[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    """What the program says, within ten seconds and two gigabytes."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); "
    line = [sys.executable, "-c", limited + "from stackup.__main__ import main; sys.exit(main())", *argv]
    home = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.run(
        line, cwd=folder, env={**home, **(environment or {})}, stdin=stdin, capture_output=True, timeout=10
    )


def quiet(text: bytes) -> bool:
    """Whether a terminal shows this and does nothing else."""
    told = text.decode()
    return told.replace("\n", "").replace("\t", "").isprintable() and "Traceback" not in told


# --- the terminal


@pytest.mark.parametrize(
    "text",
    [
        f"include: [{_SPEAKS}]\n{_SERVICE}",
        f"{_SPEAKS}: 1\n{_SERVICE}",
        f"services:\n  {_SPEAKS}: {{image: a:1}}\n",
        f"{_SERVICE}    {_SPEAKS}: 1\n",
        f"{_SERVICE}    env_file: {_SPEAKS}\n    label_file: {_SPEAKS}\n",
        f"{_SERVICE}    extends: {_SPEAKS}\n",
        f"{_SERVICE}    extends: {{file: {_SPEAKS}, service: x}}\n",
        f"{_SERVICE}    networks: [{_SPEAKS}]\n    depends_on: [{_SPEAKS}]\n    volumes: [{_SPEAKS}]\n",
        f"{_SERVICE}    deploy: {{{_SPEAKS}: 1}}\n    ulimits: {{{_SPEAKS}: 1}}\n",
        f"{_SERVICE}    mem_reservation: 1m\n    environment: {{{_SPEAKS}: {_SPEAKS}}}\n    labels: [{_SPEAKS}]\n",
        f"vars: {{a: {_SPEAKS}}}\n{_SERVICE}    hostname: '{{{{ vars[\"\\u202e\\e\"] }}}}'\n",
        f'{_SERVICE}    environment: {{A: "${{B:?\\e[31m}}", C: "${{D:-\\e[31m}}"}}\n',
    ],
)
def test_no_name_speaks_to_the_terminal(text: str, tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(text)
    for argv in (
        ["config"],
        ["config", "--origin"],
        ["config", "--format", "json"],
        ["config", "--variables"],
        ["check"],
    ):
        done = stackup(tmp_path, *argv)
        assert quiet(done.stdout) and quiet(done.stderr), argv
        assert done.returncode in (0, 1, 2)


def test_neither_does_the_name_of_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "d\x1b[31m\nerror: x\u202e"
    folder.mkdir()
    (folder / "a\x1b.yaml").write_text("services:\n  o:\n    image: a\n    environment: {A: $A, P: $P}\n")
    (folder / ".env").write_text("P=4\n")
    name = json.dumps(f"{folder.name}/a\x1b.yaml")
    (tmp_path / "stack.yaml").write_text(f"include: [{name}]\n{_SERVICE}")
    for argv in (["config"], ["config", "--origin"], ["config", "--variables"], ["check"], ["-f", "b\x1b[31m", "ps"]):
        done = stackup(tmp_path, *argv)
        assert quiet(done.stdout) and quiet(done.stderr), argv
    assert b"\\x1b" in done.stderr


@pytest.mark.parametrize(
    "value", ["x\u202ey", "\x9b31m", "a\tb\nc\u200b", "a\tb\nc", "\U000e0001", "1\xa0", "\x7f", "é😀"]
)
def test_config_prints_a_text_so_that_it_is_read_as_the_same(value: str, tmp_path: Path) -> None:
    told = json.dumps(value) if value.isascii() else f'"{"".join(f"{chr(92)}U{ord(c):08x}" for c in value)}"'
    (tmp_path / "stack.yaml").write_text(f"{_SERVICE}    environment: {{A: {told}}}\n")
    for form, read in (("yaml", yaml.safe_load), ("json", json.loads)):
        done = stackup(tmp_path, "config", "--format", form)
        assert quiet(done.stdout)
        assert read(done.stdout)["services"]["web"]["environment"] == {"A": value}


def test_a_folder_whose_name_is_no_text_is_an_error_where_text_is_wanted(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/a\xff"
    os.mkdir(folder)
    Path(os.fsdecode(folder), "stack.yaml").write_text(f"{_SERVICE}    volumes: ['.:/a']\n")
    done = stackup(Path(os.fsdecode(folder)), "config")
    assert done.returncode == 2
    assert b"is not UTF-8" in done.stderr
    assert quiet(done.stderr)


# --- kinds of files


def special(kind: str, folder: Path) -> str:
    """The path of something that is no regular file, or reads as none; "": not on this machine."""
    path = folder / "special"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(path))
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a pipe":
        os.mkfifo(folder / "pipe")
        path.symlink_to("pipe")
    else:
        return kind if os.path.exists(kind) else ""
    return str(path)


@pytest.mark.parametrize(
    "kind",
    [
        "pipe",
        "socket",
        "loop",
        "folder",
        "link to a pipe",
        "/dev/zero",
        "/dev/tty",
        "/dev/ptmx",
        "/dev/full",
        "/proc/kmsg",
    ],
)
def test_what_is_no_file_makes_nobody_wait(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = special(kind, tmp_path)
    if not path:
        pytest.skip(f"no {kind}")
    (tmp_path / "b.yaml").write_text("services: {b: {image: a:1}}\n")
    for text in (
        f"include: [{path}]\n{_SERVICE}",
        f"include: [{{path: b.yaml, env_file: {path}}}]\n{_SERVICE}",
        f"include: [{{path: [b.yaml, {path}]}}]\n{_SERVICE}",
        f"{_SERVICE}    extends: {{file: {path}, service: a}}\n",
        f"{_SERVICE}    env_file: {path}\n",
        f"{_SERVICE}    env_file: [{{path: {path}, required: false, format: raw}}]\n",
        f"{_SERVICE}    label_file: {path}\n",
    ):
        (tmp_path / "stack.yaml").write_text(text)
        done = stackup(tmp_path, "config", "-q")
        assert done.returncode == 2, text
        assert b"regular file" in done.stderr or kind in ("loop", "folder", "/proc/kmsg"), done.stderr
        assert quiet(done.stderr)
    (tmp_path / ".env").write_text(f"COMPOSE_FILE={path}\n")
    for argv in (["config", "-q"], ["ps"]):
        done = stackup(tmp_path, *argv)
        assert (done.returncode == 2 or argv == ["ps"]) and quiet(done.stderr), done.stderr


def test_a_file_that_is_no_file_as_stack_file_or_beside_it_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stack.yaml")
    done = stackup(tmp_path, "config")
    assert done.returncode == 2 and b"no stack file" in done.stderr
    (tmp_path / "stack.yaml").unlink()
    (tmp_path / "stack.yaml").write_text(_SERVICE)
    for name in (".env", "stack.override.yaml"):
        os.mkfifo(tmp_path / name)
    for verb in ("config", "plan", "check", "ps"):
        assert stackup(tmp_path, verb).returncode in (0, 1)


def test_a_file_of_the_project_does_not_read_the_callers_input(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMPOSE_FILE=-\n")
    reading, writing = os.pipe()
    try:
        for argv in (["config"], ["ps"], ["check"]):
            done = stackup(tmp_path, *argv, stdin=reading)
            assert done.returncode == 2
            assert b"names the standard input" in done.stderr
    finally:
        os.close(reading)
        os.close(writing)


def test_who_names_a_pipe_on_the_line_is_read_from_it(tmp_path: Path) -> None:
    text = "services: {web: {image: 'a:$A'}}"
    line = f'{sys.executable} -m stackup -p a -f <(echo "$0") --env-file <(echo A=1) config'
    done = subprocess.run(["bash", "-c", line, text], cwd=tmp_path, capture_output=True, timeout=10)
    assert b"image: a:1" in done.stdout, done.stderr


def test_a_file_that_becomes_a_pipe_between_two_looks_makes_nobody_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("A=1\n")
    regular_file = os.stat(tmp_path / "a")
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")
    monkeypatch.setattr(decoding.os, "stat", lambda path: regular_file)
    with pytest.raises(OSError, match="regular"):
        decoding.regular(str(tmp_path / "a"), 100)


# --- expressions


@pytest.mark.parametrize(
    "use",
    [
        "{{ ns.x == ns.y }}",
        "{{ ns.x ~ 'a' }}",
        "{{ '%s' % ns.x }}",
        "{{ '{}'.format(ns.x) }}",
        "{{ {ns.x: 1} }}",
        "{{ ns.x | string }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x | join }}",
        "{{ [ns.x] | unique | list }}",
        "{{ vars[ns.x] }}",
        "{{ ns.x in [ns.y] }}",
        "{{ ns.x is eq ns.y }}",
        "{{ [ns.x] | map('list') | join }}",
        "{{ dict([[ns.x, 1]]) }}",
    ],
)
def test_a_list_that_holds_another_twice_is_counted_twice(use: str, tmp_path: Path) -> None:
    """Sixty times over, its text has no end."""
    twice = "{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{% set ns.y = (ns.y, ns.y) %}{% endfor %}"
    value = json.dumps("{% set ns = namespace(x=(1,), y=(1,)) %}" + twice + use)
    (tmp_path / "stack.yaml").write_text(f"{_SERVICE}    environment:\n      A: {value}\n")
    done = stackup(tmp_path, "config")
    assert done.returncode == 2
    assert b"makes too much or runs too long" in done.stderr


# --- secrets


def test_no_line_of_a_file_with_secrets_is_shown(tmp_path: Path) -> None:
    wrong = 'A B=tops3cret\nC=#tops3cret\nD=tops3cret${x\nE="tops3cret" tops3cret\n=tops3cret\nF=\'tops3cret\n'
    key = "-----BEGIN KEY-----\nMIIEabcdtops3cret/tops3cret+tops3cret==\n= tops3cret\n"
    (tmp_path / "b.yaml").write_text("services: {b: {image: a:1}}\n")
    (tmp_path / "a.env").write_text(wrong)
    (tmp_path / "key").write_text(key)
    given = (
        ("", wrong),
        ("    env_file: a.env\n    label_file: a.env\n", ""),
        ("    env_file: [{path: a.env, format: raw}]\n", ""),
        ("    env_file: key\n", ""),
        ("include: [{path: b.yaml, env_file: a.env}]\n", ""),
    )
    for text, env in given:
        (tmp_path / ".env").write_text(env)
        (tmp_path / "stack.yaml").write_text(f"{_SERVICE}{text}")
        for argv in (["config", "-q"], ["check"], ["plan"]):
            done = stackup(tmp_path, *argv)
            assert done.returncode in (0, 1, 2)
            assert b"tops3cret" not in done.stdout + done.stderr, (text, argv)


def test_nothing_of_the_environment_is_told_that_no_file_asks_for(tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(
        f"{_SERVICE}    environment: {{A: '${{MY_TOKE}}', B: '${{MY_TOKN:-}}', MY_TOKE: }}\n    hostname: $MY_HOST\n"
    )
    lines = (["config"], ["config", "--origin"], ["config", "--variables"], ["check"], ["schema"], ["graph"])
    for argv in lines:
        done = stackup(tmp_path, *argv, environment={"MY_TOKEN": "tops3cret", "MY_HOST": "h"})
        assert b"tops3cret" not in done.stdout + done.stderr and b"MY_TOKEN" not in done.stdout + done.stderr


# --- growth


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ("services:\n  ? " + "k" * 1_000_000 + "\n  : {" + ", ".join(f"k{i}: 1" for i in range(1_000)) + "}\n", ""),
        (
            _SERVICE + "    environment:\n" + "".join(f"      A{i}: '${{A?$P}}'\n" for i in range(2_000)),
            "x" * 1_000_000,
        ),
        (_SERVICE + "    environment: ['" + "${A?$P}" * 99 + "']\n", "x" * 1_000_000),
        (_SERVICE + "".join(f"    k{i}: 1\n" for i in range(5_000)), ""),
        ("name: " + "k" * 3_000_000 + "\n" + _SERVICE, ""),
        (_SERVICE + "    environment: {A: '" + "${A:-" * 10_000 + "}" * 10_000 + "'}\n", ""),
    ],
    ids=["long key", "reasons", "reasons of one value", "problems", "long name", "deep defaults"],
)
def test_what_is_told_does_not_grow_with_the_file(text: str, env: str, tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(text)
    (tmp_path / ".env").write_text(f"P={env}\n")
    done = stackup(tmp_path, "config")
    assert done.returncode == 2
    assert len(done.stderr) < 1 << 21
    assert quiet(done.stderr)


def test_a_script_of_one_long_word_is_looked_through_at_once(tmp_path: Path) -> None:
    layers = "[{run: '" + "a" * 3_000_000 + " | b'}, {run: 'a > b >| c || d \"|\" e'}, {run: 'a | b'}]"
    (tmp_path / "stack.yaml").write_text(f"images: {{a: {{from: a:1, layers: {layers}}}}}\n{_SERVICE}")
    done = stackup(tmp_path, "check")
    assert done.stdout.count(b"[pipe-hides-failure]") == 2


def test_env_files_of_included_projects_have_a_bound_together(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("services: {b: {image: a:1}}\n")
    (tmp_path / "a.env").write_text("A=1\n" * 20_000)
    entries = ", ".join(f"{{path: b.yaml, env_file: [{', '.join(['a.env'] * (i + 1))}]}}" for i in range(30))
    (tmp_path / "stack.yaml").write_text(f"include: [{entries}]\n{_SERVICE}")
    done = stackup(tmp_path, "config")
    assert done.returncode == 2
    assert b"the env files of all projects are too many, or too long" in done.stderr


def test_images_that_stand_on_each_other_without_end_are_refused(tmp_path: Path) -> None:
    images = "".join(f"  i{n}: {{from: i{n + 1}}}\n" for n in range(9000))
    with pytest.raises(BadInput, match=r"images\.i0\.from: stands on more than 100 other images"):
        load_text(f"images:\n{images}  i9000: {{from: 'x:1'}}\n", str(tmp_path / "stack.yaml"), environment={})


def test_of_services_that_all_wait_for_each_other_some_circles_are_told(tmp_path: Path) -> None:
    names = [f"s{n}" for n in range(300)]
    services = "".join(
        f"  {one}: {{image: 'x:1', depends_on: [{', '.join(n for n in names if n != one)}]}}\n" for one in names
    )
    with pytest.raises(SpecErrors) as raised:
        load_text(f"services:\n{services}", str(tmp_path / "stack.yaml"), environment={})
    assert 1 < len(raised.value.problems) <= 50
