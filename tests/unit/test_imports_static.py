"""The directions between the rooms, read from the import statements of every module (those in functions count too)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "stackup"
GROUND = ("errors", "events", "oci", "paths", "db", "programs", "classes", "values", "linux", "__init__")
MODEL = ("spec.model", "spec.layers")

# room -> what else of the house it may import besides the ground floor and itself; a module, or a room with all in it
MAY: dict[str, tuple[str, ...]] = {
    "spec": (),
    "planner": ("spec.model", "spec.layers"),
    "builder": (*MODEL, "spec.templating"),
    "runtime": (),
    "engine": ("planner", "builder", "runtime", *MODEL),
    "cli": ("engine", "spec", "planner.graph", "planner.states"),
    "__main__": ("cli",),
}
# a library or a kind of call -> the modules that may have it
ONLY: dict[str, tuple[str, ...]] = {
    "ctypes": ("linux",),
    "subprocess": ("programs",),
    "apsw": ("db",),
    "sqlite3": (),
    "pyroute2": ("runtime.network.survey",),
    "networkx": ("planner.graph",),
    "pydantic": (),
    "pydantic_core": (),
    "typer": ("cli",),
    "rich": ("cli.render",),
    "yaml": ("spec",),
    "jinja2": ("builder.layers", "spec.templating", "spec.expressions"),
    "elftools": ("builder.layers",),
    "dnslib": ("runtime.network",),
}
STDLIB_ONLY = ("planner", "runtime.spawner", "runtime.channel", "engine.protocol", "engine.client")


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(imported module, true where it is for the type checker alone)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(below)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for below in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            base = node.module or ""
            names = [f"{base}.{n.name}" for n in node.names] if base.startswith("stackup") else [base]
            for name in names:
                yield name, id(node) in typing_only


def below(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def ours() -> list[tuple[str, str, bool]]:
    found = []
    known = {name for name, _ in modules()}
    for name, path in modules():
        for imported, typing in imports(path):
            if below(imported, "stackup"):
                target = imported.removeprefix("stackup").removeprefix(".") or "__init__"
                # `from stackup.x import name`: the module is x, unless x.name is one
                while target not in known and "." in target:
                    target = target.rpartition(".")[0]
                found.append((name, target if target in known else "__init__", typing))
    return found


def test_rooms_import_in_one_direction() -> None:
    wrong = []
    for name, target, typing in ours():
        room = name.split(".")[0]
        if typing and room == "cli":  # values of other rooms that come out of the engine's verbs
            continue
        allowed = GROUND if room in GROUND else (*GROUND, room, *MAY[room])
        if not any(below(target, a) for a in allowed):
            wrong.append(f"{name} imports {target}")
    assert not sorted(set(wrong))


def test_what_has_one_home_stays_there() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        for imported, typing in imports(path)
        for library, homes in ONLY.items()
        if below(imported, library) and not typing and not any(below(name, home) for home in homes)
    ]
    assert not sorted(set(wrong))


@pytest.mark.parametrize("room", STDLIB_ONLY)
def test_what_the_supervisor_and_the_spawner_load_is_stdlib(room: str) -> None:
    import sys

    wrong = [
        f"{name} imports {imported}"
        for name, path in modules()
        for imported, _ in imports(path)
        if below(name, room) and name != "planner.graph"
        and imported.split(".")[0] not in ({"stackup", "__future__"} | sys.stdlib_module_names)
    ]  # fmt: skip
    assert not wrong


def test_only_the_command_line_prints_and_exits() -> None:
    """The supervisor writes its log, which is its stderr."""
    wrong = []
    for name, path in modules():
        if below(name, "cli") or name == "__main__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            log = below(name, "engine") and any(k.arg == "file" for k in getattr(node, "keywords", ()))
            if isinstance(called, ast.Name) and called.id in ("print", "exit", "quit") and not log:
                wrong.append(f"{name} calls {called.id}")
    assert not wrong


def test_init_files_are_empty() -> None:
    said = {
        str(path.relative_to(HOUSE))
        for path in HOUSE.rglob("__init__.py")
        if path.read_text().strip()
    }  # fmt: skip
    assert said <= {"__init__.py", "runtime/__init__.py"}


def test_the_version_is_the_packages() -> None:
    import tomllib

    from stackup import __version__

    project = tomllib.loads((HOUSE.parent / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
