"""What is known of a project before its files are parsed: which files, folder, variables, profiles, name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stackup.errors import BadInput
from stackup.spec import discover
from stackup.spec.load import load
from stackup.spec.nodes import Node
from stackup.spec.project import Options, Project, named, prepare
from stackup.spec.report import Report


def lay(folder: Path, *names: str, **texts: str) -> Path:
    """Empty files, and files with a text (`_env` is `.env`)."""
    for name, text in {**dict.fromkeys(names, ""), **{k.replace("_", "."): v for k, v in texts.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def prepared(folder: Path, environment: Mapping[str, str] | None = None, **more: Any) -> tuple[Project, Report]:
    report = Report()
    project = prepare(Options(folder=str(folder), environment=environment or {}, **more), report)
    report.finish()
    return project, report


def shown(folder: Path, environment: Mapping[str, str] | None = None, **more: Any) -> list[str]:
    return [file.shown for file in prepared(folder, environment, **more)[0].files]


def value(project: Project, name: str) -> str | None:
    found = project.variables.get(name)
    return found[0] if found else None


# --- which files


@pytest.mark.parametrize(
    ("there", "used"),
    [
        (["stack.yaml"], ["stack.yaml"]),
        (["stack.yml"], ["stack.yml"]),
        (["compose.yaml"], ["compose.yaml"]),
        (["docker-compose.yaml"], ["docker-compose.yaml"]),
        (["stack.yml", "stack.override.yml"], ["stack.yml", "stack.override.yml"]),
        (["stack.yaml", "stack.override.yml"], ["stack.yaml", "stack.override.yml"]),
        (["stack.yaml", "compose.override.yaml"], ["stack.yaml"]),
        (["compose.yaml", "stack.override.yaml"], ["compose.yaml"]),
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml", "compose.override.yaml"]),
        (["docker-compose.yml", "compose.override.yml"], ["docker-compose.yml", "compose.override.yml"]),
        (["compose.yml", "docker-compose.override.yaml"], ["compose.yml", "docker-compose.override.yaml"]),
        (["stack.override.yaml", "sub/stack.yaml", "compose.yaml"], ["compose.yaml"]),
    ],
)  # fmt: skip
def test_names_of_files_and_overrides(there: list[str], used: list[str], tmp_path: Path) -> None:
    project, report = prepared(lay(tmp_path, *there))
    assert [file.shown for file in project.files] == used and report.warnings == ()


@pytest.mark.parametrize(
    ("there", "used", "warning"),
    [
        (["stack.yaml", "stack.yml"], "stack.yaml", "stack.yaml is used, stack.yml beside it is not; -f takes it"),
        (["compose.yml", "compose.yaml"], "compose.yaml",
         "compose.yaml is used, compose.yml beside it is not; -f takes it"),
        (["docker-compose.yaml", "docker-compose.yml"], "docker-compose.yml",
         "docker-compose.yml is used, docker-compose.yaml beside it is not; -f takes it"),
        (["compose.yaml", "stack.yml"], "stack.yml", "stack.yml is used, compose.yaml beside it is not; -f takes it"),
        (["stack.yaml", "compose.yaml", "docker-compose.yml"], "stack.yaml",
         "stack.yaml is used, compose.yaml, docker-compose.yml beside it are not; -f takes them"),
        (["stack.yaml", "stack.override.yaml", "stack.override.yml"], "stack.yaml",
         "stack.override.yaml is used, stack.override.yml beside it is not; -f takes several files"),
    ],
)  # fmt: skip
def test_the_first_of_several_is_used_and_that_is_said(
    there: list[str], used: str, warning: str, tmp_path: Path
) -> None:
    project, report = prepared(lay(tmp_path, *there))
    assert project.files[0].shown == used and report.warnings == (warning,)


def test_files_are_looked_for_upward_together_with_their_override(tmp_path: Path) -> None:
    lay(tmp_path, "compose.yaml", "compose.override.yml", "a/b/stack.override.yaml")
    project, _ = prepared(tmp_path / "a" / "b")
    assert [file.shown for file in project.files] == ["../../compose.yaml", "../../compose.override.yml"]
    assert project.folder == str(tmp_path)


def test_a_nearer_file_wins_over_a_better_name_above(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "a/docker-compose.yaml")
    assert shown(tmp_path / "a") == ["docker-compose.yaml"]


def test_files_that_are_named_are_all_there_is(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "stack.override.yaml", "sub/a.yaml", "b.yaml")
    assert shown(tmp_path, files=["stack.yaml"]) == ["stack.yaml"]
    project, _ = prepared(tmp_path, files=["sub/a.yaml", "b.yaml", "sub/../stack.yaml"])
    assert [file.path for file in project.files] == [str(tmp_path / n) for n in ("sub/a.yaml", "b.yaml", "stack.yaml")]
    assert [file.shown for file in project.files] == ["sub/a.yaml", "b.yaml", "sub/../stack.yaml"]
    assert project.folder == str(tmp_path / "sub")


def test_compose_file_names_files_where_f_does_not(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "stack.override.yaml", "a.yaml", "sub/b.yaml")
    named = {"COMPOSE_FILE": f"a.yaml{os.pathsep}sub/b.yaml"}
    assert shown(tmp_path, named) == ["a.yaml", "sub/b.yaml"]
    assert shown(tmp_path, {"COMPOSE_FILE": "a.yaml,sub/b.yaml", "COMPOSE_PATH_SEPARATOR": ","}) == [
        "a.yaml", "sub/b.yaml"
    ]  # fmt: skip
    assert shown(tmp_path, named, files=["sub/b.yaml"]) == ["sub/b.yaml"]
    assert shown(tmp_path, {"COMPOSE_FILE": ""}) == ["stack.yaml", "stack.override.yaml"]


def test_compose_file_may_stand_in_the_env_file(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "sub/a.yaml", _env="COMPOSE_FILE=sub/a.yaml\nCOMPOSE_PATH_SEPARATOR=,\n")
    project, _ = prepared(tmp_path)
    assert ([file.shown for file in project.files], project.folder) == (["sub/a.yaml"], str(tmp_path / "sub"))
    assert shown(tmp_path, {"COMPOSE_FILE": "stack.yaml"}) == ["stack.yaml"]
    lay(tmp_path, other="COMPOSE_FILE=stack.yaml\n")
    assert shown(tmp_path, env_files=["other"]) == ["stack.yaml"]


def test_the_standard_input_is_a_file(tmp_path: Path) -> None:
    lay(tmp_path, "sub/compose.yaml")
    project, _ = prepared(tmp_path, files=["-"])
    (file,) = project.files
    assert (file.shown, file.dialect, project.folder) == ("stdin", "stack", str(tmp_path))
    assert prepared(tmp_path, files=["-", "sub/compose.yaml"])[0].folder == str(tmp_path / "sub")
    with pytest.raises(BadInput, match="the standard input can be read once"):
        prepared(tmp_path, files=["-", "-"])


def test_what_can_be_read_once_is_kept(tmp_path: Path) -> None:
    """`config` of the standard input, and of what a shell's `<(...)` gives, as files and as env files."""
    lay(tmp_path, stack_yaml="services: {web: {image: 'debian:$TAG'}}\n")
    script = """
set -e
stackup() { "$0" -m stackup "$@"; }
stackup -f - config <stack.yaml --format json
stackup -f <(cat stack.yaml) --project-directory . config
stackup -f <(echo 'name: ${NAME}') -f stack.yaml --env-file <(echo NAME=piped; echo TAG=12) --project-directory . \
    --root "$PWD/root" ps
"""
    done = subprocess.run(
        ["bash", "-c", script.replace("$0", sys.executable)], cwd=tmp_path, env={**os.environ, "TAG": "11"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"image": "debian:11"') == 1 and done.stdout.count("image: debian:11") == 1
    assert done.stderr == "piped is not up; `stackup up` starts it\n"


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("stack.yaml", "stack"), ("stack.override.yaml", "stack"), ("x.yaml", "stack"), ("compose.yaml", "compose"),
        ("docker-compose.prod.yml", "compose"), ("my.compose.yaml", "compose"), ("compose/stack.yaml", "stack"),
    ],
)  # fmt: skip
def test_the_name_tells_the_dialect(name: str, dialect: str, tmp_path: Path) -> None:
    assert prepared(lay(tmp_path, name), files=[name])[0].files[0].dialect == dialect


