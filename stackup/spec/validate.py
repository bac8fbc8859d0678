"""The tables of types: canonical nodes -> the dataclasses of `model`.

Written by hand and not with pydantic (docs/decisions.md): the short forms must be understood before a type can be
checked, so that little would be left for it to do; every message needs the position and the words of the file; and
importing it and building its classes costs about 120 ms at each start.
"""

from __future__ import annotations

from typing import Any

from stackup.spec import support
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
from stackup.spec.nodes import Node, shorten
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


# --- values -----------------------------------------------------------------------------------------------------------


def _memory(node: Node, path: Path, reading: Reading) -> int:
    value: int = size(node, path, reading)
    if value < 1 << 20:
        hint = f"did you mean '{node.text}M'?" if node.text.isdecimal() and value else "a container needs some"
        reading.report.problem(node, f"{shorten(node.text)!r} is {value} bytes", hint)
    return value


def _pids(node: Node, path: Path, reading: Reading) -> int | None:
    if node.value in (-1, 0) and not isinstance(node.value, bool):
        return None
    value: int = integer(1, 1 << 22)(node, path, reading)
    return value


def _test(node: Node, path: Path, reading: Reading) -> tuple[str, ...]:
    value: tuple[str, ...] = listed(words, "text or a list")(node, path, reading)
    if value and value[0] not in ("NONE", "CMD", "CMD-SHELL"):
        reading.report.problem(node.list[0], f"{shorten(value[0])!r} begins no check", "begin with CMD or CMD-SHELL")
    elif value and value[0] != "NONE" and len(value) < 2:
        reading.report.problem(node, f"no command after {value[0]}")
    elif value and value[0] == "CMD-SHELL" and len(value) > 2:
        reading.report.problem(node, "CMD-SHELL takes one text", "write CMD for a list of words")
    return value


def _capability(node: Node, path: Path, reading: Reading) -> str:
    value = text(node, path, reading).upper()
    name = value.removeprefix("CAP_")
    if name == "ALL":
        return name
    if value and name not in support.CAPABILITIES:
        reading.report.problem(node, f"{node.value!r} is no capability", did_you_mean(name, support.CAPABILITIES))
    return f"CAP_{name}"


def _init(node: Node, path: Path, reading: Reading) -> bool:
    if boolean(node, path, reading):
        reading.report.problem(node, "an init process of our own is not built yet", "leave it out")
    return False


def _signal(node: Node, path: Path, reading: Reading) -> str:
    import signal

    value = words(node, path, reading).upper()
    name = value if value.startswith("SIG") else f"SIG{value}"
    known = {s.name for s in signal.Signals}
    if value.isdecimal() and 1 <= int(value[:4]) <= 64:
        return value
    if name.startswith(("SIGRTMIN+", "SIGRTMAX-")) and name[9:].isdecimal() and int(name[9:11]) <= 30:
        return name
    if value and name not in known:
        reading.report.problem(node, f"{shorten(node.text)!r} is no signal", did_you_mean(name, known))
    return name


def _sysctl(node: Node, path: Path, reading: Reading) -> str:
    name = str(path[-1])
    if not name.startswith(support.SYSCTLS):
        hint = "only net.*, fs.mqueue.* and kernel.{msg,shm,sem}* are a container's own"
        reading.report.problem(node, f"{shorten(name)!r} belongs to the whole machine", hint, at_key=True)
    return words(node, path, reading)


_SECURITY = ("no-new-privileges", "seccomp", "apparmor", "systempaths")


def _security(node: Node, path: Path, reading: Reading) -> str:
    value = text(node, path, reading)
    name, _, setting = value.partition("=")
    if name not in _SECURITY:
        if value:
            reading.report.problem(node, f"unknown security option {shorten(value)!r}", did_you_mean(name, _SECURITY))
    elif name == "apparmor":
        reading.report.problem(node, "an AppArmor profile is not built yet", "leave it out")
    elif name == "seccomp" and setting != "unconfined":
        reading.report.problem(node, "a seccomp profile of your own is not built yet", "write seccomp=unconfined")
    elif name == "systempaths" and setting != "unconfined":
        reading.report.problem(node, f"{shorten(value)!r} is no setting", "write systempaths=unconfined")
    elif name == "no-new-privileges" and setting not in ("", "true", "false"):
        reading.report.problem(node, f"{shorten(value)!r} is no setting", "write no-new-privileges=true")
    return value


