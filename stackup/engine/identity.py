"""Where a root's pair works: boot id and mount, net and user namespace, in `run/identity.json`.

A root belongs to one set of namespaces at a time. From another one its records would be read against the wrong kernel
objects, so a CLI from elsewhere is refused with the reason.
"""

from __future__ import annotations

import json
import os

from stackup import paths
from stackup.errors import Conflict
from stackup.oci import Document
from stackup.paths import Host

_NAMESPACES = {"mnt": "mount", "net": "network", "user": "user"}


def version() -> str:
    from stackup import __version__

    return __version__


def boot_id(host: Host) -> str:
    with open(os.path.join(host.proc, "sys/kernel/random/boot_id"), encoding="ascii") as file:
        return file.read().strip()


def mine(host: Host) -> Document:
    """This process's identity: {"boot", "mnt", "net", "user"}; namespaces as `net:[4026531840]`."""
    return {"boot": boot_id(host), **{n: os.readlink(os.path.join(host.proc, "self/ns", n)) for n in _NAMESPACES}}


def _path(host: Host) -> str:
    return os.path.join(host.run, "identity.json")


def write(host: Host) -> None:
    value = {**mine(host), "pid": os.getpid()}
    paths.write_atomically(_path(host), json.dumps(value).encode())


def forget(host: Host) -> None:
    try:
        os.unlink(_path(host))
    except FileNotFoundError:
        pass


def check(host: Host) -> None:
    """Raises Conflict where a living pair of this root works in other namespaces than this process."""
    try:
        with open(_path(host), encoding="utf-8") as file:
            theirs = json.load(file)
    except (FileNotFoundError, ValueError):
        return
    ours = mine(host)
    if theirs.get("boot") != ours["boot"] or not os.path.exists(os.path.join(host.proc, str(theirs.get("pid")))):
        return  # an earlier boot, or a supervisor that is gone: whoever starts next checks what it finds
    different = [word for name, word in _NAMESPACES.items() if theirs.get(name) != ours[name]]
    if different:
        raise Conflict(
            f"the supervisor of {host.root} works in another {' and '.join(different)} namespace than this command",
            hint=f"run it there: nsenter -t {theirs.get('pid')} -m -n stackup ..., or use another --root here",
        )
