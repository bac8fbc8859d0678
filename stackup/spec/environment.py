"""What a service takes from outside the file: `env_file`, and variables named without a value.

Order of strength, weakest first: earlier `env_file`, later `env_file`, `environment`. A name without a value is taken
from the caller's environment; where that has none, it is taken away from the image's (`None` in the model).
"""

from __future__ import annotations

from stackup.errors import Place
from stackup.spec.forms import Context
from stackup.spec.nodes import MAX_BYTES, Node, decode, shorten


def resolve(root: Node, ctx: Context) -> None:
    """Fill `environment` of every service, in place. Values from a file have their place in that file."""
    services = root.items.get("services")
    for service in services.items.values() if services is not None else ():
        if service.is_map:
            _service(service, ctx)
    images = root.items.get("images")
    for image in images.items.values() if images is not None else ():
        config = image.items.get("config")
        environment = config.items.get("environment") if config is not None else None
        for name, value in environment.items.items() if environment is not None else ():
            if value.value is None:
                hint = "write its value: an image must not depend on who builds it"
                ctx.report.problem(value, f"'{shorten(name)}' has no value", hint)


def _service(service: Node, ctx: Context) -> None:
    environment = service.items.get("environment")
    if environment is not None and not environment.is_map and environment.value is not None:
        return  # told by `validate`
    merged: dict[str, Node] = {}
    files = service.items.get("env_file")
    for entry in files.list if files is not None else ():
        path, required = entry.get("path"), entry.get("required")
        if path is not None and isinstance(path.value, str):
            merged |= _read(path, required is None or required.value is not False, service, ctx)
    merged |= environment.items if environment is not None else {}
    for name, value in merged.items():
        if value.value is None and (found := ctx.environment.get(name)) is not None:
            try:
                found.encode()
            except UnicodeEncodeError:
                ctx.report.problem(value, f"the value of '{shorten(name)}' in your environment is not UTF-8")
                continue
            merged[name] = value.made(found)
    if merged:
        service.items["environment"] = (environment or files or service).made(merged)


def _read(node: Node, required: bool, service: Node, ctx: Context) -> dict[str, Node]:
    try:
        with open(ctx.absolute(node.value), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if required:
            hint = "or write {path: ..., required: false}"
            ctx.report.problem(node, f"no file {shorten(node.value)!r}", hint)
        return {}
    except (OSError, ValueError) as error:
        ctx.report.problem(node, f"{shorten(node.value)!r} cannot be read: {getattr(error, 'strerror', error)}")
        return {}
    text = decode(data, node.value)
    ctx.report.add_source(node.value, text)
    found: dict[str, Node] = {}
    for number, line in enumerate(text.split("\n"), 1):
        entry = _line(line.rstrip("\r"), number, node, service, ctx)
        if entry is not None:
            found[entry[0]] = entry[1]
    return found


def _line(line: str, number: int, node: Node, service: Node, ctx: Context) -> tuple[str, Node] | None:
    """`[export ]NAME=value`, `NAME`, `# comment` or nothing. Quotes around a value are taken off."""
    stripped = line.strip()
    if not stripped or stripped.startswith("#"):
        return None
    name, equals, value = stripped.removeprefix("export ").lstrip().partition("=")
    name, value = name.strip(), value.strip()
    column = len(line) - len(line.lstrip()) + 1
    place = Place(node.value, number, column)
    if not name or " " in name or "\0" in line:
        ctx.report.problem_at(place, "", f"{shorten(stripped)!r} is no variable", "write NAME=value")
        return None
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        if end < 0:
            ctx.report.problem_at(place, "", f"the quote in the value of '{shorten(name)}' is not closed")
            return None
        value = value[1:end]
    elif " #" in value:
        value = value[: value.index(" #")].rstrip()
    path = (*service.path, "environment", name)
    return name, Node(value if equals else None, node.value, number, column, path, (number, column), value)