def _address(node: Node, path: Path, reading: Reading) -> str:
    import ipaddress

    value = text(node, path, reading)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if value not in ("", "host-gateway"):
            reading.report.problem(node, f"{shorten(value)!r} is no address")
    return value


def _ipv4(node: Node, path: Path, reading: Reading) -> str:
    value = _address(node, path, reading)
    if ":" in value or value == "host-gateway":
        reading.report.problem(node, f"{shorten(value)!r} is no IPv4 address")
    return value


def _subnet(node: Node, path: Path, reading: Reading) -> str:
    import ipaddress

    value = text(node, path, reading)
    try:
        subnet = ipaddress.ip_network(value)
    except ValueError as error:
        reading.report.problem(
            node, f"{shorten(value)!r} is no subnet", "as in '10.90.0.0/24'" if value else str(error)
        )
        return "0.0.0.0/0"
    if subnet.version == 6:
        reading.report.problem(node, "an IPv6 subnet is not built yet")
    elif not 8 <= subnet.prefixlen <= 29:
        reading.report.problem(
            node, f"{value!r} is too {'small' if subnet.prefixlen > 29 else 'large'}", "from /8 to /29"
        )
    return value


def _octal(node: Node, path: Path, reading: Reading) -> str:
    written = node.text.removeprefix("0o") if isinstance(node.value, int | str) else ""
    if isinstance(node.value, bool) or not written or len(written) > 5 or written.strip("01234567"):
        expected("a mode in octal digits", node, reading, "as in '0644'")
        return "0644"
    return written.lstrip("0").zfill(4)


def _tmpfs_mode(node: Node, path: Path, reading: Reading) -> int:
    return int(_octal(node, path, reading), 8)


_OWNER = matching(r"[a-z_0-9][a-zA-Z0-9_.-]*(:[a-z_0-9][a-zA-Z0-9_.-]*)?", "owner", "as in '1000:1000'", words)


def _owner(node: Node, path: Path, reading: Reading) -> str:
    """`user` alone means the group of the same name or number."""
    value: str = _OWNER(node, path, reading)
    return value if ":" in value else f"{value}:{value}"


def _nonempty(reader: Reader) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> Any:
        value = reader(node, path, reading)
        if not value and node.value in ("", [], {}):
            reading.report.problem(node, "is empty")
        return value

    return read


def _label(node: Node, path: Path, reading: Reading) -> str:
    return "" if node.value is None else words(node, path, reading)


def _plain(node: Node, path: Path, reading: Reading) -> Any:
    return node.plain()


def environment_file(*, path: str = "", required: bool = True, format: str = "") -> None:
    """`env_file` is read into `environment` before; here its entries are only checked."""


# --- tables -----------------------------------------------------------------------------------------------------------

