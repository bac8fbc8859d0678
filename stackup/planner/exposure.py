"""What a plan opens beyond its own containers, in words: ports, folders of the host, shared namespaces. Stdlib only.

Only of services that the plan makes, starts or changes; an empty plan exposes nothing new.
"""

from __future__ import annotations

from collections.abc import Callable

from stackup.planner.changes import place_of
from stackup.planner.desired import Desired
from stackup.planner.operations import CreateContainer, RestartContainer, StartContainer, UpdateContainer
from stackup.planner.plan import Plan
from stackup.spec.model import Service

Owner = Callable[[str], str]
"""Who owns a folder of the host, in words: `root`, `uid 1000`."""


def touched(desired: Desired, plan: Plan) -> tuple[Service, ...]:
    """The services that the plan does something to, in the file's order."""
    kinds = CreateContainer | StartContainer | RestartContainer | UpdateContainer
    names = {o.service for o in plan.operations if isinstance(o, kinds)}
    return tuple(s.service for name, s in desired.services.items() if name in names)


def exposures(desired: Desired, plan: Plan, owner: Owner) -> tuple[str, ...]:
    """A line each, with the place in the file."""
    found = []
    for service in touched(desired, plan):
        for field, text in _of(service, owner):
            place = place_of(f"service:{service.name}", field, desired.places)
            found.append(f"service:{service.name} {text}" + (f" ({place})" if place else ""))
    return tuple(found)


def _of(service: Service, owner: Owner) -> list[tuple[str, str]]:
    """(field, what it opens)."""
    found = []
    for number, port in enumerate(service.ports):
        what = f"port {port.published}" if port.published else "a port"
        what += "" if port.protocol == "tcp" else f"/{port.protocol}"
        if port.host_ip == "0.0.0.0":
            found.append((f"ports.{number}", f"opens {what} on every address of this machine"))
        elif not port.host_ip.startswith("127."):
            found.append((f"ports.{number}", f"opens {what} on {port.host_ip}"))
    real_root = service.userns_mode == "host"
    if real_root:
        found.append(("userns_mode", "has no user namespace of its own: its root is root of this machine"))
    for number, mount in enumerate(service.volumes):
        if mount.type == "bind" and not mount.read_only:
            who = "root of this machine" if real_root else f"its owner, {owner(mount.source)}"
            found.append((f"volumes.{number}", f"writes to {mount.source} as {who}"))
    if service.network_mode == "host":
        found.append(("network_mode", "shares this machine's network, its loopback included"))
    for number, option in enumerate(service.security_opt):
        if option.replace(":", "=") == "seccomp=unconfined":
            found.append((f"security_opt.{number}", "may make every system call"))
    if service.cap_add:
        found.append(("cap_add", f"has capabilities beyond the default: {', '.join(service.cap_add)}"))
    return found
