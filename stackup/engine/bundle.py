"""Service + image config -> OCI runtime spec (runtime-spec 1.2, config.md and config-linux.md). Pure.

What the kernel or the disk must be asked (where a volume lies, who owns a bind source, our hard limits) comes in as
values. The root file system's mounts and the stdio travel beside the bundle, not in it. Defaults are Docker's.

Annotations that the runtime obeys: `stackup.user` (a name or id, resolved in the root file system), `stackup.seccomp`
(`default`, `no-setid` or `unconfined`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from stackup.engine.mounts import Source, mount_list
from stackup.errors import BadInput, Unsupported
from stackup.oci import Document
from stackup.runtime import capabilities
from stackup.runtime.idmap import IdMap
from stackup.spec.model import Service

NO_SETID = "no-setid"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CPU_PERIOD = 100_000  # microseconds

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_UNLIMITED = 2**64 - 1  # RLIM_INFINITY
_NOFILE = (1024, 524_288)  # what systemd gives a service: select(2) stays safe, and a program may ask for more


def bundle(
    service: Service, image_config: Document, *, container_id: str, hostname: str, idmap: IdMap | None,
    cgroup_path: str, sources: Mapping[str, Source] | None = None, etc: Mapping[str, str] | None = None,
    hard_limits: Mapping[str, int] | None = None, groups: Mapping[str, int] | None = None,
) -> Document:  # fmt: skip
    """The runtime spec of one container.

    `image_config`: the image's config document (image-spec config.md), with its "config" inside. `idmap` None: the
    service has `userns_mode: host`. `sources`: target -> where that mount comes from, for every volume and bind of the
    service and every anonymous volume of the image. `etc`: path inside -> file of ours (/etc/hosts ...).
    `hard_limits`: our own, by rlimit name in lower case (`nofile`), -1 for none. `groups`: name -> gid of the image's
    /etc/group, for names in `group_add` (`group_ids`).
    Raises BadInput where the file asks for what makes no sense, Unsupported for what is not built.
    """
    config = image_config.get("config") or {}
    options = _SecurityOptions(service)
    if options.seccomp == "default" and idmap is not None and writes_as_host_root(service, sources or {}):
        options.seccomp = NO_SETID
    annotations = {key: value for key, value in service.annotations.items() if not key.startswith("stackup.")}
    annotations |= {"stackup.container": container_id, "stackup.seccomp": options.seccomp}
    if user := (service.user if service.user is not None else config.get("User")):
        annotations["stackup.user"] = user
    spec: Document = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": service.read_only},
        "hostname": hostname,
        "process": {
            **_process(service, config, hostname, options, hard_limits or {}),
            "user": _user(service, groups or {}),
        },
        "mounts": mount_list(service, sources or {}, etc or {}, idmap),
        "linux": _linux(service, idmap, cgroup_path, options),
        "annotations": annotations,
    }
    if service.domainname:
        spec["domainname"] = service.domainname
    return spec


def writes_as_host_root(service: Service, sources: Mapping[str, Source]) -> bool:
    """Whether a writable bind source belongs to the host's root. There the container's root writes as the host's: a
    setuid file, or one with capabilities, that it leaves would make any user of the host root."""
    return any(
        not mount.read_only and (source := sources.get(mount.target)) is not None and 0 in (source.owner or ())
        for mount in service.volumes
    )


def arguments(service: Service, config: Document) -> list[str]:
    """argv by Docker's rules: an entrypoint of the service also drops the image's command.

    `config`: the inner "config" of the image. BadInput where nobody says what to run.
    """
    command = service.command
    if service.entrypoint is not None:
        argv = [*service.entrypoint, *(command or ())]
    else:
        rest = command if command is not None else config.get("Cmd") or ()
        argv = [*(config.get("Entrypoint") or ()), *rest]
    if not argv:
        raise BadInput(
            f"no command specified for service {service.name}",
            hint=f"set command: in services.{service.name} or in the image's config",
            resource=f"service:{service.name}",
        )
    return argv


def environment(service: Service, config: Document, hostname: str) -> dict[str, str]:
    """PATH, HOSTNAME and TERM (with a terminal), then the image's words, then the service's; None takes one away."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if service.tty:
        values["TERM"] = "xterm"
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        values[name] = value
    for name, wanted in service.environment.items():
        if wanted is None:
            values.pop(name, None)
        else:
            values[name] = wanted
    return values