_WORDS = listed(words)
_TEXTS = listed(text)
_LABELS = mapped(_label, short=True)
_ENVIRONMENT = mapped(nullable(words), keys=VARIABLE, what="name of a variable", hint="it holds a '='", short=True)
_SAID = mapped(words, keys=VARIABLE, what="name of a variable", short=True)
_HOSTNAME = matching(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?", "host name", "letters, digits, - and .")
_USER = matching(
    r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?", "user", "as in 'www-data' or '1000:1000'", words
)

HEALTHCHECK = Record(
    Healthcheck,
    {"test": _test, "interval": duration, "timeout": duration, "retries": integer(0, 1000), "start_period": duration,
     "start_interval": duration},
    "a mapping with 'test'", also=("disable",),
    words={"command": "the key is 'test'", "cmd": "the key is 'test'"}, extensions=True,
)  # fmt: skip
CONFIG = Record(
    ImageConfig,
    {"command": _WORDS, "entrypoint": _WORDS, "environment": _SAID, "working_dir": inside, "user": _USER,
     "labels": _LABELS, "stop_signal": _signal, "expose": _TEXTS, "volumes": listed(mount_point),
     "healthcheck": HEALTHCHECK},
    "a mapping", words=support.CONFIG_WORDS, extensions=True,
)  # fmt: skip

_OWNED: dict[str, Reader] = {"owner": _owner, "mode": _octal}
_LAYERS = {
    "copy": Record(Copy, {"source": _nonempty(text), "target": inside, **_OWNED}, "'SOURCE:TARGET' or a mapping",
                   ("source", "target"), words=support.FILE_WORDS),
    "file": Record(File, {"target": inside, "content": text, **_OWNED}, "a mapping with 'target' and 'content'",
                   ("target", "content"), words=support.FILE_WORDS | {"source": "that is the kind 'copy'"}),
    "template": Record(Template, {"source": _nonempty(text), "target": inside, "vars": mapped(_plain), **_OWNED},
                       "'SOURCE:TARGET' or a mapping", ("source", "target"), words=support.FILE_WORDS),
    "run": Record(Run, {"command": _nonempty(_WORDS), "network": choice("none", "host", what="network")},
                  "text, a list or a mapping with 'command'", ("command",), words=support.RUN_WORDS,
                  placeholders={"command": ()}),
    "host": Record(HostPrograms, {"programs": _TEXTS, "files": listed(inside)},
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
    Resources, {"memory": _memory, "cpus": cores, "pids": _pids}, "a mapping with memory, cpus, pids",
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
     "size": size, "mode": _tmpfs_mode,
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
    Attachment, {"aliases": listed(_HOSTNAME), "ipv4_address": _ipv4}, "a mapping",
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
    {"image": _nonempty(text), "command": _WORDS, "entrypoint": _WORDS, "environment": _ENVIRONMENT,
     "working_dir": inside, "user": _USER, "group_add": _WORDS, "hostname": _HOSTNAME, "domainname": _HOSTNAME,
     "labels": _LABELS, "replicas": integer(0, 10_000),
     "container_name": matching(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", "name of a container", "letters, digits, _ . -"),
     "init": _init, "tty": boolean, "stdin_open": boolean, "read_only": boolean, "ports": listed(PORT),
     "expose": _TEXTS, "volumes": listed(MOUNT), "depends_on": mapped(DEPENDENCY, short=True), "restart": RESTART,
     "healthcheck": HEALTHCHECK, "resources": RESOURCES, "networks": mapped(ATTACHMENT, short=True),
     "network_mode": choice("bridge", "none", "host", what="network mode",
                            not_built={"service:": "use 'networks'", "container:": "use 'networks'"}),
     "endpoint_mode": choice("vip", "dnsrr", what="endpoint mode"),
     "extra_hosts": mapped(listed(_address), short=True), "dns": listed(_address), "dns_search": _TEXTS,
     "stop_signal": _signal, "stop_grace_period": duration, "cap_add": listed(_capability),
     "cap_drop": listed(_capability),
     "security_opt": listed(_security), "sysctls": mapped(_sysctl, short=True),
     "ulimits": mapped(ULIMIT, keys="|".join(support.ULIMITS), what="limit", hint="as in 'nofile'"),
     "shm_size": size, "oom_score_adj": integer(0, 1000), "userns_mode": choice("", "host", what="mode"),
     "deploy": DEPLOY, "env_file": listed(ENV_FILE)},
    "a mapping with 'image'", ("image",), also=support.SERVICE_WRITTEN, words=support.SERVICE_WORDS,
    not_built=support.SERVICE_NOT_BUILT, not_built_hints=support.NOT_BUILT_HINTS, named=True, extensions=True,
    checked=("deploy", "env_file"),
)  # fmt: skip

NETWORK = Record(
    Network,
    {"internal": boolean, "subnet": _subnet, "labels": _LABELS,
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
