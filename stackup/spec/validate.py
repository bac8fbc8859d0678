"""The tables of types: canonical nodes -> the dataclasses of `model`.

Written by hand and not with pydantic (docs/decisions.md): the short forms must be understood before a type can be
checked, so that little would be left for it to do; every message needs the position and the words of the file; and
importing it and building its classes costs about 120 ms at each start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stackup.spec import hints, kinds
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
from stackup.spec.origins import Origins
from stackup.spec.readers import (
    NUMERAL,
    TEXT,
    TEXT_OR_LIST,
    AnyReader,
    Reader,
    Reading,
    boolean,
    choice,
    duration,
    expected,
    inside,
    integer,
    listed,
    mapped,
    matching,
    mount_point,
    nullable,
    plain,
    reads,
    size,
    text,
    words,
    written,
)
from stackup.spec.records import Record
from stackup.spec.report import Report
from stackup.spec.suggest import did_you_mean

KEY = r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}"
KEY_HINT = "letters, digits and . _ - after the first, 63 at most"
# Names of services are names in DNS: no longer, and not beginning with a dot; one that begins with - is an option.
SERVICE_KEY = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,62}"
IMAGE_KEY = r"[a-z0-9][a-z0-9._-]{0,127}"
STACK_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
VARIABLE = r"[^=\0]*[^=\0\s]"
PROFILE = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"


def _only_checked(**_values: Any) -> None:
    """For keys whose values were put elsewhere before (`env_file` into `environment`)."""


_WORDS = listed(words)
_TEXTS = listed(text)
_TEXT_OR_LIST = written(listed(text, TEXT_OR_LIST), TEXT)
_COMMAND = written(listed(words, TEXT_OR_LIST), TEXT)
_LABELS = mapped(kinds.label, short=True)
_ENVIRONMENT = mapped(
    nullable(words), keys=VARIABLE, what="name of a variable", hint="no '=' in it, no blank at its end", short=True
)
_SAID = mapped(words, keys=VARIABLE, what="name of a variable", short=True)
_HOSTNAME = matching(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?", "host name", "letters, digits, - . and _")
_USER = matching(
    r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?", "user", "as in 'www-data' or '1000:1000'", words
)
_LINK = matching(
    r"[^:]+(:[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?)?", "link", "SERVICE, or SERVICE:ALIAS as in 'store:db'"
)  # fmt: skip
_RESOLVER = matching(r"\S+", "option of the resolver", "as in 'timeout:2'")
_EXPOSE = written(_TEXTS, {"type": "array", "items": NUMERAL})

HEALTHCHECK = Record(
    "healthcheck", Healthcheck,
    {"test": kinds.test, "interval": duration, "timeout": duration, "retries": integer(0, 1000),
     "start_period": duration, "start_interval": duration},
    "a mapping as in '{test: [CMD, ...]}'", written={"disable": boolean},
    words={"command": "the key is 'test'", "cmd": "the key is 'test'"},
)  # fmt: skip
CONFIG = Record(
    "config", ImageConfig,
    {"command": _COMMAND, "entrypoint": _COMMAND, "environment": _SAID, "working_dir": inside, "user": _USER,
     "labels": mapped(kinds.any_label, short=True), "stop_signal": kinds.signal, "expose": _EXPOSE,
     "volumes": listed(mount_point), "healthcheck": HEALTHCHECK},
    words=hints.CONFIG_WORDS,
)  # fmt: skip

_OWNED: dict[str, AnyReader] = {"owner": kinds.owner, "mode": kinds.octal}
_VARS = mapped(plain)
LAYERS = {
    "copy": Record("copy", Copy, {"source": kinds.nonempty(text), "target": inside, **_OWNED},
                   "'SOURCE:TARGET' or a mapping", ("source", "target"), words=hints.FILE_WORDS),
    "file": Record("file", File, {"target": inside, "content": text, **_OWNED},
                   "a mapping with 'target' and 'content'", ("target", "content"),
                   words=hints.FILE_WORDS | {"source": "that is the kind 'copy'"}),
    "template": Record("template", Template,
                       {"source": kinds.nonempty(text), "target": inside, "vars": _VARS, **_OWNED},
                       "'SOURCE:TARGET' or a mapping", ("source", "target"), words=hints.FILE_WORDS),
    "run": Record("run", Run, {"command": written(kinds.nonempty(_WORDS), TEXT),
                               "network": choice("none", "host", what="network")},
                  "text, a list or a mapping with 'command'", ("command",), words=hints.RUN_WORDS,
                  placeholders={"command": ()}),
    "host": Record("host", HostPrograms, {"programs": listed(kinds.program), "files": listed(inside)},
                   "a mapping as in '{programs: [sh]}'", words={"program": "the key is 'programs'"}),
}  # fmt: skip
_SHORT_LAYERS: dict[str, tuple[Any, ...]] = {"copy": (TEXT,), "template": (TEXT,), "run": (TEXT, _WORDS)}
_LAYER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {kind: {"anyOf": [record, *_SHORT_LAYERS.get(kind, ())]} for kind, record in LAYERS.items()},
    "oneOf": [{"required": [kind]} for kind in LAYERS], "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}  # fmt: skip


@reads(_LAYER_SCHEMA)
def layer(node: Node, path: Path, reading: Reading) -> Layer:
    """One layer: a mapping with a single key, its kind."""
    broken = Run(command=("true",))
    if not node.is_map or not node.items:
        hint = "as in 'run: make'" if node.value != "" else None
        expected(f"a layer ({', '.join(hints.LAYER_KINDS)})", node, reading, hint)
        return broken
    if len(node.items) > 1:
        known = [k for k in node.items if k in hints.LAYER_KINDS]
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
    record = LAYERS.get(kind)
    if record is None:
        hint = hints.LAYER_WORDS.get(kind.lower()) or did_you_mean(kind, hints.LAYER_KINDS)
        reading.report.problem(value, "unknown kind of layer", hint or f"known: {', '.join(LAYERS)}", at_key=True)
        return broken
    # The kind is no part of the canonical path: ("images", "web", "layers", 0, "target").
    made: Layer = record.read(value, path, reading)
    return made


IMAGE = Record(
    "image", Image, {"from": text, "layers": listed(layer), "config": CONFIG}, "a mapping with 'layers'",
    words=hints.IMAGE_WORDS | dict.fromkeys(CONFIG.fields, "put it under 'config'"), named=True,
    stored={"from": "base"},
)  # fmt: skip

RESOURCES = Record(
    "resources", Resources, {"memory": kinds.memory, "cpus": kinds.processors, "pids": kinds.pids},
    "a mapping with memory, cpus, pids", place="services.*.resources",
    words={"cpu": "the key is 'cpus'", "mem": "the key is 'memory'", "limits": "write memory, cpus and pids here",
           "reservations": "it stands under 'deploy.resources'"},
)  # fmt: skip
DEPENDENCY = Record(
    "dependency", Dependency,
    {"condition": choice("service_started", "service_healthy", "service_completed_successfully", what="condition"),
     "restart": boolean, "required": boolean},
    place="services.*.depends_on.*",
)  # fmt: skip
_PORT_NUMBER = integer(1, 65535, what="a port")
PORT = Record(
    "port", Port,
    {"target": _PORT_NUMBER, "published": written(integer(0, 65535, what="a port"), TEXT),
     "protocol": choice("tcp", "udp", what="protocol", not_built={"sctp": "write tcp or udp"}), "host_ip": text},
    "a port", ("target",), "services.*.ports[]", placeholders={"target": 1},
    words={"host": "the key is 'published'", "container": "the key is 'target'"},
)  # fmt: skip
BIND = Record("bind", dict, {}, place="services.*.volumes[].bind", written={"create_host_path": boolean})
VOLUME_MOUNT = Record("volume_mount", dict, {}, place="services.*.volumes[].volume", written={"nocopy": boolean})
TMPFS = Record("tmpfs", dict, {}, place="services.*.volumes[].tmpfs",
               written={"size": size, "mode": kinds.tmpfs_mode})  # fmt: skip
MOUNT = Record(
    "mount", VolumeMount,
    {"type": choice("volume", "bind", "tmpfs", what="kind of mount",
                    not_built={"image": "use volume or bind", "npipe": "Windows only", "cluster": "use volume"}),
     "source": text, "target": mount_point, "read_only": boolean, "nocopy": boolean, "create_host_path": boolean,
     "size": size, "mode": kinds.tmpfs_mode, "bind": BIND, "volume": VOLUME_MOUNT, "tmpfs": TMPFS},
    "a volume", ("type", "target"), "services.*.volumes[]", made=("nocopy", "create_host_path", "size", "mode"),
    words={"src": "the key is 'source'", "dst": "the key is 'target'", "ro": "the key is 'read_only'"},
    checked=("bind", "volume", "tmpfs"),
)  # fmt: skip
RESTART = Record(
    "restart_policy", Restart,
    {"policy": choice("no", "always", "on-failure", "unless-stopped", what="restart policy"),
     "max_attempts": integer(), "delay": duration, "window": duration},
    "a restart policy", place="services.*.deploy.restart_policy", made=("policy",),
    written={"condition": choice("none", "on-failure", "any", what="condition")},
)  # fmt: skip
ATTACHMENT = Record(
    "attachment", Attachment, {"aliases": listed(_HOSTNAME), "ipv4_address": kinds.ipv4},
    place="services.*.networks.*",
)  # fmt: skip
ULIMIT = Record(
    "ulimit", Ulimit, {"soft": integer(-1), "hard": integer(-1)}, "a number, or soft and hard", ("soft", "hard"),
    "services.*.ulimits.*", placeholders={"soft": 0, "hard": -1},
)  # fmt: skip
LIMITS = Record(
    "limits", dict, {}, place="services.*.deploy.resources.limits",
    written={"memory": kinds.memory, "cpus": kinds.processors, "pids": kinds.pids},
)  # fmt: skip
RESERVATIONS = Record(
    "reservations", dict, {}, place="services.*.deploy.resources.reservations",
    written={"memory": kinds.reservation},
)  # fmt: skip
DEPLOY_RESOURCES = Record(
    "deploy_resources", dict, {"limits": LIMITS, "reservations": RESERVATIONS}, place="services.*.deploy.resources"
)
DEPLOY = Record(
    "deploy", dict, {"resources": DEPLOY_RESOURCES}, place="services.*.deploy",
    written={"replicas": integer(0, 10_000), "endpoint_mode": choice("vip", "dnsrr", what="endpoint mode"),
             "restart_policy": RESTART},
)  # fmt: skip
ENV_FILE = Record(
    "env_file", _only_checked, {"path": text, "required": boolean, "format": choice("raw", what="format")},
    "a path", ("path",), "services.*.env_file[]",
)  # fmt: skip
EXTENDS = Record(
    "extends", _only_checked, {"service": text, "file": text}, "a service, or a mapping with 'service'", ("service",),
    "services.*.extends",
)  # fmt: skip
_RESTART_WORD = matching(
    r"no|always|unless-stopped|on-failure(?::[0-9]+)?", "restart policy", "as in 'always' or 'on-failure:5'"
)

SERVICE = Record(
    "service", Service,
    {"image": kinds.nonempty(text), "command": _COMMAND, "entrypoint": _COMMAND, "environment": _ENVIRONMENT,
     "working_dir": inside, "user": _USER, "group_add": _WORDS, "hostname": _HOSTNAME, "domainname": _HOSTNAME,
     "labels": _LABELS, "annotations": mapped(kinds.annotation, short=True), "attach": boolean,
     "replicas": integer(0, 10_000),
     "container_name": kinds.nonempty(
         matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "name of a container",
                  "two or more letters and digits, after the first also _ . -")
     ),
     "tty": boolean, "stdin_open": boolean, "read_only": boolean,
     "ports": listed(written(PORT, NUMERAL)),
     "expose": _EXPOSE, "volumes": listed(written(MOUNT, TEXT)),
     "depends_on": mapped(nullable(DEPENDENCY), short=True), "restart": Reader(RESTART.read, _RESTART_WORD.schema),
     "healthcheck": HEALTHCHECK, "resources": RESOURCES, "cpu_shares": kinds.shares,
     "mem_reservation": kinds.reservation, "memswap_limit": kinds.swap,
     "networks": mapped(nullable(ATTACHMENT), short=True),
     "network_mode": choice("bridge", "none", "host", what="network mode",
                            not_built={"service:": "use 'networks'", "container:": "use 'networks'"}),
     "endpoint_mode": choice("vip", "dnsrr", what="endpoint mode"),
     "extra_hosts": mapped(written(listed(kinds.address), TEXT), short=True),
     "dns": written(listed(kinds.address, TEXT_OR_LIST), TEXT), "dns_search": _TEXT_OR_LIST,
     "dns_opt": written(listed(_RESOLVER, TEXT_OR_LIST), TEXT),
     "stop_signal": kinds.signal, "stop_grace_period": duration, "cap_add": listed(kinds.capability),
     "cap_drop": listed(kinds.capability),
     "security_opt": listed(kinds.security), "sysctls": mapped(kinds.sysctl, short=True),
     "ulimits": mapped(written(ULIMIT, integer(-1)), keys="|".join(hints.ULIMITS), what="limit",
                       hint="as in 'nofile'"),
     "shm_size": size, "oom_score_adj": kinds.oom_score, "userns_mode": choice("", "host", what="mode"),
     "deploy": DEPLOY, "env_file": written(listed(written(ENV_FILE, TEXT), TEXT_OR_LIST), TEXT),
     "label_file": _TEXT_OR_LIST, "extends": written(EXTENDS, TEXT), "links": listed(kinds.nonempty(_LINK)),
     "volumes_from": listed(kinds.nonempty(text)),
     "profiles": listed(
         kinds.nonempty(matching(PROFILE, "name of a profile", "letters and digits, after the first also _ . -"))
     )},
    "a mapping with 'image'", ("image",), "services.*", excused=("build", "provider"),
    written={"scale": integer(0, 10_000), "mem_limit": kinds.memory, "cpus": kinds.processors, "pids_limit": kinds.pids,
             "tmpfs": _TEXT_OR_LIST},
    made=("endpoint_mode",), words=hints.SERVICE_WORDS, named=True,
    checked=("deploy", "env_file", "label_file", "extends", "volumes_from", "profiles"),
)  # fmt: skip

IPAM_CONFIG = Record(
    "ipam_config", dict, {}, place="networks.*.ipam.config[]",
    written={"subnet": kinds.subnet, "ip_range": kinds.address_range, "gateway": kinds.ipv4},
)  # fmt: skip
IPAM = Record("ipam", dict, {"config": listed(IPAM_CONFIG)}, place="networks.*.ipam")
NETWORK = Record(
    "network", Network,
    {"internal": boolean, "subnet": kinds.subnet, "ip_range": kinds.address_range, "gateway": kinds.ipv4,
     "labels": _LABELS, "ipam": IPAM},
    place="networks.*", named=True, checked=("ipam",), made=("ip_range", "gateway"),
)  # fmt: skip


def _volume(**values: Any) -> Volume:
    """`name` in the file is the name on disk; of an external volume it is the key where nothing is said."""
    given = values.pop("given", None)
    external = values.get("external", False)
    if external:
        return Volume(external_name=given or values["name"], **values)
    return Volume(own_name=given, **values)


_EXTERNAL = written(
    boolean,
    {"type": "object", "properties": {"name": text}, "patternProperties": {"^x-": {}}, "additionalProperties": False},
)
VOLUME = Record(
    "volume", _volume, {"external": _EXTERNAL, "name": matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", "name of a volume",
                                                                "letters, digits and _ . - after the first"),
                        "labels": _LABELS},
    place="volumes.*", named=True, stored={"name": "given"},
)  # fmt: skip
INCLUDE = Record(
    "include", _only_checked, {"path": _TEXT_OR_LIST, "project_directory": text, "env_file": _TEXT_OR_LIST},
    "a path, or a mapping with 'path'", ("path",), "include[]",
)  # fmt: skip

_EMPTY = {"type": "null"}
TOP = Record(
    "stack", dict,
    {"name": text, "include": listed(written(INCLUDE, TEXT)), "vars": _VARS,
     "images": mapped(IMAGE, keys=IMAGE_KEY, what="name of an image", hint="small letters, digits and . _ -"),
     "services": mapped(SERVICE, keys=SERVICE_KEY, what="name of a service",
                        hint="letters, digits and _, after the first also . and -, 63 at most"),
     "networks": mapped(written(NETWORK, _EMPTY), keys=KEY, what="name of a network", hint=KEY_HINT),
     "volumes": mapped(written(VOLUME, _EMPTY), keys=KEY, what="name of a volume", hint=KEY_HINT)},
    "a mapping with 'services'", checked=("include", "vars"),
    words={"service": "the key is 'services'", "image": "the key is 'images'", "volume": "the key is 'volumes'"},
)  # fmt: skip


def entries(lists: Mapping[tuple[str, str], Node], report: Report) -> None:
    """Report the mistakes in lists of services, by service and key, that are no part of the tree."""
    with report.without_warnings():
        for (service, key), node in lists.items():
            reader = SERVICE.fields.get(key) or SERVICE.written.get(key) or SERVICE.unheeded[key].reader
            reader.read(node, ("services", service, key), Reading(report, Origins()))


def validate(root: Node, reading: Reading) -> dict[str, Any]:
    """`{name, images, services, networks, volumes}` of the model, whatever of it is written; without the optional
    dependencies on services that are not in it."""
    reading.origins.add((), root)
    values: dict[str, Any] = TOP(root, (), reading)
    services = values.get("services", {})
    for name, service in services.items():
        needed = {n: d for n, d in service.depends_on.items() if d is None or d.required or n in services}
        if len(needed) < len(service.depends_on):
            services[name] = replace(service, depends_on=needed)
    return values
