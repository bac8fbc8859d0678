"""What the user should know about a plan besides its operations: what it opens, and what this machine keeps closed."""

from __future__ import annotations

import os

from stackup.planner.desired import Desired
from stackup.planner.exposure import exposures, touched
from stackup.planner.operations import CreateNetwork
from stackup.planner.plan import Plan
from stackup.runtime.network import sysctls


def opened(desired: Desired, plan: Plan) -> tuple[str, ...]:
    """What services get of this machine that containers do not have by themselves. Reads only."""
    return exposures(desired, plan, _owner)


def displaced(desired: Desired, plan: Plan, file: str | None) -> tuple[str, ...]:
    """Two projects of one name are one stack: the second takes the place of the first, which may be a surprise."""
    if file is None or file == desired.file or plan.empty:
        return ()
    return (f"stack {desired.stack} was brought up from {file}; this file takes its place (another name: stackup -p)",)


def _owner(path: str) -> str:
    """Of a folder, or of the nearest one above: who makes it is root."""
    try:
        uid = os.stat(path).st_uid
    except OSError:
        return "root (it is made)"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def closed(desired: Desired, plan: Plan, proc: str = "/proc") -> tuple[str, ...]:
    """Why packets do not get where the file means them to go; said when a network is made, or a port is opened.
    Reads only."""
    made = [desired.networks[o.key].network for o in plan.operations if isinstance(o, CreateNetwork)]
    opened = any(p.host_ip == "0.0.0.0" for s in touched(desired, plan) for p in s.ports)
    found = []
    way = sysctls.way_out(proc)
    if not way and (opened or (way.link and any(not n.internal for n in made))):
        found.append(way.reason)
    if made and (firewall := _other_firewall()):
        found.append(firewall)
    return tuple(found)


def _other_firewall() -> str | None:
    from stackup.linux import forwarding

    if chains := forwarding.closing():
        return (
            f"{'; '.join(chains)}, a firewall of somebody else, drops what is forwarded, so services do not reach one "
            f"another; `{forwarding.OPENING}` opens the way"
        )
    return None
