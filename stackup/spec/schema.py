"""The JSON Schema of a stack file, made of the tables that read it, for editors: `stackup schema`.

Draft 7, which is what the YAML servers of editors know best. It describes what may be written: short forms, keys that
`canonical` takes apart, `${...}` in place of numbers and words. It is a little wider than the loader (which knows
files, names and the other keys), never narrower, except for keys that are rejected.
"""

from __future__ import annotations

from typing import Any

from stackup.spec import descriptions, support, units, validate
from stackup.spec.readers import Reader
from stackup.spec.records import Record
from stackup.spec.unheeded import Unheeded

DRAFT = "http://json-schema.org/draft-07/schema#"
_VARIABLE = {"$ref": "#/definitions/variable"}
_NULL = {"type": "null"}
# What `canonical` fills in, or another file or `extends` may bring.
_NOT_REQUIRED = {"service": {"image"}, "mount": {"type"}}

Schema = dict[str, Any]


def schema() -> Schema:
    """The whole schema, as plain JSON."""
    made = _Schema()
    top = made.record(validate.TOP)
    variable: Schema = {
        "description": "A text made of variables: ${NAME}, or {{ vars.NAME }} in a stack file.",
        "type": "string", "pattern": r"\$|\{[{%]",
    }  # fmt: skip
    return {
        "$schema": DRAFT, "title": "stackup's stack file", **top,
        "definitions": {"variable": variable, **dict(sorted(made.definitions.items()))},
    }  # fmt: skip


class _Schema:
    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def record(self, record: Record) -> Schema:
        told = descriptions.DESCRIPTIONS.get(record.name, {})
        ours = support.OURS.get(record.place, "").split() if record.place or record is validate.TOP else []
        properties: dict[str, Any] = {}
        for key, reader in (*record.fields.items(), *record.written.items()):
            if key not in record.made:
                only = " (stack files only)" if key in ours else ""
                properties[key] = _with_text(self.value(reader), f"{told.get(key, key)}{only}.")
        for key, unheeded in record.unheeded.items():
            properties[key] = self.unheeded(record, key, unheeded, f"{told.get(key, key)}.")
        required = [key for key in record.required if key not in _NOT_REQUIRED.get(record.name, ())]
        return {
            "type": "object", "properties": properties, "patternProperties": {"^x-": {}},
            "additionalProperties": False, **({"required": required} if required else {}),
        }  # fmt: skip

    def unheeded(self, record: Record, key: str, unheeded: Unheeded, told: str) -> Schema:
        entry = support.at(record.place, key)
        if entry.status == "warned":
            said = support.told(entry)
            return _with_text(self.value(unheeded.reader), f"{told} {said[0].upper()}{said[1:]}.")
        refused = f"{told} Rejected: {entry.why}{'; ' + entry.hint if entry.hint else ''}."
        if not unheeded.unless:
            return {"description": refused, "type": "null"}
        texts = [{"type": "string", "pattern": units.truth_pattern(False)}] if False in unheeded.unless else []
        return {"description": refused, "anyOf": [{"enum": [*unheeded.unless, None]}, *texts, _VARIABLE]}

    def value(self, reader: Any) -> Schema:
        """The schema of what may stand in one place."""
        if isinstance(reader, Record):
            if reader.name not in self.definitions:
                self.definitions[reader.name] = {}  # a record may hold itself
                self.definitions[reader.name] = self.record(reader)
            return {"$ref": f"#/definitions/{reader.name}"}
        if isinstance(reader, Reader):
            return self.value(reader.schema)
        return _or_variable({key: self.part(key, item) for key, item in reader.items()})

    def part(self, key: str, item: Any) -> Any:
        if key in ("items", "additionalProperties") and not isinstance(item, bool):
            return self.value(item)
        if key == "anyOf":
            return [self.value(option) for option in item]
        if key == "properties":
            told = descriptions.LAYERS if item.keys() <= descriptions.LAYERS.keys() else {}
            made = {name: self.value(reader) for name, reader in item.items()}
            return {
                name: _described(value, f"{told[name]}.") if name in told else value for name, value in made.items()
            }
        return item


def _or_variable(schema: Schema) -> Schema:
    """Where no free text may stand, a text made of variables may: it is read once they are put in."""
    options = _options(schema)
    if any(_free(option) for option in options) or not any(_scalar(option) for option in options):
        return _any_of(options) if "anyOf" in schema else schema
    return _any_of([*options, _VARIABLE])


def _options(schema: Schema) -> list[Schema]:
    found: list[Schema] = []
    for option in schema.get("anyOf", [schema]):
        found += [o for o in (_options(option) if "anyOf" in option else [option]) if o not in found]
    return found


def _any_of(options: list[Schema]) -> Schema:
    if _VARIABLE in options:
        options = [o for o in options if o != _VARIABLE]
        if not any(_free(option) for option in options):
            options.append(_VARIABLE)
    return options[0] if len(options) == 1 else {"anyOf": options}


def _types(schema: Schema) -> set[str]:
    said = schema.get("type", ())
    return {said} if isinstance(said, str) else set(said)


def _free(schema: Schema) -> bool:
    return schema == {} or ("string" in _types(schema) and not schema.keys() & {"pattern", "enum", "const"})


def _scalar(schema: Schema) -> bool:
    return bool(_types(schema) & {"string", "number", "integer", "boolean"}) or bool(schema.keys() & {"enum", "const"})


def _with_text(schema: Schema, told: str) -> Schema:
    """With a description, and nothing (null) allowed, which says no more than no key."""
    if schema == {}:
        return {"description": told}
    if "type" in schema and not schema.keys() & {"enum", "const"}:
        return {"description": told, **schema, "type": sorted({*_types(schema), "null"})}
    options = _options(schema)
    return {"description": told, "anyOf": options if _NULL in options else [*options, _NULL]}


def _described(schema: Schema, told: str) -> Schema:
    return {"description": told, "anyOf": _options(schema)}


def as_text() -> str:
    """The schema as the text of a file."""
    import json

    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
