"""What stackup does with each key of the service language, as data: the one table of statuses.

    obeyed     it does what the language says
    warned     accepted, checked and printed by `config`; a warning says that it has no effect (yet)
    rejected   an error, because to go on without it would do harm or be untrue about data or identity

A key is written as in the file, `*` for a name that the user chooses and `[]` for the items of a list. What stands
below a warned or rejected key has the status of that key. Values that stackup follows anyway (`privileged: false`) are
said by the tables of types; other tools' words for a key lie in `hints`. A test holds this table against all keys of
the Compose specification and against the tables of types.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple

Status = Literal["obeyed", "warned", "rejected"]


class Support(NamedTuple):
    """`why` completes "has no effect yet: ..." for a warned key, and is the message for a rejected one; for an obeyed
    one it says which values are."""

    status: Status
    why: str = ""
    hint: str | None = None
    for_good: bool = False  # it will never have an effect


OBEYED: Mapping[str, str] = {
    "": "name include services networks volumes",
    "include[]": "path project_directory env_file",
    "services.*": (
        "image command entrypoint environment env_file working_dir user group_add hostname domainname labels "
        "annotations attach label_file container_name tty stdin_open read_only stop_signal stop_grace_period "
        "profiles extends scale cpus cpu_shares mem_limit mem_reservation memswap_limit pids_limit ulimits "
        "shm_size oom_score_adj depends_on restart healthcheck deploy "
        "networks network_mode ports expose extra_hosts dns dns_search dns_opt links volumes volumes_from tmpfs "
        "cap_add cap_drop security_opt sysctls userns_mode"
    ),
    "services.*.env_file[]": "path required format",
    "services.*.extends": "service file",
    "services.*.ulimits.*": "soft hard",
    "services.*.depends_on.*": "condition restart required",
    "services.*.healthcheck": "test interval timeout retries start_period start_interval disable",
    "services.*.deploy": "replicas endpoint_mode resources restart_policy",
    "services.*.deploy.resources": "limits reservations",
    "services.*.deploy.resources.limits": "cpus memory pids",
    "services.*.deploy.resources.reservations": "memory",
    "services.*.deploy.restart_policy": "condition delay max_attempts window",
    "services.*.networks.*": "aliases ipv4_address",
    "services.*.ports[]": "target published host_ip protocol",
    "services.*.volumes[]": "type source target read_only bind volume tmpfs",
    "services.*.volumes[].bind": "create_host_path",
    "services.*.volumes[].volume": "nocopy",
    "services.*.volumes[].tmpfs": "size mode",
    "networks.*": "internal ipam labels",
    "networks.*.ipam": "config",
    "networks.*.ipam.config[]": "subnet ip_range gateway",
    "volumes.*": "name external labels",
    "volumes.*.external": "name",
}

# Keys that only a stack.yaml has.
OURS: Mapping[str, str] = {
    "": "images vars",
    "services.*": "replicas resources",
    "services.*.resources": "memory cpus pids",
    "networks.*": "subnet",
}

# Obeyed keys of which some values are not: what is.
NOTES: Mapping[str, Mapping[str, str]] = {
    "services.*": {
        "mem_reservation": "as the container's own group has it: a soft limit in version 1, memory.low in version 2",
        "network_mode": "none, host and bridge",
        "oom_score_adj": "from 0 to 1000; below 0 is read as 0",
        "security_opt": "no-new-privileges, seccomp=unconfined, systempaths=unconfined; SELinux labels are ignored",
        "stdin_open": "together with tty",
        "sysctls": "those of the container's own namespaces",
    },
    "services.*.ports[]": {"host_ip": "IPv4 addresses", "protocol": "tcp and udp"},
    "services.*.volumes[]": {"type": "volume, bind and tmpfs"},
    "networks.*.ipam": {"config": "one subnet"},
    "networks.*.ipam.config[]": {"subnet": "of IPv4, from /8 to /29"},
}

_DEVICES = "no device of the machine is passed on"
_QUOTA = "stackup does not set this limit"
_ONE_MACHINE = "there is one machine"
_ROLLING = "replicas are replaced one after the other"
_OWN_NAMESPACE = "each container has its own"
_HOOK = "no hook is run"
_IPV6 = "networks have IPv4 addresses only"
_REALTIME = "control groups of version 2 have no such limit"
_MODEL = "no language model is run"

WARNED: Mapping[str, Mapping[str, str]] = {
    "": {
        "secrets": "no secret is handed to a service",
        "configs": "no config is handed to a service",
        "models": _MODEL,
    },
    "services.*": {
        "blkio_config": _QUOTA,
        "cgroup": _OWN_NAMESPACE,
        "cgroup_parent": "control groups lie below stackup's own",
        "configs": "no config is handed to the service",
        "cpu_count": _QUOTA,
        "cpu_percent": _QUOTA,
        "cpu_period": "write the same as 'cpus'",
        "cpu_quota": "write the same as 'cpus'",
        "cpuset": _QUOTA,
        "develop": "files are not watched",
        "device_cgroup_rules": _DEVICES,
        "devices": _DEVICES,
        "external_links": "services know those of their own stack",
        "gpus": _DEVICES,
        "init": "the program itself is process 1",
        "ipc": _OWN_NAMESPACE,
        "logging": "output is kept by stackup, see `stackup logs`",
        "mac_address": "addresses of links are derived",
        "models": _MODEL,
        "pid": _OWN_NAMESPACE,
        "platform": "an image is run as it is",
        "post_start": _HOOK,
        "pre_start": _HOOK,
        "pre_stop": _HOOK,
        "pull_policy": "no image is pulled",
        "pull_refresh_after": "no image is pulled",
        "runtime": "stackup starts containers itself",
        "secrets": "no secret is handed to the service",
        "storage_opt": "the writable layer has no limit",
        "use_api_socket": "there is no such socket",
        "uts": _OWN_NAMESPACE,
    },
    "services.*.deploy": {
        "labels": "labels belong to containers",
        "mode": "a service has its replicas, on one machine",
        "placement": _ONE_MACHINE,
        "rollback_config": _ROLLING,
        "update_config": _ROLLING,
    },
    "services.*.deploy.resources.reservations": {
        "cpus": "no processor time is reserved; 'cpu_shares' weighs it",
        "devices": _DEVICES,
        "generic_resources": _ONE_MACHINE,
    },
    "services.*.networks.*": {
        "driver_opts": "there is one driver",
        "gw_priority": "the first network has the way out",
        "interface_name": "interfaces are numbered: eth0, eth1",
        "ipv6_address": _IPV6,
        "link_local_ips": "a container has one address a network",
        "mac_address": "addresses of links are derived",
        "priority": "networks are joined in the order of the file",
    },
    "services.*.ports[]": {"mode": "a published port belongs to the service and is spread over its replicas"},
    "services.*.volumes[].bind": {"propagation": "what is mounted later on one side is not seen on the other"},
    "services.*.volumes[].volume": {"labels": "write them under the top-level 'volumes'"},
    "networks.*": {
        "attachable": "only services join a network",
        "driver": "every network is a bridge",
        "driver_opts": "every network is a bridge",
        "enable_ipv4": _IPV6,
        "enable_ipv6": _IPV6,
        "name": "a network belongs to its stack and goes by its key",
    },
    "networks.*.ipam": {"driver": "stackup hands out the addresses", "options": "stackup hands out the addresses"},
    "networks.*.ipam.config[]": {
        "aux_addresses": "stackup hands out the addresses",
    },
}

# The same, where no later version will do otherwise.
WITHOUT_EFFECT: Mapping[str, Mapping[str, str]] = {
    "": {"version": "it can go"},
    "services.*": {
        "cpu_rt_period": _REALTIME,
        "cpu_rt_runtime": _REALTIME,
        "credential_spec": "it is for Windows",
        "isolation": "it is for Windows",
        "mem_swappiness": _REALTIME,
        "oom_kill_disable": _REALTIME,
    },
    "services.*.ports[]": {"app_protocol": "it is a comment", "name": "it is a comment"},
    "services.*.volumes[]": {"consistency": "it is for macOS"},
    "services.*.volumes[].bind": {"selinux": "stackup sets no SELinux labels"},
}

# key -> (message, hint)
REJECTED: Mapping[str, Mapping[str, tuple[str, str | None]]] = {
    "services.*": {
        "build": (
            "building from a Dockerfile is not built yet",
            "describe the image under 'images' of a stack.yaml and name it in 'image'",
        ),
        "privileged": ("no container gets all rights of the machine", "name what it needs in 'cap_add'"),
        "provider": ("services of other programs are not built yet", "start it yourself and leave this service out"),
    },
    "services.*.volumes[]": {"image": ("mounting an image is not built yet", "copy its files with 'images'")},
    "services.*.volumes[].bind": {
        "recursive": ("folders mounted below the source always come along, with the same rights", "leave it out"),
    },
    "services.*.volumes[].volume": {
        "subpath": ("mounting a part of a volume is not built yet", "give that part a volume of its own"),
    },
    "networks.*": {
        "external": ("networks from outside the stack are not built yet", "services of one stack share its networks"),
    },
    "volumes.*": {
        "driver": ("only the driver 'local' is built", "the data would lie elsewhere than the file says"),
        "driver_opts": ("options of a volume's driver are not built yet", "for a folder write './folder:/path'"),
    },
}  # fmt: skip


def below(place: str, key: str) -> str:
    """The path of a key that stands at `place`."""
    return f"{place}.{key}" if place else key


def at(place: str, key: str) -> Support:
    """The entry of a key that is not obeyed. KeyError where the table has none."""
    if (why := WARNED.get(place, {}).get(key)) is not None:
        return Support("warned", why)
    if (why := WITHOUT_EFFECT.get(place, {}).get(key)) is not None:
        return Support("warned", why, for_good=True)
    message, hint = REJECTED[place][key]
    return Support("rejected", message, hint)


def told(entry: Support) -> str:
    """What the warning for a key says."""
    return f"has no effect{'' if entry.for_good else ' yet'}: {entry.why}"


@functools.cache
def table() -> Mapping[str, Support]:
    """Path -> what stackup does with it, in the order of the alphabet. ValueError for a key with two statuses."""
    found: dict[str, Support] = {}

    def add(place: str, key: str, entry: Support) -> None:
        path = below(place, key)
        if path in found:
            raise ValueError(f"{path} has two statuses")
        found[path] = entry

    for listed in (OBEYED, OURS):
        for place, keys in listed.items():
            for key in keys.split():
                note = "only in a stack file" if listed is OURS else NOTES.get(place, {}).get(key, "")
                add(place, key, Support("obeyed", note))
    for section in (WARNED, WITHOUT_EFFECT, REJECTED):
        for place, reasons in section.items():
            for key in reasons:
                add(place, key, at(place, key))
    return dict(sorted(found.items()))


def status(path: str) -> Support | None:
    """What stackup does with the key at `path`; None where the language has no such key.

    What stands below a key that is not obeyed shares its status.
    """
    known = table()
    if (entry := known.get(path)) is not None:
        return entry
    while "." in path:
        path = path.rpartition(".")[0].removesuffix(".*").removesuffix("[]")
        if (entry := known.get(path)) is not None:
            return entry if entry.status != "obeyed" else None
    return None
