"""`stackup init`: what it makes of a folder loads, and `check` has nothing to say against it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackup.errors import BadInput
from stackup.spec import init
from stackup.spec.lint import lint
from stackup.spec.load import load
from stackup.spec.model import Loaded

SERVER = "from http.server import HTTPServer, BaseHTTPRequestHandler as H\nHTTPServer(('', 8123), H).serve_forever()\n"
MAIN = 'if __name__ == "__main__":\n    print("hello")\n'


def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    here = tmp_path / "My Shop"
    for name, text in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(text)
    here.mkdir(exist_ok=True)
    return here


def written(here: Path) -> tuple[init.Drawn, Loaded]:
    drawn = init.write(str(here))
    assert (here / "stack.yaml").read_text() == drawn.text
    loaded = load(str(here), environment={})
    assert loaded.warnings == () and lint(loaded) == ()
    return drawn, loaded


def copied(loaded: Loaded) -> list[tuple[str, str]]:
    (image,) = loaded.stack.images.values()
    return [(layer.source, layer.target) for layer in image.layers if layer.kind == "copy"]


@pytest.mark.parametrize(
    ("files", "what", "command", "sources"),
    [
        ({"app.py": SERVER}, "a Python program, app.py", ("python3", "/app/app.py"), ["./app.py"]),
        ({"requirements.txt": "# none\n", "tool.py": MAIN, "test_tool.py": MAIN}, "a Python program, tool.py",
         ("python3", "/app/tool.py"), ["./tool.py"]),
        ({"shop/__init__.py": "", "shop/__main__.py": "", "docs/a.md": ""}, "a Python program, shop",
         ("python3", "-m", "shop"), ["./shop"]),
        ({"manage.py": "", "site/__init__.py": "", "templates/a": "", ".env": "A=1"}, "a Python program, manage.py",
         ("python3", "/app/manage.py", "runserver", "0.0.0.0:8000"), ["./manage.py", "./site", "./templates"]),
        ({"package.json": '{"scripts": {"start": "node ./src/go.js"}}', "src/go.js": ""},
         "a Node.js program, src/go.js", ("node", "/app/src/go.js"), ["./package.json", "./src"]),
        ({"index.html": "", "a: $b #c.css": "", "img/x.svg": "", "tests/a": ""}, "a site, index.html",
         ("python3", "-m", "http.server", "--directory", "/srv", "8000"), ["./a: $b #c.css", "./img", "./index.html"]),
        ({"package.json": "{", "public/index.html": ""}, "a site, public/index.html",
         ("python3", "-m", "http.server", "--directory", "/srv", "8000"), ["./public"]),
        ({"README": "", "no": "", "setup.py": ""}, "an example to start from", None, []),
    ],
)  # fmt: skip
def test_what_lies_in_a_folder(
    files: dict[str, str], what: str, command: tuple[str, ...] | None, sources: list[str], tmp_path: Path
) -> None:
    drawn, loaded = written(folder(tmp_path, files))
    (image,) = loaded.stack.images.values()
    assert (drawn.what, image.config.command, [source for source, _ in copied(loaded)]) == (what, command, sources)
    assert loaded.stack.name == "myshop" and drawn.missing is None


def test_a_script_that_may_be_run(tmp_path: Path) -> None:
    here = folder(tmp_path, {"go": "#!/usr/bin/env bash\necho hello\n", "data": "#!/bin/sh\n"})
    (here / "go").chmod(0o755)
    drawn, loaded = written(here)
    assert drawn.what == "a script, go" and loaded.stack.images["app"].config.command == ("bash", "/app/go")
    assert copied(loaded) == [("./go", "/app/")]


def test_a_port_is_published_where_the_program_tells_it(tmp_path: Path) -> None:
    _, loaded = written(folder(tmp_path, {"app.py": SERVER}))
    (port,) = loaded.stack.services["app"].ports
    assert (port.published, port.target, port.host_ip) == (8123, 8123, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("app.run(port=5000)", 5000),
        ("const port = process.env.PORT || 3000", 3000),
        ("int(os.environ.get('PORT', '9000'))", 9000),
        ("server.listen(8081)", 8081),
        ("report = 12", None),
        ("port = 99999", None),
    ],
)
def test_ports_in_programs(text: str, port: int | None) -> None:
    assert init.port_in(text) == port


def test_packages_that_are_missing_are_told_and_stand_as_a_comment(tmp_path: Path) -> None:
    here = folder(tmp_path, {"requirements.txt": "flask\n", "app.py": ""})
    drawn, loaded = written(here)
    assert drawn.missing == "python3 -m pip install --target vendor -r requirements.txt"
    assert "      # - copy: {source: ./vendor, target: /app/vendor}\n" in drawn.text
    assert loaded.stack.images["app"].config.environment["PYTHONPATH"] == "/app/vendor"
    (here / "stack.yaml").unlink()
    (here / "vendor/flask").mkdir(parents=True)
    drawn, loaded = written(here)
    assert drawn.missing is None and ("./vendor", "/app/vendor") in copied(loaded)


def test_a_crowded_folder_is_copied_as_one(tmp_path: Path) -> None:
    _, loaded = written(folder(tmp_path, {f"{n}.html": "" for n in ("index", *range(30))}))
    assert copied(loaded) == [(".", "/srv")]


def test_what_lies_there_is_never_touched(tmp_path: Path) -> None:
    here = folder(tmp_path, {"stack.yml": "mine"})
    with pytest.raises(BadInput, match=r"stack\.yml is there already"):
        init.write(str(here))
    os.rename(here / "stack.yml", here / "stack.yaml")
    with pytest.raises(BadInput, match=r"stack\.yaml is there already"):
        init.write(str(here))
    assert os.listdir(here) == ["stack.yaml"] and (here / "stack.yaml").read_text() == "mine"


def test_a_compose_file_needs_no_other(tmp_path: Path) -> None:
    here = folder(tmp_path, {"docker-compose.yml": "", "compose.yml": ""})
    assert init.read_as_it_is(str(here)) == "compose.yml"
    (here / "stack.yaml").touch()
    assert init.read_as_it_is(str(here)) is None