def stop_signal(service: Service, image_config: Document) -> str:
    """`SIGTERM`, or what the service or else the image says; a name or a number, as written."""
    return service.stop_signal or (image_config.get("config") or {}).get("StopSignal") or "SIGTERM"


def resources(service: Service) -> Document:
    """`linux.resources`; a limit that is not named is none, also for an update (the control groups' rule)."""
    found: Document = {}
    limits, swap = service.resources, service.memswap_limit
    if swap is None:
        swap = limits.memory  # the same: no swap beside it
    memory = {"limit": limits.memory, "swap": swap, "reservation": service.mem_reservation}
    if kept := {key: value for key, value in memory.items() if value is not None}:
        found["memory"] = kept
    if limits.cpus is not None:
        found["cpu"] = {"quota": round(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD}
    if service.cpu_shares is not None:
        found["cpu"] = found.get("cpu", {}) | {"shares": service.cpu_shares}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    return found


def exec_process(
    spec: Document, argv: list[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None,
    tty: bool = False,
) -> Document:  # fmt: skip
    """The OCI process of a command that joins a container: what the service's own process has, with other arguments."""
    inherited = spec["process"]
    values = dict(entry.partition("=")[::2] for entry in inherited["env"])
    if tty:
        values.setdefault("TERM", "xterm")
    values.update(env or {})
    return {
        **inherited,
        "args": list(argv),
        "env": [f"{k}={v}" for k, v in values.items()],
        "cwd": cwd or inherited["cwd"],
        "terminal": tty,
    }


class _SecurityOptions:
    """`security_opt`, both `key:value` and `key=value`."""

    def __init__(self, service: Service) -> None:
        self.no_new_privileges = True
        self.seccomp = "default"
        self.system_paths = True
        for option in service.security_opt:
            key, _, value = option.replace("=", ":", 1).partition(":")
            if not self._set(key, value):
                raise BadInput(
                    f"services.{service.name}.security_opt: {option} is not supported",
                    hint="known: no-new-privileges[:true|false], seccomp:unconfined, systempaths:unconfined",
                    resource=f"service:{service.name}",
                )

    def _set(self, key: str, value: str) -> bool:
        if key == "no-new-privileges" and value in ("", "true", "false"):
            self.no_new_privileges = value != "false"
        elif key == "seccomp" and value in ("unconfined", "default"):
            self.seccomp = value
        elif key == "systempaths" and value == "unconfined":
            self.system_paths = False
        else:
            return False
        return True


def _process(
    service: Service, config: Document, hostname: str, options: _SecurityOptions, hard_limits: Mapping[str, int]
) -> Document:
    process: Document = {
        "terminal": service.tty,
        "args": arguments(service, config),
        "env": [f"{k}={v}" for k, v in environment(service, config, hostname).items()],
        "cwd": posixpath.join("/", service.working_dir or config.get("WorkingDir") or "/"),
        "capabilities": capabilities.oci(_capabilities(service, options)),
        "noNewPrivileges": options.no_new_privileges,
        "rlimits": _rlimits(service, hard_limits),
    }
    if service.oom_score_adj < 0:
        raise Unsupported(
            f"services.{service.name}.oom_score_adj: {service.oom_score_adj} would make the kernel spare it",
            hint="only 0 to 1000 are supported", resource=f"service:{service.name}",
        )  # fmt: skip
    if service.oom_score_adj:
        process["oomScoreAdj"] = service.oom_score_adj
    return process


def _capabilities(service: Service, options: _SecurityOptions) -> tuple[str, ...]:
    if options.seccomp != NO_SETID:
        return capabilities.compute(service.cap_add, service.cap_drop)
    if any(capabilities.normalize(name) == "CAP_SETFCAP" for name in service.cap_add):
        raise BadInput(
            f"services.{service.name}.cap_add: SETFCAP beside a writable bind source that belongs to root would make"
            " any user of this machine root",
            hint="mount it read-only, or use a volume", resource=f"service:{service.name}",
        )  # fmt: skip
    return capabilities.compute(service.cap_add, (*service.cap_drop, "CAP_SETFCAP"))


def _user(service: Service, known: Mapping[str, int]) -> Document:
    user: Document = {"uid": 0, "gid": 0}
    groups = []
    for group in service.group_add:
        number = int(group) if group.isdigit() else known.get(group)
        if number is None:
            raise BadInput(
                f"services.{service.name}.group_add: the image has no group {group}",
                hint="give a name of its /etc/group, or a number", resource=f"service:{service.name}",
            )  # fmt: skip
        groups.append(number)
    if groups:
        user["additionalGids"] = groups
    return user


def group_ids(text: str) -> dict[str, int]:
    """Name -> gid of a group(5) file; lines that cannot be read are passed over."""
    rows = (line.split(":") for line in text.splitlines())
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}


def _rlimits(service: Service, hard_limits: Mapping[str, int]) -> list[Document]:
    """Asked limits as they are, or an error where ours are lower: nobody without CAP_SYS_RESOURCE can raise them."""
    limits = {name: (u.soft, u.hard) for name, u in service.ulimits.items()}
    for name, asked in limits.items():
        ours = _plain(hard_limits.get(name, -1))
        if any(_plain(value) > ours for value in asked):
            raise Unsupported(
                f"services.{service.name}.ulimits.{name}: {max(asked, key=_plain)} is above this machine's hard limit"
                f" {ours}",
                hint="raise the limit of what starts stackup (LimitNOFILE= and its kin in systemd)",
                resource=f"service:{service.name}",
            )
    if "nofile" not in limits:
        ours = _plain(hard_limits.get("nofile", -1))
        limits["nofile"] = (min(_NOFILE[0], ours), min(_NOFILE[1], ours))
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": _plain(soft), "hard": _plain(hard)}
        for name, (soft, hard) in sorted(limits.items())
    ]


