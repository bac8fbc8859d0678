"""The tables of types: canonical nodes -> the dataclasses of `model`.

Written by hand and not with pydantic (docs/decisions.md): the short forms must be understood before a type can be
checked, so that little would be left for it to do; every message needs the position and the words of the file; and
importing it and building its classes costs about 120 ms at each start.
"""

from __future__ import annotations

from typing import Any

from stackup.spec import kinds, support
from stackup.spec.layers import Copy, File, HostPrograms, Layer, Run, Template
from stackup.spec.model import (
    Attachment,
    Dependency,
    Healthcheck,
    Image,
    ImageConfig,
    Network,
    Path,
    Port,
    Resources,
    Restart,
    Service,
    Ulimit,
    Volume,
    VolumeMount,
)
from stackup.spec.nodes import Node
from stackup.spec.readers import (
    Reader,
    Reading,
    Record,
    boolean,
    choice,
    cores,
    duration,
    expected,
    inside,
    integer,
    listed,
    mapped,
    matching,
    mount_point,
    nullable,
    size,
    text,
    words,
)
from stackup.spec.suggest import did_you_mean

KEY = r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}"
KEY_HINT = "letters, digits and . _ - after the first, 63 at most"
IMAGE_KEY = r"[a-z0-9][a-z0-9._-]{0,127}"
STACK_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
VARIABLE = r"[^=\0]+"

_Nothing = dict


def nothing(also: tuple[str, ...], not_built: tuple[str, ...], **fields: Reader) -> Record:
    """A mapping from which `canonical` took all that it knows: what is left over is told as unknown."""
    return Record(_Nothing, fields, "a mapping", also=also, not_built=not_built)


def environment_file(*, path: str = "", required: bool = True, format: str = "") -> None:
    """`env_file` is read into `environment` before; here its entries are only checked."""


