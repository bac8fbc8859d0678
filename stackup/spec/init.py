"""A first stack file for a folder, drawn from what lies in it: `stackup init`.

Only names and the first bytes of a few files are looked at; nothing is run. What is not certain (a port, packages that
have to be there) stands in the file as a comment.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stackup.errors import BadInput
from stackup.spec import discover

NAME = discover.NAMES[0]
_MOST_BYTES = 64 << 10  # of a program that is looked into
_MOST_COPIES = 20
_SKIPPED = ("node_modules", "__pycache__", "venv", "env", "tests", "test", "docs", "Makefile", "Dockerfile")
_SITES = ("public", "dist", "site", "_site", "build", "www")  # where a finished site lies, beside what makes it


@dataclass(frozen=True, slots=True)
class Drawn:
    """`text` is the stack file, `what` the folder as it was understood, `missing` what has to be done before `up`."""

    text: str
    what: str
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class _Program:
    """What an image needs: programs of the machine, what is copied where, and what is run."""

    what: str
    service: str
    programs: Sequence[str]
    copies: Sequence[tuple[str, str]]
    command: Sequence[str]
    port: int | None = None
    check: Sequence[str] = ()
    environment: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()  # comment lines below the copies
    missing: str | None = None


def read_as_it_is(folder: str) -> str | None:
    """The Compose file of `folder`, where there is one and no stack file: it needs no other."""
    if any(os.path.lexists(os.path.join(folder, name)) for name in discover.NAMES):
        return None
    return next((name for name in discover.COMPOSE_NAMES if os.path.isfile(os.path.join(folder, name))), None)


def write(folder: str) -> Drawn:
    """Write `stack.yaml` for `folder` (absolute). Raises BadInput where there is a stack file already; OSError."""
    for name in discover.NAMES:
        if os.path.lexists(os.path.join(folder, name)):
            raise BadInput(f"{name} is there already; nothing was written", hint="`stackup check` looks it through")
    if not os.path.isdir(folder):
        raise BadInput(f"no folder {folder}", hint="-C names the folder of the stack file")
    drawn = draw(folder)
    with open(os.path.join(folder, NAME), "x", encoding="utf-8") as file:
        file.write(drawn.text)
    return drawn


def draw(folder: str) -> Drawn:
    """The stack file for a folder. Where nothing is understood, one that says hello."""
    found = _entries(folder)
    program = _python(folder, found) or _node(folder, found) or _site(folder, found) or _script(folder, found)
    name = _name(folder)
    if program is None:
        return Drawn(_hello(name), "an example to start from")
    return Drawn(_text(name, program, "Dockerfile" in found), program.what, program.missing)


def _name(folder: str) -> str:
    try:
        return discover.derived_name(folder)
    except BadInput:
        return "app"


def _entries(folder: str) -> dict[str, bool]:
    """Name -> is it a folder; files and folders only, hidden ones left out, sorted."""
    found: dict[str, bool] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            mode = entry.stat(follow_symlinks=False).st_mode
            if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and _plain(entry.name):
                found[entry.name] = stat.S_ISDIR(mode)
    return found


def _plain(name: str) -> bool:
    """Whether a name is shown in the folder, and may stand in a stack file as it is."""
    return not name.startswith(".") and "{{" not in name and name.isprintable() and name.isascii()


def _head(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


# --- what may lie in a folder

_ENTRIES: tuple[str, ...] = ("main.py", "app.py", "server.py", "manage.py", "__main__.py")
_MAIN = re.compile(r"""^if\s+__name__\s*==\s*["']__main__["']""", re.MULTILINE)
_PORTS = (
    re.compile(r"""\bport\s*[=:]\s*(\d{2,5})\b""", re.IGNORECASE),
    re.compile(r"""\bPORT["']?\s*(?:,|\]?\s*(?:\|\||\?\?|or))\s*["']?(\d{2,5})\b"""),
    re.compile(r"""\blisten\(\s*(\d{2,5})\b"""),
    re.compile(r"""Server\(\s*\(\s*["'][^"']*["']\s*,\s*(\d{2,5})\b"""),
)


def port_in(text: str) -> int | None:
    """The port that a program probably listens on."""
    for pattern in _PORTS:
        if (match := pattern.search(text)) and 1 <= int(match[1]) <= 65535:
            return int(match[1])
    return None


def _python(folder: str, found: dict[str, bool]) -> _Program | None:
    files = [name for name, is_folder in found.items() if name.endswith(".py") and not is_folder]
    packages = [n for n, is_folder in found.items() if is_folder and _has(folder, n, "__init__.py")]
    packages = [n for n in packages if n not in _SKIPPED]
    runnable = [n for n in packages if _has(folder, n, "__main__.py")]
    entry = next((n for n in _ENTRIES if n in files), None)
    entry = entry or next((n for n in files if _MAIN.search(_head(folder, n)) and not n.startswith("test")), None)
    if entry is None and not runnable:
        return None
    if entry is not None:
        text, command = _head(folder, entry), ["python3", f"/app/{entry}"]
        copied = [n for n in files if not n.startswith(("test", "conftest", "setup."))] + packages
        copied += [n for n in ("static", "templates") if found.get(n)]
    else:
        entry = runnable[0]
        text, command = _head(folder, f"{entry}/__main__.py"), ["python3", "-m", entry]
        copied = packages
    if entry == "manage.py":
        command += ["runserver", "0.0.0.0:8000"]
    missing, notes, vendor = None, [], _needs_packages(folder, found)
    if vendor:
        if found.get("vendor"):
            copied.append("vendor")
        else:
            source = "-r requirements.txt" if "requirements.txt" in found else "."
            missing = f"python3 -m pip install --target vendor {source}"
            notes = ["A build step asks no package index. Install the packages beside the program, then copy them:",
                     f"  {missing}", "- copy: {source: ./vendor, target: /app/vendor}"]  # fmt: skip
    return _Program(
        what=f"a Python program, {entry}", service="app", programs=["python3"],
        copies=_copies(found, copied, "/app"), command=command,
        port=8000 if entry == "manage.py" else port_in(text),
        environment=[("PYTHONUNBUFFERED", "1"), *([("PYTHONPATH", "/app/vendor")] if vendor else [])],
        notes=notes, missing=missing,
    )  # fmt: skip


def _has(folder: str, *parts: str) -> bool:
    return os.path.isfile(os.path.join(folder, *parts))


def _needs_packages(folder: str, found: dict[str, bool]) -> bool:
    if "requirements.txt" in found:
        lines = _head(folder, "requirements.txt").splitlines()
        return any(line.strip() and not line.lstrip().startswith(("#", "--")) for line in lines)
    if "pyproject.toml" in found:
        import tomllib

        try:
            project = tomllib.loads(_head(folder, "pyproject.toml")).get("project")
        except tomllib.TOMLDecodeError:
            return False
        return isinstance(project, dict) and bool(project.get("dependencies"))
    return False


def _node(folder: str, found: dict[str, bool]) -> _Program | None:
    if found.get("package.json") is not False:
        return None
    try:
        package = json.loads(_head(folder, "package.json"))
        main, start = package.get("main"), package.get("scripts", {}).get("start")
    except (ValueError, AttributeError):
        return None
    started = re.fullmatch(r"node\s+(\S+)", start.strip()) if isinstance(start, str) else None
    given = [started[1] if started else None, main, "server.js", "index.js", "app.js", "main.js"]
    entries = [os.path.normpath(n) for n in given if isinstance(n, str) and _plain(os.path.normpath(n))]
    entry = next((n for n in entries if ".." not in n.split("/") and not n.startswith("/") and _has(folder, n)), None)
    if entry is None:
        return None
    copied = [n for n, is_folder in found.items() if n.endswith((".js", ".mjs", ".cjs", ".json")) and not is_folder]
    top = entry.split("/")[0]
    copied += [n for n in (top, "lib", "src", "routes", "views", "public", "node_modules") if found.get(n)]
    missing = None
    if package.get("dependencies") and not found.get("node_modules"):
        missing = "npm install --omit=dev"
    notes = ["The packages, once they are there:", f"  {missing}",
             "- copy: {source: ./node_modules, target: /app/node_modules}"] if missing else []  # fmt: skip
    return _Program(
        what=f"a Node.js program, {entry}", service="app", programs=["node"],
        copies=_copies(found, dict.fromkeys(copied), "/app"), command=["node", f"/app/{entry}"],
        port=port_in(_head(folder, entry)), notes=notes, missing=missing,
    )  # fmt: skip


def _site(folder: str, found: dict[str, bool]) -> _Program | None:
    made = next((n for n in _SITES if found.get(n) and _has(folder, n, "index.html")), None)
    if made is None and found.get("index.html") is not False:
        return None
    look = "import urllib.request as r; r.urlopen('http://127.0.0.1:8000')"
    return _Program(
        what=f"a site, {made}/index.html" if made else "a site, index.html", service="web", programs=["python3"],
        copies=[(made, "/srv")] if made else _copies(found, found, "/srv"),
        command=["python3", "-m", "http.server", "--directory", "/srv", "8000"], port=8000,
        check=["CMD", "python3", "-c", look],
    )  # fmt: skip


_SHEBANG = re.compile(r"#!\s*(?:/usr/bin/env\s+)?(?:\S*/)?([A-Za-z0-9_.+-]+)[ \t]*\n")


def _script(folder: str, found: dict[str, bool]) -> _Program | None:
    for name, is_folder in found.items():
        path = os.path.join(folder, name)
        if is_folder or not os.access(path, os.X_OK):
            continue
        if match := _SHEBANG.match(_head(folder, name)):
            return _Program(
                what=f"a script, {name}", service="app", programs=[match[1]], copies=[(name, "/app/")],
                command=[match[1], f"/app/{name}"], notes=["the programs that it calls belong to 'programs' above"],
            )  # fmt: skip
    return None


def _copies(found: Mapping[str, bool], names: Iterable[str], target: str) -> list[tuple[str, str]]:
    """(source, target) of each name; where there are too many, of the folder as a whole."""
    wanted = [name for name in names if name in found and name not in _SKIPPED]
    if len(wanted) > _MOST_COPIES:
        return [(".", target)]
    return [(name, f"{target}/{name}" if found[name] else f"{target}/") for name in wanted]


# --- as YAML


def _text(name: str, program: _Program, dockerfile: bool) -> str:
    what = program.what[0].upper() + program.what[1:]
    lines = [
        f"# {what}, as `stackup init` found it. `stackup plan` shows what `up` would do.",
        f"name: {_scalar(name)}",
        "",
        "images:",
        f"  {program.service}:",
        "    layers: # applied in order; each is kept until what it is made of changes",
        f"      - host: {{programs: {_list(program.programs)}}} # programs of this machine, with what they need",
    ]
    for source, target in program.copies:
        whole = " # stackup: off=copy-of-all (better: a folder with nothing else in it)" if source == "." else ""
        lines.append(
            f"      - copy: {{source: {_scalar(f'./{source}'.removesuffix('/.'))}, target: {_scalar(target)}}}{whole}"
        )
    lines += [f"      # {note}" for note in program.notes]
    if dockerfile:
        lines.append("      # the Dockerfile is not read: layers take its place (copy, run, file, template, host)")
    lines += [
        "    config:",
        f"      command: {_list(program.command)}",
        "      working_dir: /srv" if program.service == "web" else "      working_dir: /app",
    ]
    if program.environment:
        pairs = ", ".join(f"{key}: {_scalar(value)}" for key, value in program.environment)
        lines.append(f"      environment: {{{pairs}}}")
    lines += ["", "services:", f"  {program.service}:", f"    image: {program.service}", *_ports(program)]
    if program.check:
        lines.append(f"    healthcheck: {{test: {_list(program.check)}, interval: 10s}}")
    lines += [
        "    restart: on-failure",
        "    resources: {memory: 256M} # the most it may take",
        '    # volumes: ["data:/data"] # what has to outlive the container; declare it below: volumes: {data: {}}',
    ]
    return "\n".join(lines) + "\n"


def _ports(program: _Program) -> list[str]:
    port = program.port or 8000
    opened = f'# for this machine only; "0.0.0.0:{port}:{port}" opens it'
    if program.port is None:
        return [f'    # ports: ["{port}:{port}"] {opened}']
    listens = "" if program.check else "; the program has to listen on 0.0.0.0"
    return [f'    ports: ["{port}:{port}"] {opened}{listens}']


def _hello(name: str) -> str:
    return f"""\
# A stack: images that are built here, and services that run from them. `stackup plan` shows what `up` would do.
name: {_scalar(name)}

images:
  tools:
    layers: # applied in order; each is kept until what it is made of changes
      - host: {{programs: [sh, sleep]}} # programs of this machine, with what they need
      # - copy: {{source: ./src, target: /app}} # files of this folder
      # - run: make -C /app # a command, run in the layers so far

services:
  hello:
    image: tools
    command: [sh, -c, "echo hello; exec sleep infinity"]
    resources: {{memory: 32M}} # the most it may take
    # ports: ["8080:80"] # for this machine only; "0.0.0.0:8080:80" opens it
    # volumes: ["data:/data"] # what has to outlive the container; declare it below: volumes: {{data: {{}}}}
"""


_SAFE = re.compile(r"-{0,2}[A-Za-z./][A-Za-z0-9_./-]*")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # texts for us, but not for every reader of YAML


def _scalar(text: str) -> str:
    """A text as YAML that every reader takes for this text; `$` is doubled, as a stack file wants it."""
    if _SAFE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text.replace("$", "$$"))


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(_scalar(text) for text in texts)}]"
