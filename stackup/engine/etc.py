"""The files in a container's /etc that are ours: hosts, hostname, resolv.conf. `write` puts them into its folder.

With `network_mode: host` names are resolved as this machine does it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stackup.engine.records import ContainerRecord

if TYPE_CHECKING:
    from stackup.engine.world import World

_LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def write(world: World, record: ContainerRecord, hostname: str) -> dict[str, str]:
    """Path inside the container -> file of ours."""
    network = world.networks
    gateways = tuple(network.gateway(record.stack, key) for key in record.addresses)
    contents = {
        "hosts": hosts(record, hostname, gateways),
        "hostname": hostname + "\n",
        "resolv.conf": resolv_conf(record, gateways),
    }
    found: dict[str, str] = {}
    for name, content in contents.items():
        path = world.host.container(record.id, "etc", name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        os.write(descriptor, content.encode())
        os.close(descriptor)
        found[f"/etc/{name}"] = path
    return found


def hosts(record: ContainerRecord, hostname: str, gateways: tuple[str, ...]) -> str:
    """hosts(5): itself under each of its addresses, and `extra_hosts` (`host-gateway` is the bridge's address)."""
    domain = record.service.domainname
    names = f"{hostname}.{domain} {hostname}" if domain else hostname
    lines = [f"{address}\t{names}\n" for address in record.addresses.values()] or [f"127.0.1.1\t{names}\n"]
    for name, addresses in record.service.extra_hosts.items():
        for address in addresses:
            real = gateways[0] if address == "host-gateway" and gateways else address
            lines.append(f"{'127.0.0.1' if real == 'host-gateway' else real}\t{name}\n")
    return _LOCAL + "".join(lines)


def resolv_conf(record: ContainerRecord, gateways: tuple[str, ...]) -> str:
    """resolv.conf(5): the gateway answers for services and asks others for the rest; `dns` of the service wins."""
    service = record.service
    if service.network_mode == "host" and not service.dns:
        try:
            with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
                hosts_own = file.read()
        except OSError:
            return ""
        return hosts_own + (f"\noptions {' '.join(service.dns_opt)}\n" if service.dns_opt else "")
    servers = service.dns or gateways[:1]
    lines = [f"nameserver {server}\n" for server in servers]
    if service.dns_search:
        lines.append(f"search {' '.join(service.dns_search)}\n")
    if servers or service.dns_opt:
        lines.append(f"options {' '.join(('ndots:0', *service.dns_opt))}\n")  # of two for one thing the last counts
    return "".join(lines)