_WORDS = listed(words)
_TEXTS = listed(text)
_LABELS = mapped(kinds.label, short=True)
_ENVIRONMENT = mapped(nullable(words), keys=VARIABLE, what="name of a variable", hint="it holds a '='", short=True)
_SAID = mapped(words, keys=VARIABLE, what="name of a variable", short=True)
_HOSTNAME = matching(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?", "host name", "letters, digits, - and .")
_USER = matching(
    r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?", "user", "as in 'www-data' or '1000:1000'", words
)

HEALTHCHECK = Record(
    Healthcheck,
    {"test": kinds.test, "interval": duration, "timeout": duration, "retries": integer(0, 1000),
     "start_period": duration, "start_interval": duration},
    "a mapping with 'test'", also=("disable",),
    words={"command": "the key is 'test'", "cmd": "the key is 'test'"}, extensions=True,
)  # fmt: skip
CONFIG = Record(
    ImageConfig,
    {"command": _WORDS, "entrypoint": _WORDS, "environment": _SAID, "working_dir": inside, "user": _USER,
     "labels": _LABELS, "stop_signal": kinds.signal, "expose": _TEXTS, "volumes": listed(mount_point),
     "healthcheck": HEALTHCHECK},
    "a mapping", words=support.CONFIG_WORDS, extensions=True,
)  # fmt: skip

_OWNED: dict[str, Reader] = {"owner": kinds.owner, "mode": kinds.octal}
_LAYERS = {
    "copy": Record(Copy, {"source": kinds.nonempty(text), "target": inside, **_OWNED}, "'SOURCE:TARGET' or a mapping",
                   ("source", "target"), words=support.FILE_WORDS),
    "file": Record(File, {"target": inside, "content": text, **_OWNED}, "a mapping with 'target' and 'content'",
                   ("target", "content"), words=support.FILE_WORDS | {"source": "that is the kind 'copy'"}),
    "template": Record(Template,
                       {"source": kinds.nonempty(text), "target": inside, "vars": mapped(kinds.plain), **_OWNED},
                       "'SOURCE:TARGET' or a mapping", ("source", "target"), words=support.FILE_WORDS),
    "run": Record(Run, {"command": kinds.nonempty(_WORDS), "network": choice("none", "host", what="network")},
                  "text, a list or a mapping with 'command'", ("command",), words=support.RUN_WORDS,
                  placeholders={"command": ()}),
    "host": Record(HostPrograms, {"programs": listed(kinds.program), "files": listed(inside)},
                   "a mapping with 'programs'", words={"program": "the key is 'programs'"}),
}  # fmt: skip


def layer(node: Node, path: Path, reading: Reading) -> Layer:
    """One layer: a mapping with a single key, its kind."""
    broken = Run(command=("true",))
    if not node.is_map or not node.items:
        hint = "as in 'run: make'" if node.value != "" else None
        expected(f"a layer ({', '.join(support.LAYER_KINDS)})", node, reading, hint)
        return broken
    if len(node.items) > 1:
        known = [k for k in node.items if k in support.LAYER_KINDS]
        if len(known) > 1 or not known:
            hint = "put a '- ' before each"
            reading.report.problem(node, f"a layer has one kind, not {len(node.items)} keys", hint)
        else:  # `- run: make` followed by a key on the same depth
            for key, child in node.items.items():
                if key not in known:
                    hint = f"indent it under '{known[0]}', or put a '- ' before it"
                    reading.report.problem(child, "not beside the kind of a layer", hint, at_key=True)
        return broken
    (kind, value), = node.items.items()  # fmt: skip
    record = _LAYERS.get(kind)
    if record is None:
        hint = support.LAYER_WORDS.get(kind.lower()) or did_you_mean(kind, support.LAYER_KINDS)
        reading.report.problem(value, "unknown kind of layer", hint or f"known: {', '.join(_LAYERS)}", at_key=True)
        return broken
    # The kind is no part of the canonical path: ("images", "web", "layers", 0, "target").
    made: Layer = record(value, path, reading)
    return made


IMAGE = Record(
    Image,
    {"from": text, "layers": listed(layer), "config": CONFIG}, "a mapping with 'layers'",
    words=support.IMAGE_WORDS | dict.fromkeys(CONFIG.fields, "put it under 'config'"), named=True, extensions=True,
    stored={"from": "base"},
)  # fmt: skip

RESOURCES = Record(
    Resources, {"memory": kinds.memory, "cpus": cores, "pids": kinds.pids}, "a mapping with memory, cpus, pids",
    words={"cpu": "the key is 'cpus'", "mem": "the key is 'memory'", "limits": "write memory, cpus and pids here",
           "reservations": "not built yet"},
)  # fmt: skip
DEPENDENCY = Record(
    Dependency,
    {"condition": choice("service_started", "service_healthy", "service_completed_successfully", what="condition"),
     "restart": boolean, "required": boolean}, "a mapping",
)  # fmt: skip
PORT = Record(
    Port, {"target": integer(1, 65535, what="a port"), "published": integer(0, 65535, what="a port"),
           "protocol": choice("tcp", "udp", what="protocol", not_built={"sctp": "write tcp or udp"}), "host_ip": text},
    "a port", ("target",), placeholders={"target": 1},
    words={"host": "the key is 'published'", "container": "the key is 'target'"},
)  # fmt: skip
MOUNT = Record(
    VolumeMount,
    {"type": choice("volume", "bind", "tmpfs", what="kind of mount",
                    not_built={"image": "use volume or bind", "npipe": "Windows only", "cluster": "use volume"}),
     "source": text, "target": mount_point, "read_only": boolean, "nocopy": boolean, "create_host_path": boolean,
     "size": size, "mode": kinds.tmpfs_mode,
     "bind": nothing(("create_host_path",), support.BIND_NOT_BUILT),
     "volume": nothing(("nocopy",), support.VOLUME_MOUNT_NOT_BUILT), "tmpfs": nothing(("size", "mode"), ())},
    "a volume", ("type", "target"), words={"src": "the key is 'source'", "dst": "the key is 'target'",
                                           "ro": "the key is 'read_only'"},
    checked=("bind", "volume", "tmpfs"),
)  # fmt: skip
RESTART = Record(
    Restart,
    {"policy": choice("no", "always", "on-failure", "unless-stopped", what="restart policy"),
     "max_attempts": integer(), "delay": duration, "window": duration}, "a restart policy", also=("condition",),
)  # fmt: skip
ATTACHMENT = Record(
    Attachment, {"aliases": listed(_HOSTNAME), "ipv4_address": kinds.ipv4}, "a mapping",
    not_built=support.ATTACHMENT_NOT_BUILT,
)  # fmt: skip
ULIMIT = Record(
    Ulimit, {"soft": integer(-1), "hard": integer(-1)}, "a number, or soft and hard", ("soft", "hard"),
    placeholders={"soft": 0, "hard": -1},
)  # fmt: skip
DEPLOY = nothing(
    support.DEPLOY, support.DEPLOY_NOT_BUILT,
    resources=nothing(("limits",), support.RESOURCES_NOT_BUILT,
                      limits=nothing(support.LIMITS, support.LIMITS_NOT_BUILT)),
)  # fmt: skip
ENV_FILE = Record(environment_file, {"path": text, "required": boolean, "format": choice("raw", what="format")},
                  "a path", ("path",))  # fmt: skip

SERVICE = Record(
    Service,
    {"image": kinds.nonempty(text), "command": _WORDS, "entrypoint": _WORDS, "environment": _ENVIRONMENT,
     "working_dir": inside, "user": _USER, "group_add": _WORDS, "hostname": _HOSTNAME, "domainname": _HOSTNAME,
     "labels": _LABELS, "replicas": integer(0, 10_000),
     "container_name": matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "name of a container", "letters, digits, _ . -"),
     "init": kinds.init, "tty": boolean, "stdin_open": boolean, "read_only": boolean, "ports": listed(PORT),
     "expose": _TEXTS, "volumes": listed(MOUNT), "depends_on": mapped(DEPENDENCY, short=True), "restart": RESTART,
     "healthcheck": HEALTHCHECK, "resources": RESOURCES, "networks": mapped(ATTACHMENT, short=True),
     "network_mode": choice("bridge", "none", "host", what="network mode",
                            not_built={"service:": "use 'networks'", "container:": "use 'networks'"}),
     "endpoint_mode": choice("vip", "dnsrr", what="endpoint mode"),
     "extra_hosts": mapped(listed(kinds.address), short=True), "dns": listed(kinds.address), "dns_search": _TEXTS,
     "stop_signal": kinds.signal, "stop_grace_period": duration, "cap_add": listed(kinds.capability),
     "cap_drop": listed(kinds.capability),
     "security_opt": listed(kinds.security), "sysctls": mapped(kinds.sysctl, short=True),
     "ulimits": mapped(ULIMIT, keys="|".join(support.ULIMITS), what="limit", hint="as in 'nofile'"),
     "shm_size": size, "oom_score_adj": integer(0, 1000), "userns_mode": choice("", "host", what="mode"),
     "deploy": DEPLOY, "env_file": listed(ENV_FILE)},
    "a mapping with 'image'", ("image",), also=support.SERVICE_WRITTEN, words=support.SERVICE_WORDS,
    not_built=support.SERVICE_NOT_BUILT, not_built_hints=support.NOT_BUILT_HINTS, named=True, extensions=True,
    checked=("deploy", "env_file"),
)  # fmt: skip