def test_the_project_folder_can_be_named(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "sub/.env", "other/compose.yaml")
    assert prepared(tmp_path, project_directory="sub")[0].folder == str(tmp_path / "sub")
    assert shown(tmp_path, project_directory="sub") == ["stack.yaml"]
    assert shown(tmp_path, project_directory="other") == ["other/compose.yaml"]
    project, _ = prepared(tmp_path, project_directory="sub", files=["other/compose.yaml"])
    assert (project.folder, project.files[0].path) == (str(tmp_path / "sub"), str(tmp_path / "other/compose.yaml"))


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"files": ["gone.yaml"]}, "no file gone.yaml", "-f names a stack file; looked for"),
        ({"files": ["."]}, ". is a folder", "stackup -C . ..."),
        ({"files": [""]}, " is a folder", ""),
        ({"environment": {"COMPOSE_FILE": "gone.yaml"}}, "no file gone.yaml", "COMPOSE_FILE names a stack file"),
        ({"env_files": ["gone.env"]}, "no file gone.env", "--env-file names it; looked for"),
        ({"env_files": ["."]}, ". is a folder", "--env-file names a file"),
        ({"environment": {"COMPOSE_ENV_FILES": "gone.env"}}, "no file gone.env", "COMPOSE_ENV_FILES names it"),
        ({"vars_files": ["gone.yaml"]}, "no file gone.yaml", "--vars-file names it; looked for"),
        ({"project_directory": "gone"}, "no folder gone", "--project-directory names the folder"),
        ({"project_name": "Shop"}, "'Shop' is no name of a stack", "small letters"),
        ({"project_name": ""}, "'' is no name of a stack", "small letters"),
        ({"environment": {"COMPOSE_PROJECT_NAME": "a b"}},
         "'a b' is no name of a stack (COMPOSE_PROJECT_NAME from the environment)", "small letters"),
        ({"environment": {"COMPOSE_DISABLE_ENV_FILE": "maybe"}}, "COMPOSE_DISABLE_ENV_FILE is 'maybe'",
         "it is true or false"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(given: dict[str, Any], message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        prepared(lay(tmp_path, "stack.yaml"), **given)
    assert message in raised.value.message and hint in str(raised.value.hint)


@pytest.mark.parametrize("name", ["stack.yaml", ".env", "vars"])
def test_ten_megabytes_are_refused_before_they_are_read(name: str, tmp_path: Path) -> None:
    lay(tmp_path, "vars", stack_yaml="services: {web: {image: 'debian:12'}}\n")
    with (tmp_path / name).open("a") as file:
        file.write("#" * (10 << 20))
    with pytest.raises(BadInput, match=rf"^{name} has more than 4 MiB$"):
        load(str(tmp_path), vars_files=["vars"], environment={})


# --- variables


def test_env_files_in_their_order_below_the_environment(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", _env="A=env\nB=env\nC=env\n", a="A=a\nB=a\nC=a\n", b="B=b\nC=b\n")
    project, _ = prepared(tmp_path, {"C": "caller"})
    assert [value(project, n) for n in "ABCD"] == ["env", "env", "caller", None]
    project, _ = prepared(tmp_path, {"C": "caller"}, env_files=["a", "b"])
    assert [value(project, n) for n in "ABC"] == ["a", "b", "caller"]
    assert project.variables.get("B") == ("b", "b:1")
    project, _ = prepared(tmp_path, {"COMPOSE_ENV_FILES": "b,a"})
    assert [value(project, n) for n in "ABC"] == ["a", "a", "a"]
    assert value(prepared(tmp_path, {"COMPOSE_ENV_FILES": "b"}, env_files=["a"])[0], "B") == "a"


@pytest.mark.parametrize(("said", "found"), [("1", None), ("true", None), ("0", "env"), ("False", "env"), ("", "env")])
def test_the_env_file_can_be_left_alone(said: str, found: str | None, tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", _env="A=env\n")
    assert value(prepared(tmp_path, {"COMPOSE_DISABLE_ENV_FILE": said})[0], "A") == found


def test_the_env_file_cannot_name_env_files_or_switch_itself_off(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", _env="COMPOSE_DISABLE_ENV_FILE=1\nCOMPOSE_ENV_FILES=gone\nA=env\n")
    assert value(prepared(tmp_path)[0], "A") == "env"


def test_the_env_file_is_the_project_folders(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", "a/b", _env="A=above\nB=above\n")
    lay(tmp_path / "a", _env="A=here\n")
    found, _ = prepared(tmp_path / "a")
    assert (value(found, "A"), value(found, "B")) == ("here", "above")
    assert found.variables.get("B") == ("above", "../.env:2")
    found, _ = prepared(tmp_path / "a", files=["../stack.yaml"])
    assert (value(found, "A"), value(found, "B")) == ("above", "above")
    found, _ = prepared(tmp_path, project_directory="a")
    assert (value(found, "A"), value(found, "B")) == ("here", None)


def test_a_folder_named_dot_env_is_no_env_file(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", ".env/bin/activate")
    prepared(tmp_path)


# --- profiles and the name


def test_profiles_are_given_or_listed(tmp_path: Path) -> None:
    lay(tmp_path, "stack.yaml", _env="COMPOSE_PROFILES=fromfile\n")
    assert prepared(tmp_path)[0].profiles == ("fromfile",)
    assert prepared(tmp_path, {"COMPOSE_PROFILES": " a, b,,a"})[0].profiles == ("a", "b")
    assert prepared(tmp_path, {"COMPOSE_PROFILES": "a"}, profiles=["c", "*"])[0].profiles == ("c", "*")
    assert prepared(tmp_path, {"COMPOSE_PROFILES": ""})[0].profiles == ()


def name_of(project: Project, *written: object) -> str:
    report = Report()
    nodes = [Node(text, "stack.yaml", 1, 7, ("name",)) for text in written]
    found = named(project, nodes, report)
    report.finish()
    return found


def test_the_name_in_its_order(tmp_path: Path) -> None:
    folder = lay(tmp_path / "My Shop_2", "stack.yaml", _env="")
    project, _ = prepared(folder)
    assert name_of(project) == "myshop_2"
    assert name_of(project, "first", None, "last", "") == "last"
    project, _ = prepared(folder, {"COMPOSE_PROJECT_NAME": ""})
    assert name_of(project, "written") == "written"
    (folder / ".env").write_text("COMPOSE_PROJECT_NAME=listed\n")
    project, _ = prepared(folder)
    assert name_of(project, "written") == "listed"
    project, _ = prepared(folder, {"COMPOSE_PROJECT_NAME": "caller"})
    assert name_of(project, "written") == "caller"
    project, _ = prepared(folder, {"COMPOSE_PROJECT_NAME": "caller"}, project_name="given")
    assert name_of(project, "written") == "given"


def test_the_name_of_another_folder(tmp_path: Path) -> None:
    lay(tmp_path / "a", "stack.yaml")
    lay(tmp_path / "b", "stack.yaml")
    assert name_of(prepared(tmp_path, files=["b/stack.yaml", "a/stack.yaml"])[0]) == "b"
    assert name_of(prepared(tmp_path, files=["b/stack.yaml"], project_directory="a")[0]) == "a"


@pytest.mark.parametrize("name", ["Shop", "-a", "_a", "a b", "a" * 64, "é"])
def test_a_written_name_is_not_made_to_fit(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no name of a stack; small letters"):
        name_of(prepared(lay(tmp_path, "stack.yaml"))[0], name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("/x/My.App", "myapp"), ("/x/_-a", "a"), ("/x/" + "a" * 80, "a" * 63), ("/x/Ünder_1", "nder_1")],
)
def test_a_name_from_a_folder(folder: str, name: str) -> None:
    assert discover.derived_name(folder) == name
