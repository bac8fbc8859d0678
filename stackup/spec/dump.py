"""A stack written out again in its long form, for `stackup config`: the same input gives the same text.

What `load` makes of that text (in the same folder, under the same name, with the same environment) is the same stack
again: where the first file is a Compose file, it is written in Compose's words, without ours. Images have none there:
a stack that has some is always written as a stack file.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from stackup.errors import BadInput, printable
from stackup.spec import substitute, units
from stackup.spec.discover import Dialect, dialect_of
from stackup.spec.layers import Layer
from stackup.spec.model import Healthcheck, Image, Loaded, Network, Path, Restart, Service, Volume, VolumeMount
from stackup.values import is_default


def document(loaded: Loaded) -> dict[str, Any]:
    """The stack as plain mappings, in the words of the file. Values that are defaults are left out; what keys say that
    have no effect yet is not, nor what stands under `x-*`. Without interpolation: what the files say, merged."""
    if loaded.raw is not None:
        return dict(loaded.raw)
    stack = loaded.stack
    sections: dict[str, dict[str, Any]] = {
        "images": {name: _image(image) for name, image in stack.images.items()},
        "services": {name: _service(service) for name, service in stack.services.items()},
        "networks": {name: _network(network, spoken(loaded)) for name, network in stack.networks.items()},
        "volumes": {name: _volume(volume) for name, volume in stack.volumes.items()},
    }
    if spoken(loaded) == "compose":
        sections["services"] = {name: _without_ours(made) for name, made in sections["services"].items()}
    made: dict[str, Any] = {"name": stack.name, **{name: section for name, section in sections.items() if section}}
    for path, value in loaded.warned.items():
        _put(made, path, _plain(value))
    for path, value in loaded.extensions.items():
        if path[2:3] == ("restart",):  # the short form has no room for it
            service = made["services"][path[1]]
            service.pop("restart", None)
            policy = _restart_policy(stack.services[str(path[1])].restart)
            service.setdefault("deploy", {}).setdefault("restart_policy", policy)
        if path[2:3] != ("env_file",):  # whose content stands in `environment`
            _put(made, _written(path, loaded), value)
    return made


def _written(path: Path, loaded: Loaded) -> Path:
    """Where the document has what stands below a canonical path."""
    if path[:1] == ("images",) and path[2:3] == ("layers",):
        layer = loaded.stack.images[str(path[1])].layers[int(path[3])]
        return (*path[:4], layer.kind, *path[4:])
    if path[:1] == ("services",) and path[2:3] == ("restart",):
        return (*path[:2], "deploy", "restart_policy", *path[3:])
    return path


def spoken(loaded: Loaded) -> Dialect:
    """Whose words `document` writes."""
    return "stack" if loaded.stack.images else dialect_of(loaded.stack.file)


def _put(made: Any, path: Path, value: Any) -> None:
    """Put a value where it was written, into mappings and lists that may not be there without it."""
    for part, following in itertools.pairwise(path):
        if isinstance(part, int):
            made += [{} for _ in range(part + 1 - len(made))]
            made = made[part]
        else:
            made = made.setdefault(part, [] if isinstance(following, int) else {})
    made[path[-1]] = value


# What PyYAML does not quote and readers of YAML 1.1 take for truth values and numbers: `n`, `08`, `1_000`.
_MISREAD = r"[yYnN]|[-+]?[0-9][0-9_,]*(?:[eE][-+]?[0-9]+)?"


def dump(loaded: Loaded, format: Literal["yaml", "json"] = "yaml") -> str:
    """The text of `document`, ending in a newline. What would be a variable in it is written so that it is none."""
    made = document(loaded) if loaded.raw is not None else _escaped(document(loaded), spoken(loaded))
    if format == "json":
        return printable(json.dumps(made, indent=2, ensure_ascii=False), "\n", json.dumps) + "\n"
    import yaml

    from stackup.spec.nodes import core_scalar

    misread = re.compile(_MISREAD).fullmatch
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else None
        if not isinstance(core_scalar(value), str) or misread(value) or printable(value, "\n\t") != value:
            # Numbers to YAML 1.2 that PyYAML does not know (`0o17`, `1e3`), and what needs an escape sequence.
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    try:
        text_of: str = yaml.dump(made, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    except UnicodeEncodeError:
        raise BadInput("the path of a folder is not UTF-8, and YAML is", hint="--format json can tell it") from None
    return printable(text_of, "\n\t", _in_quotes)


def _in_quotes(character: str) -> str:
    """For a text in double quotes, as all are that have such a character."""
    return f'"\\U{ord(character):08x}"'


def _escaped(value: Any, dialect: Dialect) -> Any:
    """Values only: keys are never looked at for variables."""
    if isinstance(value, str):
        return substitute.escape(value, dialect)
    if isinstance(value, dict):
        return {key: _escaped(item, dialect) for key, item in value.items()}
    return [_escaped(item, dialect) for item in value] if isinstance(value, list) else value


def _fields(value: Any, forms: Mapping[str, Callable[[Any], Any]] = {}) -> dict[str, Any]:
    """The fields of a dataclass that differ from their default. `forms`: how some of them are written."""
    found: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if not is_default(field, item):
            found[field.name] = forms[field.name](item) if field.name in forms else _plain(item)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _image(image: Image) -> dict[str, Any]:
    found = _fields(image, {"layers": lambda layers: [_layer(x) for x in layers], "config": _config})
    base = found.pop("base", None)
    del found["name"]
    return {"from": base, **found} if base is not None else found


def _layer(layer: Layer) -> dict[str, Any]:
    return {layer.kind: _fields(layer)}


def _config(config: Any) -> dict[str, Any]:
    return _fields(config, {"healthcheck": _healthcheck})


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    times = dict.fromkeys(("interval", "timeout", "start_period", "start_interval"), units.duration_text)
    return _fields(check, times)


def _service(service: Service) -> dict[str, Any]:
    found = _fields(
        service,
        {
            "resources": lambda r: _fields(r, {"memory": units.size_text}),
            "healthcheck": _healthcheck,
            "stop_grace_period": units.duration_text,
            "shm_size": units.size_text,
            "mem_reservation": units.size_text,
            "memswap_limit": lambda size: size if size < 0 else units.size_text(size),
            "volumes": lambda mounts: [_mount(mount) for mount in mounts],
            "ports": lambda ports: [dataclasses.asdict(port) for port in ports],
            "depends_on": lambda on: {name: dataclasses.asdict(d) for name, d in on.items()},
        },
    )
    del found["name"]
    restart, endpoint = found.pop("restart", None), found.pop("endpoint_mode", None)
    deploy = {"endpoint_mode": endpoint} if endpoint else {}
    if restart is not None:
        plain = Restart(policy=service.restart.policy, max_attempts=service.restart.max_attempts)
        # `unless-stopped` has no word in `deploy.restart_policy`, a delay none in `restart`.
        if plain == service.restart and (service.restart.policy == "on-failure" or not plain.max_attempts):
            count = f":{plain.max_attempts}" if plain.max_attempts else ""
            found["restart"] = plain.policy + count
        else:
            deploy["restart_policy"] = _restart_policy(service.restart)
    return found | ({"deploy": deploy} if deploy else {})


def _without_ours(service: dict[str, Any]) -> dict[str, Any]:
    """A service as a Compose file may say it: `replicas` and `resources` are words of `deploy` there, and so is what is
    reserved, because Compose takes the other word for it only where nothing else is reserved."""
    found = dict(service)
    reserved = {"memory": found.pop("mem_reservation")} if "mem_reservation" in found else None
    said = {"limits": found.pop("resources", None), "reservations": reserved}
    resources = {key: value for key, value in said.items() if value is not None}
    deploy: dict[str, Any] = {"replicas": found.pop("replicas")} if "replicas" in found else {}
    if resources:
        deploy["resources"] = resources
    return found | {"deploy": deploy | found.pop("deploy", {})} if deploy else found


def _restart_policy(restart: Restart) -> dict[str, Any]:
    condition = {"no": "none", "on-failure": "on-failure"}.get(restart.policy, "any")
    found = _fields(restart, {"delay": units.duration_text, "window": units.duration_text})
    found.pop("policy", None)
    return {"condition": condition, **found}


def _mount(mount: VolumeMount) -> dict[str, Any]:
    found: dict[str, Any] = {"type": mount.type}
    found |= _fields(mount, {"mode": lambda mode: f"{mode:04o}", "size": units.size_text})
    nested = {"bind": ("create_host_path",), "volume": ("nocopy",), "tmpfs": ("size", "mode")}
    for section, keys in nested.items():
        if inner := {key: found.pop(key) for key in keys if key in found}:
            found[section] = inner
    return found


def _network(network: Network, dialect: Dialect) -> dict[str, Any]:
    found = _fields(network)
    del found["name"]
    keys = [key for key in ("subnet", "ip_range", "gateway") if key in found]
    if keys and (keys != ["subnet"] or dialect == "compose"):
        found["ipam"] = {"config": [{key: found.pop(key) for key in keys}]}
    return found


def _volume(volume: Volume) -> dict[str, Any]:
    found = _fields(volume)
    given = found.pop("external_name", None) or found.pop("own_name", None)
    del found["name"]
    return found | ({"name": given} if given is not None else {})
