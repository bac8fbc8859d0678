"""The stack as values, in canonical (long) form: frozen dataclasses, stdlib only.

`load` makes a Stack; the planner, the bundle and the records use these very types (through `stackup.values`). Names
are Compose's. Units: memory in bytes, cpus in cores, durations in seconds. Places in the file are kept beside the
values (`Loaded.origins`), never in them. Nothing is resolved against the machine, everything against the file:
defaults are filled in, synonyms (`replicas`/`scale`/`deploy.replicas`, `resources`/`deploy.resources.limits`/
`mem_limit` ...) are one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from stackup.classes import dataclass
from stackup.spec.layers import Layer
from stackup.spec.sources import Source as Source
from stackup.spec.sources import Variable as Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """`test` is argv in Compose's form: ("CMD", ...), ("CMD-SHELL", text) or ("NONE",). Durations in seconds."""

    test: tuple[str, ...] = ()
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says about how it is run; the service's own words win over it. None: not said."""

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str | None = None
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the file. `base` is the `from:` key: an image key of this file, or a reference, or None (scratch)."""

    name: str
    base: str | None = None
    layers: tuple[Layer, ...] = ()
    config: ImageConfig = ImageConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits of one container. memory in bytes, cpus in cores, pids a count; None: no limit."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A published port. `host_ip` is 127.0.0.1 unless the file says otherwise; `published` 0 lets us choose."""

    target: int
    published: int = 0
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """A mount of a service. `source`: volume key, absolute host path, or "" (anonymous volume, tmpfs). `name`: what the
    volume is called in the root where it is not `<stack>_<key>`; the planner fills it in."""

    type: Literal["volume", "bind", "tmpfs"]
    source: str = ""
    target: str
    read_only: bool = False
    name: str | None = None
    nocopy: bool = False
    create_host_path: bool = True
    size: int | None = None
    mode: int | None = None


Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    condition: Condition = "service_started"
    restart: bool = False
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """`max_attempts` 0: without end. `delay` and `window` in seconds; delay doubles with each quick failure."""

    policy: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    max_attempts: int = 0
    delay: float = 0.1
    window: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A service on a network."""

    aliases: tuple[str, ...] = ()
    ipv4_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service. `image` as the file has it. None: the image's word counts.

    `environment` values of None are taken away from the image's environment. `links`: SERVICE or SERVICE:ALIAS.
    `annotations` go into the runtime spec. Without `attach` `up --foreground` does not show its output.
    `mem_reservation` in bytes; `memswap_limit`: memory and swap together, -1: as much swap as there is, None: no swap.
    """

    name: str
    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    working_dir: str | None = None
    user: str | None = None
    group_add: tuple[str, ...] = ()
    hostname: str | None = None
    domainname: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    attach: bool = True
    replicas: int = 1
    container_name: str | None = None
    tty: bool = False
    stdin_open: bool = False
    read_only: bool = False
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    restart: Restart = Restart()
    healthcheck: Healthcheck | None = None
    resources: Resources = Resources()
    cpu_shares: int | None = None
    mem_reservation: int | None = None
    memswap_limit: int | None = None
    networks: Mapping[str, Attachment] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    network_mode: Literal["bridge", "none", "host"] = "bridge"
    endpoint_mode: Literal["vip", "dnsrr"] = "vip"
    extra_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    stop_signal: str | None = None
    stop_grace_period: float = 10.0
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    shm_size: int | None = None
    oom_score_adj: int = 0
    userns_mode: Literal["", "host"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`subnet` "10.89.3.0/24" or None: taken from the ledger. `ip_range`: the part of it that addresses are taken from;
    `gateway`: the bridge's own, None: the subnet's first. `internal`: no way out."""

    name: str
    internal: bool = False
    subnet: str | None = None
    ip_range: str | None = None
    gateway: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A named volume; on disk it is `own_name`, else `<stack>_<key>`; where it is `external`, `external_name`."""

    name: str
    external: bool = False
    external_name: str | None = None
    own_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A whole stack. `folder` is absolute: sources start there. `networks` holds `default` where it is used.

    `inactive`: services that their profiles switch off; they are not among `services`, and what runs of them stays.
    """

    name: str
    folder: str
    file: str
    images: Mapping[str, Image] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    inactive: tuple[str, ...] = ()


Path = tuple[str | int, ...]
"""Where a value sits in the canonical stack: ("services", "web", "resources", "memory")."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stack and what was learned on the way to it.

    `origins`: canonical path -> (file as shown, line, column). `sources`: canonical path -> the variables that the
    value was made of. `warned`: canonical path -> the plain value of a key that has no effect yet; `extensions`: that
    of a key `x-*`. `variables`: all that the files mention. `files`: every file that was read, as shown, and `lines`
    their texts. `profiles`: all that are declared. `dialect`: whose words the first file speaks. `switched_off`: a
    service that its profiles switch off -> those.
    """

    stack: Stack
    origins: Mapping[Path, tuple[str, int, int]]
    warnings: tuple[str, ...] = ()
    raw: Any = None
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sources: Mapping[Path, tuple[Source, ...]] = field(default_factory=dict)
    warned: Mapping[Path, Any] = field(default_factory=dict)
    extensions: Mapping[Path, Any] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    dialect: Literal["stack", "compose"] = "stack"
    switched_off: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
