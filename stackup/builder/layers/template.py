"""`template`: a Jinja2 file of the project folder, rendered with `vars`; sandboxed, unknown names are errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from stackup.builder import inputs
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft
from stackup.builder.inputs import Changed, Digester, Identity, Inputs
from stackup.builder.layers.file import one_file
from stackup.builder.view import View
from stackup.errors import BadInput, Place
from stackup.oci import Document
from stackup.spec.layers import Template


def read(layer: Template, folder: str, digester: Digester) -> Inputs:
    """Digest the source. Raises BadInput where it is absent or no file."""
    path = inputs.source(folder, layer.source)
    found = inputs.scan(path, digester, what=f"source {layer.source}")
    if found.entries[0].kind != "file":
        raise BadInput(f"source {layer.source} is a {found.entries[0].kind}, a template is a file")
    return found


def instruction(layer: Template) -> Document:
    return {
        "kind": "template", "target": layer.target, "vars": dict(layer.vars), "owner": layer.owner, "mode": layer.mode,
    }  # fmt: skip


def draft(layer: Template, found: Inputs, view: View, ids: Ids) -> Draft:
    entry = found.entries[0]
    content = render(layer.source, _text(entry.path, entry.identity), layer.vars)
    return one_file(layer.target, content.encode(), layer.owner, layer.mode, entry.executable, view, ids)


def _text(path: str, identity: Identity) -> str:
    with open(path, "rb") as file:
        data = file.read()
        if Identity.of(os.fstat(file.fileno())) != identity:
            raise Changed(path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"template {path} is not UTF-8: {error}") from None


def render(name: str, text: str, variables: Mapping[str, Any]) -> str:
    """The rendered text; the template's last line end is kept. Raises BadInput with the template's line."""
    import jinja2
    import jinja2.sandbox

    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(text).render(dict(variables))
    except jinja2.TemplateSyntaxError as error:
        raise BadInput(f"template {name}: {error.message}", place=Place(name, error.lineno)) from None
    except jinja2.TemplateError as error:
        place = Place(name, _line(error))
        raise BadInput(f"template {name}: {error}", place=place, hint="give the value under vars:") from None
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise BadInput(f"template {name}: {type(error).__name__}: {error}", place=Place(name, _line(error))) from None


def _line(error: BaseException) -> int:
    """The template's line of a failure: the last frame of it in the traceback."""
    line, trace = 1, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