def _plain(limit: int) -> int:
    return _UNLIMITED if limit < 0 else limit


def _linux(service: Service, idmap: IdMap | None, cgroup_path: str, options: _SecurityOptions) -> Document:
    kinds = ["pid", "ipc", "uts", "mount", "cgroup"]
    if service.network_mode != "host":
        kinds.append("network")
    linux: Document = {
        "cgroupsPath": posixpath.join("/", cgroup_path),
        "resources": {**resources(service), "devices": _devices()},
        "sysctl": _sysctls(service),
        "maskedPaths": list(MASKED_PATHS) if options.system_paths else [],
        "readonlyPaths": list(READONLY_PATHS) if options.system_paths else [],
    }
    if idmap is not None:
        kinds.insert(0, "user")
        linux["uidMappings"] = idmap.oci()
        linux["gidMappings"] = idmap.oci()
    linux["namespaces"] = [{"type": kind} for kind in kinds]
    return linux


def _sysctls(service: Service) -> dict[str, str]:
    """Any user may bind any port inside, as with Docker; a shared network namespace is left alone."""
    found: dict[str, str] = {}
    if service.network_mode != "host":
        found["net.ipv4.ip_unprivileged_port_start"] = "0"
    found.update(service.sysctls)
    return found


def _devices() -> list[dict[str, Any]]:
    """The device control group's list: all denied but null, zero, full, random, urandom, tty, console, pts."""
    allowed = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, -1)]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for major, minor in allowed:
        rule = {"allow": True, "type": "c", "major": major, "access": "rwm"}
        rules.append(rule if minor < 0 else {**rule, "minor": minor})
    return rules
