"""What a changed field of a service asks for, as data. Stdlib only.

    live     applied to the running container: same process
    restart  a new process on the same root file system and addresses
    replace  a new container
    none     nothing to do to a container: it orders the work, or is counted, or is compared elsewhere

Keys are dotted names as changes carry them, `*` standing for the key of a mapping. A nested value has a verdict of its
own as a whole, used where it appears or goes away altogether. A test walks `spec.model.Service` against this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Verdict = Literal["live", "restart", "replace", "none"]

VERDICTS: Mapping[str, Verdict] = {
    "name": "none",  # the address itself: another name is another service
    "image": "none",  # the digest decides, not what the image is called
    # What the process is started with.
    "command": "restart",
    "entrypoint": "restart",
    "environment.*": "restart",
    "working_dir": "restart",
    "user": "restart",
    "group_add": "restart",
    "hostname": "restart",
    "domainname": "restart",
    "tty": "restart",
    "stdin_open": "restart",
    "read_only": "restart",
    "extra_hosts.*": "restart",
    "dns": "restart",
    "dns_search": "restart",
    "dns_opt": "restart",
    "cap_add": "restart",
    "cap_drop": "restart",
    "security_opt": "restart",
    "sysctls.*": "restart",
    "ulimits.*": "restart",
    "ulimits.*.soft": "restart",
    "ulimits.*.hard": "restart",
    "shm_size": "restart",
    "oom_score_adj": "restart",
    # What stackup itself does around the process.
    "labels.*": "live",
    "annotations.*": "restart",  # the runtime spec is written when a process is made
    "container_name": "live",
    "ports": "live",  # rules of the firewall; a published port belongs to the service
    "endpoint_mode": "live",
    "restart": "live",
    "restart.policy": "live",
    "restart.max_attempts": "live",
    "restart.delay": "live",
    "restart.window": "live",
    "healthcheck": "live",  # the supervisor asks with the new words from now on
    "healthcheck.test": "live",
    "healthcheck.interval": "live",
    "healthcheck.timeout": "live",
    "healthcheck.retries": "live",
    "healthcheck.start_period": "live",
    "healthcheck.start_interval": "live",
    "stop_signal": "live",
    "stop_grace_period": "live",
    "resources": "live",  # written to the control group
    "resources.memory": "live",
    "resources.cpus": "live",
    "resources.pids": "live",
    "cpu_shares": "live",
    "mem_reservation": "live",
    "memswap_limit": "live",
    "networks.*.aliases": "live",  # a view of the name server
    "links": "live",
    # What the container is made of.
    "volumes": "replace",
    "networks.*": "replace",
    "networks.*.ipv4_address": "replace",
    "network_mode": "replace",
    "userns_mode": "replace",  # the writable tree lies on disk under the ids of its map
    # What orders or counts.
    "replicas": "none",
    "expose": "none",
    "attach": "none",
    "depends_on.*": "none",
    "depends_on.*.condition": "none",
    "depends_on.*.restart": "none",
    "depends_on.*.required": "none",
}

_WEIGHT: Mapping[Verdict, int] = {"none": 0, "live": 1, "restart": 2, "replace": 3}


def heaviest(verdicts: list[Verdict]) -> Verdict:
    """The one that covers them all; `none` for an empty list."""
    return max(verdicts, key=_WEIGHT.__getitem__, default="none")
