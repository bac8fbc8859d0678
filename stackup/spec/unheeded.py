"""Readers and records of the keys that are checked and not obeyed. What they give is plain, in its long form, and is
printed by `config` as it is; no place below such a key warns again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stackup.spec import kinds, units
from stackup.spec.model import Path
from stackup.spec.nodes import Node
from stackup.spec.readers import (
    TEXT_OR_LIST,
    AnyReader,
    Reader,
    Reading,
    boolean,
    choice,
    cores,
    duration,
    expected,
    integer,
    listed,
    mapped,
    matching,
    nullable,
    plain,
    reads,
    real,
    size,
    text,
    words,
    written,
)
from stackup.spec.records import Record


class Unheeded(NamedTuple):
    """A key that is not obeyed. Its type is checked all the same; `unless`: values that stackup follows anyway."""

    reader: AnyReader = plain
    unless: tuple[Any, ...] = ()


def _kept(reader: Reader, write: Callable[[Any], str]) -> Reader:
    """The value as it is written in the file, in one form."""
    return Reader(lambda node, path, reading: write(reader.read(node, path, reading)), {"anyOf": [reader]})


_SIZE = _kept(size, units.size_text)
_DURATION = _kept(duration, units.duration_text)
_COUNT = integer()
_TEXTS = listed(text)
_TEXT_OR_LIST = written(listed(text, TEXT_OR_LIST), text)
_WORDS = listed(words)
_COMMAND = written(listed(words, TEXT_OR_LIST), text)
_PAIRS = mapped(nullable(words), short=True)
_LABELS = mapped(kinds.label, short=True)
_OPTIONS = mapped(nullable(words))
_MODE = kinds.octal
_ID = matching(r"[0-9]{1,10}", "number of a user or group", "as in '1000'", words)
_NAMESPACE = r"host|private|shareable|none|service:.+|container:.+"


def _fraction(node: Node, path: Path, reading: Reading) -> float:
    value = real(node)
    if value is None or not 0 <= value <= 1:
        expected("a number from 0 to 1", node, reading)
        return 0.0
    return value


_FRACTION = Reader(_fraction, {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, text]})


@reads({"anyOf": [integer(), duration]})
def _microseconds(node: Node, path: Path, reading: Reading) -> int:
    """A count of microseconds, or a duration."""
    if isinstance(node.value, str) and not node.value.strip().isdecimal():
        value: int = round(duration(node, path, reading) * 1_000_000)
        return value
    return int(_COUNT(node, path, reading))


@reads({"anyOf": [integer(), {"const": "all"}]})
def _devices_count(node: Node, path: Path, reading: Reading) -> int | str:
    return "all" if node.value in ("all", -1) else _COUNT(node, path, reading)


@reads(_MODE.schema)
def _read_only_mode(node: Node, path: Path, reading: Reading) -> str:
    """A mode whose writable bits do not count."""
    return f"{int(_MODE(node, path, reading), 8) & ~0o222:04o}"


def _plain_record(name: str, fields: dict[str, AnyReader], *required: str, what: str = "a mapping") -> Record:
    return Record(name, dict, fields, what, required)


GRANT = _plain_record(
    "grant",
    {"source": kinds.nonempty(text), "target": text, "uid": _ID, "gid": _ID, "mode": _read_only_mode},
    "source", what="a name, or a mapping with 'source'",
)  # fmt: skip
GRANTS = listed(written(GRANT, text))
DEVICE = _plain_record(
    "device",
    {"source": kinds.nonempty(text), "target": text,
     "permissions": matching("[rwm]{1,3}", "set of permissions", "some of r, w and m")},
    "source", what="a device as in '/dev/fuse', or a mapping with 'source'",
)  # fmt: skip
_REQUEST: dict[str, AnyReader] = {
    "capabilities": _TEXTS, "count": _devices_count, "device_ids": _TEXTS, "driver": text,
    "options": mapped(words, short=True),
}  # fmt: skip
DEVICE_REQUEST = _plain_record("device_request", _REQUEST, "capabilities")
GPU = _plain_record("gpu", _REQUEST)
HOOK = _plain_record(
    "hook",
    {"command": _COMMAND, "user": words, "privileged": boolean, "working_dir": text, "environment": _PAIRS},
    "command",
)  # fmt: skip
STEP = _plain_record(
    "pre_start",
    {**HOOK.fields, "image": kinds.nonempty(text), "per_replica": boolean},
    what="a mapping with 'command'",
)  # fmt: skip
WATCH = _plain_record(
    "watch",
    {"path": kinds.nonempty(text),
     "action": choice("rebuild", "sync", "restart", "sync+restart", "sync+exec", what="action"),
     "target": text, "ignore": _TEXT_OR_LIST, "include": _TEXT_OR_LIST, "initial_sync": boolean, "exec": HOOK},
    "path", "action",
)  # fmt: skip
_LIMIT = _plain_record("blkio_rate", {"path": text, "rate": _SIZE}, "path", "rate")
_OPERATIONS = _plain_record("blkio_operations", {"path": text, "rate": _COUNT}, "path", "rate")
_WEIGHT = integer(10, 1000)
BLKIO = _plain_record(
    "blkio_config",
    {"weight": _WEIGHT,
     "weight_device": listed(_plain_record("blkio_weight", {"path": text, "weight": _WEIGHT}, "path", "weight")),
     "device_read_bps": listed(_LIMIT), "device_write_bps": listed(_LIMIT),
     "device_read_iops": listed(_OPERATIONS), "device_write_iops": listed(_OPERATIONS)},
)  # fmt: skip
_ROLLOUT: dict[str, AnyReader] = {
    "parallelism": _COUNT, "delay": _DURATION, "monitor": _DURATION, "max_failure_ratio": _FRACTION,
    "order": choice("stop-first", "start-first", what="order"),
}  # fmt: skip
UPDATE = _plain_record(
    "update_config", {**_ROLLOUT, "failure_action": choice("pause", "continue", "rollback", what="action")}
)
ROLLBACK = _plain_record("rollback_config", {**_ROLLOUT, "failure_action": choice("pause", "continue", what="action")})
PLACEMENT = _plain_record(
    "placement",
    {"constraints": _TEXTS, "preferences": listed(_plain_record("preference", {"spread": text})),
     "max_replicas_per_node": _COUNT},
)  # fmt: skip
_DISCRETE = _plain_record("discrete_resource", {"kind": text, "value": _COUNT})
RESERVATIONS: dict[str, Unheeded] = {
    "cpus": Unheeded(cores),
    "devices": Unheeded(listed(DEVICE_REQUEST)),
    "generic_resources": Unheeded(listed(_plain_record("generic_resource", {"discrete_resource_spec": _DISCRETE}))),
}
_MODEL_USE = _plain_record("model_use", {"endpoint_var": text, "model_var": text})

# What a `secrets` or `configs` section defines; `external: {name: x}` is taken apart before.
_EXTERNAL = written(boolean, {"type": "object", "properties": {"name": text}})
_DEFINITION: dict[str, AnyReader] = {
    "name": text, "file": kinds.nonempty(text), "environment": kinds.nonempty(text), "external": _EXTERNAL,
    "labels": _LABELS, "template_driver": text,
}  # fmt: skip
SECRET = _plain_record("secret", {**_DEFINITION, "driver": text, "driver_opts": _OPTIONS})
CONFIG_FILE = _plain_record("config_file", {**_DEFINITION, "content": text})
MODEL = _plain_record(
    "model", {"name": text, "model": kinds.nonempty(text), "context_size": _COUNT, "runtime_flags": _TEXTS}, "model"
)

_CPUSET = matching(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*", "set of processors", "as in '0-3'", words)
_IPC = matching(_NAMESPACE, "namespace", "host, private, shareable or service:NAME")
_PID = matching(_NAMESPACE, "namespace", "host or service:NAME")
_PLATFORM = matching(r"[a-z0-9]+(?:/[a-z0-9_]+(?:/[a-z0-9]+)?)?", "platform", "as in 'linux/arm64'")
_PULL = matching(
    r"always|never|missing|if_not_present|build|daily|weekly|refresh|every_(?:[0-9]+[smhdw])+",
    "pull policy", "never, missing, always, build, daily, weekly or every_12h",
)  # fmt: skip
_AGE = matching(r"(?:[0-9]+[smhdw])+", "age", "as in '3d' or '12h'")
_MAC = matching(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}", "hardware address", "as in '02:42:ac:11:65:43'")
_NONE = ("",)
_PRIORITY = integer(-(1 << 31), 1 << 31)

SERVICE: dict[str, Unheeded] = {
    "blkio_config": Unheeded(BLKIO),
    "build": Unheeded(),
    "cgroup": Unheeded(choice("private", "host", what="namespace"), ("private",)),
    "cgroup_parent": Unheeded(text, _NONE),
    "configs": Unheeded(GRANTS),
    "cpu_count": Unheeded(_COUNT, (0,)),
    "cpu_percent": Unheeded(integer(0, 100), (0,)),
    "cpu_period": Unheeded(_microseconds, (0,)),
    "cpu_quota": Unheeded(integer(-1), (0, -1)),
    "cpu_rt_period": Unheeded(_microseconds, (0,)),
    "cpu_rt_runtime": Unheeded(_microseconds, (0,)),
    "cpuset": Unheeded(_CPUSET),
    "credential_spec": Unheeded(_plain_record("credential_spec", {"config": text, "file": text, "registry": text})),
    "develop": Unheeded(_plain_record("develop", {"watch": listed(WATCH)})),
    "device_cgroup_rules": Unheeded(
        listed(matching(r"[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}", "rule for devices", "as in 'c 1:3 mr'"))
    ),
    "devices": Unheeded(listed(written(DEVICE, text))),
    "external_links": Unheeded(_TEXTS),
    "gpus": Unheeded(written(listed(GPU, "all, or a list"), {"const": "all"})),
    "init": Unheeded(boolean, (False,)),
    "ipc": Unheeded(_IPC, ("private", "shareable", "")),
    "isolation": Unheeded(text, ("", "default")),
    "logging": Unheeded(_plain_record("logging", {"driver": text, "options": _OPTIONS})),
    "mac_address": Unheeded(_MAC, _NONE),
    "mem_swappiness": Unheeded(integer(0, 100)),
    "models": Unheeded(mapped(_MODEL_USE, short=True)),
    "oom_kill_disable": Unheeded(boolean, (False,)),
    "pid": Unheeded(_PID, ("private", "")),
    "platform": Unheeded(_PLATFORM, _NONE),
    "post_start": Unheeded(listed(HOOK)),
    "pre_start": Unheeded(listed(STEP)),
    "pre_stop": Unheeded(listed(HOOK)),
    "privileged": Unheeded(boolean, (False,)),
    "provider": Unheeded(),
    "pull_policy": Unheeded(_PULL, ("never",)),
    "pull_refresh_after": Unheeded(_AGE),
    "runtime": Unheeded(text, _NONE),
    "secrets": Unheeded(GRANTS),
    "storage_opt": Unheeded(mapped(words)),
    "use_api_socket": Unheeded(boolean, (False,)),
    "uts": Unheeded(matching(r"host|private|service:.+", "namespace", "host or service:NAME"), ("private", "")),
}  # fmt: skip
DEPLOY: dict[str, Unheeded] = {
    "labels": Unheeded(_LABELS),
    "mode": Unheeded(choice("replicated", "global", "replicated-job", "global-job", what="mode"), ("replicated",)),
    "placement": Unheeded(PLACEMENT),
    "rollback_config": Unheeded(ROLLBACK),
    "update_config": Unheeded(UPDATE),
}
ATTACHMENT: dict[str, Unheeded] = {
    "driver_opts": Unheeded(_OPTIONS),
    "gw_priority": Unheeded(_PRIORITY, (0,)),
    "interface_name": Unheeded(text, _NONE),
    "ipv6_address": Unheeded(kinds.address, _NONE),
    "link_local_ips": Unheeded(listed(kinds.address)),
    "mac_address": Unheeded(_MAC, _NONE),
    "priority": Unheeded(_PRIORITY, (0,)),
}
PORT: dict[str, Unheeded] = {
    "app_protocol": Unheeded(text, _NONE),
    "mode": Unheeded(choice("ingress", "host", what="mode"), ("ingress",)),
    "name": Unheeded(text, _NONE),
}
MOUNT: dict[str, Unheeded] = {"consistency": Unheeded(text, _NONE), "image": Unheeded()}
BIND: dict[str, Unheeded] = {
    "propagation": Unheeded(
        choice("rprivate", "private", "rshared", "shared", "rslave", "slave", what="propagation"), ("rprivate",)
    ),
    "recursive": Unheeded(choice("enabled", "disabled", "writable", "readonly", what="word"), ("enabled",)),
    "selinux": Unheeded(choice("z", "Z", what="word")),
}
VOLUME_MOUNT: dict[str, Unheeded] = {"labels": Unheeded(_LABELS), "subpath": Unheeded(text, _NONE)}
NETWORK: dict[str, Unheeded] = {
    "attachable": Unheeded(boolean, (False,)),
    "driver": Unheeded(text, ("", "bridge", "default")),
    "driver_opts": Unheeded(_OPTIONS),
    "enable_ipv4": Unheeded(boolean, (True,)),
    "enable_ipv6": Unheeded(boolean, (False,)),
    "external": Unheeded(_EXTERNAL, (False,)),
    "name": Unheeded(text, _NONE),
}
IPAM: dict[str, Unheeded] = {"driver": Unheeded(text, ("", "default")), "options": Unheeded(_OPTIONS)}
IPAM_CONFIG: dict[str, Unheeded] = {
    "aux_addresses": Unheeded(mapped(kinds.address)),
}
VOLUME: dict[str, Unheeded] = {"driver": Unheeded(text, ("", "local")), "driver_opts": Unheeded(_OPTIONS)}
TOP: dict[str, Unheeded] = {
    "version": Unheeded(words),
    "secrets": Unheeded(mapped(SECRET)),
    "configs": Unheeded(mapped(CONFIG_FILE)),
    "models": Unheeded(mapped(MODEL)),
}

# By the names of the records in `validate` where such a key may stand.
KEYS: Mapping[str, Mapping[str, Unheeded]] = {
    "stack": TOP, "service": SERVICE, "deploy": DEPLOY, "reservations": RESERVATIONS, "attachment": ATTACHMENT,
    "port": PORT, "mount": MOUNT, "bind": BIND, "volume_mount": VOLUME_MOUNT, "network": NETWORK, "ipam": IPAM,
    "ipam_config": IPAM_CONFIG, "volume": VOLUME,
}  # fmt: skip