NETWORK = Record(
    Network,
    {"internal": boolean, "subnet": kinds.subnet, "labels": _LABELS,
     "ipam": nothing(("config",), support.IPAM_NOT_BUILT,
                     config=listed(nothing(("subnet",), ("aux_addresses", "gateway", "ip_range"))))},
    "a mapping", not_built=support.NETWORK_NOT_BUILT, named=True, extensions=True, checked=("ipam",),
)  # fmt: skip


def _volume(**values: Any) -> Volume:
    """`name` in the file is the name on disk of an external volume, by default the key."""
    given = values.pop("given", None)
    external = values.get("external", False)
    return Volume(external_name=(given or values["name"]) if external else None, **values)


VOLUME = Record(
    _volume, {"external": boolean, "name": text, "labels": _LABELS}, "a mapping",
    not_built=support.VOLUME_NOT_BUILT, named=True, extensions=True, stored={"name": "given"},
)  # fmt: skip

TOP = Record(
    dict,
    {"name": text, "version": words,
     "images": mapped(IMAGE, keys=IMAGE_KEY, what="name of an image", hint="small letters, digits and . _ -"),
     "services": mapped(SERVICE, keys=KEY, what="name of a service", hint=KEY_HINT),
     "networks": mapped(NETWORK, keys=KEY, what="name of a network", hint=KEY_HINT),
     "volumes": mapped(VOLUME, keys=KEY, what="name of a volume", hint=KEY_HINT)},
    "a mapping with 'services'", not_built=support.TOP_NOT_BUILT, checked=("version",),
    words={"service": "the key is 'services'", "image": "the key is 'images'", "volume": "the key is 'volumes'"},
    extensions=True,
)  # fmt: skip


def validate(root: Node, reading: Reading) -> dict[str, Any]:
    """`{name, images, services, networks, volumes}` of the model, whatever of it is written."""
    reading.origins.add((), root)
    values: dict[str, Any] = TOP(root, (), reading)
    return values
