"""The kernel switches of a bridge, as values for `plan`, and what the host's own switches allow.

Only switches of our own bridges are ever written, and they die with the bridge. A global one (`net.ipv4.ip_forward`,
`net.bridge.bridge-nf-call-iptables`) is never changed: `way_out` says in words what the host lets through and what to
type. A packet is forwarded when the interface on which it *arrives* has `forwarding` on
(Documentation/networking/ip-sysctl.rst), so containers reach one another without the global switch.
"""

from __future__ import annotations

import os

from stackup.classes import dataclass
from stackup.errors import KernelError


@dataclass(frozen=True, slots=True)
class Sysctl:
    """`name` as a path below /proc/sys (`net/ipv4/conf/su3fa9c1n0/forwarding`), the value to write, and why."""

    name: str
    value: str
    why: str


def of_bridge(link: str) -> tuple[Sysctl, ...]:
    """What a bridge of ours needs. Nothing here reaches beyond that bridge."""
    ipv4 = f"net/ipv4/conf/{link}"
    return (
        Sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "1", "IPv6 is left out"),
        Sysctl(f"{ipv4}/forwarding", "1", "the host routes between containers"),
        Sysctl(f"{ipv4}/route_localnet", "1", "answers to ports published on 127.0.0.1 arrive here"),
        Sysctl(f"{ipv4}/accept_redirects", "0", "containers do not choose the host's routes"),
    )


def write(sysctls: tuple[Sysctl, ...], proc: str = "/proc") -> None:
    """Write them in the calling thread's network namespace. An IPv6 one is passed over where the kernel has no IPv6.

    Raises KernelError naming the switch.
    """
    for one in sysctls:
        path = f"{proc}/sys/{one.name}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, one.value.encode())
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            if one.name.startswith("net/ipv6/"):
                continue
            raise KernelError(f"switch {path} is missing", hint="is the interface still there?") from None
        except OSError as error:
            hint = "is /proc/sys mounted read-only?"
            raise KernelError.of(f"write {one.value} to {path}", error, hint=hint) from error


@dataclass(frozen=True, slots=True)
class Route:
    """A line of /proc/net/route: `subnet` "10.0.0.0/8" ("0.0.0.0/0" is the default route), through interface `link`."""

    link: str
    subnet: str


def routes(proc: str = "/proc") -> tuple[Route, ...]:
    """The main table's IPv4 routes of the calling thread's network namespace; also what `ipam.choose_subnet` avoids."""
    with open(f"{proc}/thread-self/net/route", encoding="ascii") as file:
        lines = file.read().splitlines()[1:]
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and int(fields[3], 16) & 1:  # RTF_UP
            length = int(fields[7], 16).bit_count()
            found.append(Route(fields[0], f"{_dotted(fields[1])}/{length}"))
    return tuple(found)


def foreign_subnets(root_id: str, proc: str = "/proc") -> tuple[str, ...]:
    """Subnets that this host routes elsewhere than to our own bridges: for `ipam`."""
    return tuple(r.subnet for r in routes(proc) if not r.link.startswith(f"su{root_id}n"))


@dataclass(frozen=True, slots=True)
class WayOut:
    """`open`: packets from other machines are forwarded, so containers reach the outside and it reaches ports published
    on "0.0.0.0". `reason`: a sentence for the user. `link`: the interface it is about, or None."""

    open: bool
    reason: str
    link: str | None = None

    def __bool__(self) -> bool:
        return self.open


def way_out(proc: str = "/proc") -> WayOut:
    """Whether the host forwards for its containers, judged at the interface of the default route (without one: at any
    interface towards other machines). Changes nothing."""
    known = routes(proc)
    default = [r.link for r in known if r.subnet == "0.0.0.0/0"]
    outside = default or sorted({r.link for r in known if r.link != "lo" and not _is_ours(r.link)})
    if not outside:
        return WayOut(False, "this host has no route to other machines, so neither have its containers")
    forwarding = [link for link in dict.fromkeys(outside) if _forwards(link, proc)]
    if forwarding:
        return WayOut(True, f"containers reach other machines through {forwarding[0]}", forwarding[0])
    link = outside[0]
    return WayOut(
        False,
        f"this host does not forward packets from {link}, so containers reach only this host and one another, and "
        f"published ports only this host; `sysctl -w net.ipv4.conf.{link}.forwarding=1` and another `stackup up` open "
        "the way",
        link,
    )


def bridge_netfilter(proc: str = "/proc") -> bool | None:
    """Whether `bridge-nf-call-iptables` is on; None where br_netfilter is not there. Both are fine: for `doctor`."""
    try:
        with open(f"{proc}/sys/net/bridge/bridge-nf-call-iptables", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return None


def _forwards(link: str, proc: str) -> bool:
    try:
        with open(f"{proc}/sys/net/ipv4/conf/{link}/forwarding", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def _is_ours(link: str) -> bool:
    """A bridge of any root of ours: `su` and six hex digits and `n`."""
    digits = link[2:8]
    return link.startswith("su") and len(digits) == 6 and link[8:9] == "n" and set(digits) <= set("0123456789abcdef")


def _dotted(little_endian: str) -> str:
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(little_endian)))
