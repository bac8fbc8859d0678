"""Reserve a published port: a socket bound to it that never listens, so that no other program takes it meanwhile and a
taken one is noticed before anything is changed. The descriptor goes to the descriptor store; connections never reach it
while the firewall sends them on, and the kernel refuses them while no replica is ready.
"""

from __future__ import annotations

import errno
import socket

from stackup.errors import BadInput, Conflict, KernelError, StackupError
from stackup.linux import sockets
from stackup.runtime.network.values import Protocol


def reserve(host_ip: str, port: int, protocol: Protocol) -> tuple[socket.socket, int]:
    """A bound socket and its port; `port` 0 lets the kernel choose.

    Raises Conflict where somebody else holds it, BadInput where the host has no such address.
    """
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    bound = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
    try:
        # No SO_REUSEADDR: with it two reservations of one port would both succeed, as neither listens.
        bound.bind((host_ip, port))
    except OSError as error:
        bound.close()
        raise _explain(host_ip, port, protocol, error) from error
    return bound, int(bound.getsockname()[1])


def _explain(host_ip: str, port: int, protocol: Protocol, error: OSError) -> StackupError:
    what = f"{host_ip}:{port}/{protocol}"
    if error.errno == errno.EADDRINUSE:
        who = sockets.holder(host_ip, port, protocol)
        if who:
            return Conflict(f"port {what} is taken by {who}", hint="publish another one, or end that program")
        reason = "publish another one; who holds it does not listen (a stack of another stackup root?)"
        return Conflict(f"port {what} is taken", hint=reason)
    if error.errno == errno.EADDRNOTAVAIL:
        return BadInput(f"cannot publish on {what}: this host has no address {host_ip}", hint="use an address it has")
    hint = "ports below 1024 need root" if error.errno == errno.EACCES else None
    return KernelError.of(f"reserve port {what}", error, hint=hint)
