"""`template`: a Jinja2 file of the project folder, rendered with `vars`; sandboxed, unknown names are errors.

A layer is given all `vars` of the stack file. Only those that the template names are part of what it is made by, so
that another one may change and nothing is rendered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from stackup.builder import inputs
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft
from stackup.builder.inputs import Changed, Digester, Identity, Inputs
from stackup.builder.layers.file import one_file
from stackup.builder.view import View
from stackup.errors import BadInput
from stackup.oci import Document
from stackup.spec.layers import Template


def read(layer: Template, folder: str, digester: Digester) -> Inputs:
    """Digest the source. Raises BadInput where it is absent or no file."""
    path = inputs.source(folder, layer.source)
    found = inputs.scan(path, digester, what=f"source {layer.source}")
    if found.entries[0].kind != "file":
        raise BadInput(f"source {layer.source} is a {found.entries[0].kind}, a template is a file")
    return found


def instruction(layer: Template, found: Inputs) -> Document:
    """Raises BadInput where the source is no text, Changed where it changed since it was digested."""
    entry = found.entries[0]
    named = named_in(_text(entry.path, entry.identity), layer.vars)
    return {"kind": "template", "target": layer.target, "vars": named, "owner": layer.owner, "mode": layer.mode}


_MENTION = re.compile(r"""\bvars\b(?:\s*\.\s*([^\W\d]\w*)|\s*\[\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\])?""")


def named_in(text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that a template may name; all of them where it does more with `vars` than name one (`vars[x]`).

    Found without Jinja2, which costs 57 ms at every `plan`: rather too many than too few.
    """
    found: dict[str, Any] = {}
    for mention in _MENTION.finditer(text):
        name = next((part for part in mention.groups() if part is not None), None)
        if name in variables:
            found[str(name)] = variables[str(name)]
        elif name is None or hasattr(dict, name):
            return dict(variables)
    return found


def draft(layer: Template, found: Inputs, view: View, ids: Ids) -> Draft:
    entry = found.entries[0]
    from stackup.spec import templating  # brings Jinja2, which a stack without templates need not pay for

    content = templating.render(_text(entry.path, entry.identity), layer.vars, layer.source)
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
