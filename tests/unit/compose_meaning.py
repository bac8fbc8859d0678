"""What `config --format json` of Docker Compose and of stackup mean, notation taken away, so that they can be compared.

Both outputs pass through the same function. `DEFAULTS` holds the values that say what is so without them; every other
step names one difference of notation and no more. What differs in meaning is not levelled here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from stackup.spec import units

Tree = dict[str, Any]

# (where, key) -> value. `*` stands for each entry of a list or mapping.
DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("networks.*", "driver"): "bridge",
    ("networks.*", "enable_ipv4"): True,
    ("networks.*.ipam", "driver"): "default",
    ("services.*", "attach"): True,
    ("services.*", "ipc"): "shareable",
    ("services.*", "network_mode"): "bridge",
    ("services.*", "pull_policy"): "never",
    ("services.*", "replicas"): "1",
    ("services.*", "stop_grace_period"): 10.0,
    ("services.*", "stop_signal"): "SIGTERM",
    ("services.*.depends_on.*", "condition"): "service_started",
    ("services.*.depends_on.*", "required"): True,
    ("services.*.deploy", "endpoint_mode"): "vip",
    ("services.*.deploy", "mode"): "replicated",
    ("services.*.devices.*", "permissions"): "rwm",
    ("services.*.healthcheck", "interval"): 30.0,
    ("services.*.healthcheck", "retries"): "3",
    ("services.*.healthcheck", "start_interval"): 5.0,
    ("services.*.healthcheck", "timeout"): 30.0,
    ("services.*.ports.*", "host_ip"): "127.0.0.1",  # the first difference on purpose: publishing on the loopback
    ("services.*.ports.*", "mode"): "ingress",
    ("services.*.ports.*", "protocol"): "tcp",
    ("services.*.ports.*", "published"): "0",
    ("services.*.restart", "policy"): "no",
    ("services.*.volumes.*.bind", "create_host_path"): True,
    ("services.*.volumes.*.bind", "propagation"): "rprivate",
    ("volumes.*", "driver"): "local",
}
SAME_WORD: Mapping[tuple[str, str], Mapping[Any, Any]] = {
    ("services.*", "pull_policy"): {"if_not_present": "missing"},
    ("services.*", "ipc"): {"private": "shareable"},  # both are what is so without them
    ("services.*.gpus.*", "count"): {"all": "-1"},
}
HOME = "/home/me"  # what both are told
SECTIONS = ("networks", "volumes", "secrets", "configs")
FREE = {"environment", "labels", "annotations", "sysctls", "options", "driver_opts"}  # keys are the user's own
NAMED = {*SECTIONS, "services", "services.*.depends_on", "services.*.networks", "services.*.ulimits"}
UNORDERED = {"cap_add", "cap_drop", "configs", "devices", "expose", "ports", "secrets", "tmpfs", "volumes"}
NOT_PRINTED = {
    # by Compose, whatever the file says
    "services.*": {"pull_refresh_after", "isolation"},
    "services.*.volumes.*": {"consistency"},
    "networks.*.ipam": {"options"},
    "": {"models"},
}
_DURATIONS = {
    "delay",
    "interval",
    "monitor",
    "start_interval",
    "start_period",
    "stop_grace_period",
    "timeout",
    "window",
}
_SIZES = {"rate", "mem_limit", "mem_reservation", "memory", "memswap_limit", "shm_size", "size"}
_NUMBERS = {
    "count", "cpus", "cpuset", "gid", "max_attempts", "mem_swappiness", "pids_limit", "published", "replicas",
    "retries", "uid", "user", "value",
}  # fmt: skip


def meaning(document: Tree, folder: str) -> Tree:
    """The document without defaults, without names made of the project's, and with one form for one thing.

    `folder`: the project's, where relative paths start.
    """
    project = document["name"]
    made: Tree = dict(document)
    services = {name: dict(value) for name, value in (made.get("services") or {}).items()}
    for service in services.values():
        _borrowed(service, services)
    made["services"] = {name: _service(service) for name, service in services.items()}
    for section in SECTIONS:
        entries = made.get(section) or {}
        made[section] = {key: _resource(key, dict(value or {}), project, folder) for key, value in entries.items()}
    return _used(_plain(made, "", ""))


def _used(document: Tree) -> Tree:
    """Compose leaves out what no service uses."""
    found = dict(document)
    for section in SECTIONS:
        named: set[str] = set()
        for service in document.get("services", {}).values():
            entries = service.get(section, ())
            named |= {entry if isinstance(entry, str) else entry.get("source") for entry in entries}
        found[section] = {key: value for key, value in document.get(section, {}).items() if key in named}
    return found


def _resource(key: str, value: Tree, project: str, folder: str) -> Tree:
    """A resource is called PROJECT_KEY where nothing else is said, an outside one KEY; its paths are absolute."""
    if value.get("name") == (key if value.get("external") else f"{project}_{key}"):
        del value["name"]
    if file := value.get("file"):
        file = HOME + file[1:] if file.startswith("~/") else file
        value["file"] = os.path.normpath(os.path.join(folder, file))
    return value


def _borrowed(service: Tree, services: Mapping[str, Tree]) -> None:
    """What Compose does when it starts: mounts of `volumes_from`; an optional dependency that is not there is none."""
    for text in service.pop("volumes_from", None) or ():
        name, _, mode = text.partition(":")
        other = services.get(name, {})
        _borrowed(other, services)
        mounts = service.get("volumes") or []
        taken = {mount["target"] for mount in mounts}
        shared = [mount for mount in other.get("volumes") or () if mount["type"] != "tmpfs"]
        added = [mount for mount in shared if mount["target"] not in taken]
        service["volumes"] = mounts + [{**mount, "read_only": True} if mode == "ro" else mount for mount in added]
    dependencies = service.get("depends_on") or {}
    service["depends_on"] = {k: v for k, v in dependencies.items() if k in services or v.get("required") is not False}


# --- services: several words for one thing


def _service(value: Tree) -> Tree:
    for step in _STEPS:
        step(value)
    return value


def _resources(value: Tree) -> None:
    deploy = dict(value.pop("deploy", None) or {})
    limits = dict((deploy.get("resources") or {}).get("limits") or {})
    reserved = dict((deploy.pop("resources", None) or {}).get("reservations") or {})
    for key, word in (("memory", "mem_limit"), ("cpus", "cpus"), ("pids", "pids_limit")):
        said = [v for v in (value.pop(word, None), limits.get(key)) if v not in (None, 0, "0", -1, "-1")]
        value[word] = said[0] if said else None
    value["mem_reservation"] = reserved.pop("memory", None) or value.get("mem_reservation")
    replicas = (value.pop("scale", None), deploy.pop("replicas", None))
    value["replicas"] = next((count for count in replicas if count is not None), 1)
    value["restart"] = _restart(value.get("restart"), deploy.pop("restart_policy", None))
    value["deploy"] = {**deploy, "reservations": reserved}


def _restart(word: Any, policy: Tree | None) -> Tree:
    """`restart: on-failure:3` and `deploy.restart_policy` are one thing, and the latter wins."""
    if policy is not None:
        condition = {"none": "no", "on-failure": "on-failure"}.get(policy.get("condition") or "any", "always")
        return {**policy, "policy": condition, "condition": None}
    name, _, count = str(word or "no").partition(":")
    return {"policy": name, "max_attempts": int(count or 0)}


def _mounts(value: Tree) -> None:
    """A tmpfs is a mount like others. Modes are printed in decimal digits."""
    mounts = [dict(mount) for mount in value.get("volumes") or []]
    for mount in mounts:
        mode = (mount.get("tmpfs") or {}).get("mode")
        if isinstance(mode, int):
            mount["tmpfs"] = {**mount["tmpfs"], "mode": f"{mode:04o}"}
    for text in value.pop("tmpfs", None) or []:
        target, _, options = text.partition(":")
        pairs = dict(option.partition("=")[::2] for option in options.split(","))
        inner = {"size": pairs.get("size"), "mode": pairs["mode"].zfill(4) if "mode" in pairs else None}
        mounts.append({"type": "tmpfs", "target": os.path.normpath(target), "tmpfs": inner, "read_only": "ro" in pairs})
    value["volumes"] = mounts


def _healthcheck(value: Tree) -> None:
    """`test: [NONE]` and `disable: true` say the same, whatever stands beside."""
    check = value.get("healthcheck") or {}
    if check.get("disable") or list(check.get("test") or ())[:1] == ["NONE"]:
        value["healthcheck"] = {"test": ["NONE"]}


def _hosts(value: Tree) -> None:
    if isinstance(value.get("extra_hosts"), list):
        hosts: Tree = {}
        for text in value["extra_hosts"]:
            name, _, address = text.partition("=")
            hosts.setdefault(name, []).append(address.strip("[]"))
        value["extra_hosts"] = hosts


def _rights(value: Tree) -> None:
    """Capabilities with or without CAP_; options with `:` or `=`. stackup leaves out labels and says so."""
    for key in ("cap_add", "cap_drop"):
        value[key] = sorted({item.upper().removeprefix("CAP_") for item in value.get(key) or ()})
    options = [o if "=" in o else o.replace(":", "=", 1) for o in value.get("security_opt") or ()]
    value["security_opt"] = [o for o in options if not o.startswith("label=") and o != "apparmor=unconfined"]
    limits = (value.get("ulimits") or {}).items()
    value["ulimits"] = {k: v if isinstance(v, dict) else {"soft": v, "hard": v} for k, v in limits}
    devices = value.get("devices") or ()
    value["devices"] = [{**device, "target": device.get("target") or device["source"]} for device in devices]


def _exposed(value: Tree) -> None:
    """A range is each of its ports."""
    found = set()
    for text in value.get("expose") or ():
        ports, _, protocol = text.partition("/")
        first, _, last = ports.partition("-")
        found |= {f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)}
    value["expose"] = sorted(found)


def _grants(value: Tree) -> None:
    for key, folder in (("secrets", "/run/secrets/"), ("configs", "/")):
        made = []
        for grant in value.get(key) or ():
            target = grant.get("target") or grant["source"]
            mode = int(str(grant.get("mode") or "0444").removeprefix("0o"), 8) & ~0o222
            made.append({**grant, "target": os.path.join(folder, target), "mode": f"{mode:04o}"})
        value[key] = made


def _environment(value: Tree) -> None:
    """A variable that nobody has a value for is none; a signal is written with SIG."""
    value["environment"] = {k: v for k, v in (value.get("environment") or {}).items() if v is not None}
    value.pop("profiles", None)  # who takes part was decided
    if value.get("stop_signal") and not value["stop_signal"].startswith("SIG"):
        value["stop_signal"] = "SIG" + value["stop_signal"]


_STEPS: tuple[Callable[[Tree], None], ...] = (
    _resources, _mounts, _healthcheck, _hosts, _rights, _exposed, _grants, _environment,
)  # fmt: skip


# --- everywhere: scalars in one form, and nothing where nothing is said


def _plain(value: Any, place: str, key: str) -> Any:
    here = f"{place}.{key}".strip(".")
    if isinstance(value, dict):
        return _mapping(value, here, key)
    if isinstance(value, list):
        items = [_plain(item, here, "*") for item in value]
        if key not in UNORDERED:
            return items
        distinct = {json.dumps(item, sort_keys=True): item for item in items}
        return [distinct[text] for text in sorted(distinct)]
    return _scalar(value, place, key)


def _mapping(value: Tree, here: str, key: str) -> Tree:
    found: Tree = {}
    free, named = key in FREE, here in NAMED
    for name, child in value.items():
        if name in NOT_PRINTED.get(here, ()) or (name.startswith("x-") and not free and not named):
            continue
        name = name if free or named else name[:1].lower() + name[1:]  # Compose prints `Path` and `Rate`
        made = _plain({} if named and child is None else child, here, "*" if named else name)
        kept = free or named or (name in ("command", "entrypoint") and child is not None)
        if kept or (made not in (None, [], {}, False, "", 0, "0") and made != DEFAULTS.get((here, name))):
            found[name] = made
    return found


def _scalar(value: Any, place: str, key: str) -> Any:
    value = SAME_WORD.get((place, key), {}).get(value, value)
    if value is None or isinstance(value, bool):
        return value
    if key in _DURATIONS and not place.endswith(tuple(FREE)):
        return units.duration(str(value))
    if key in _SIZES and re.fullmatch(r"[0-9.]+ ?[a-zA-Z]*", str(value)):
        return units.size(str(value))
    if key in _NUMBERS | _SIZES:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return value
