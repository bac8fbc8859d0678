"""What this kernel, user and machine can do, found out by trying: for `doctor`, and for the hints of errors.

Every probe runs in a forked child with namespaces of its own where it makes anything, so that nothing is left and a
crash or a hang of one says only that. Written is only below a temporary folder.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Callable

from stackup.classes import dataclass
from stackup.errors import StackupError
from stackup.linux import forwarding as others
from stackup.linux import probes, probes_mounts, probes_network
from stackup.linux.probes import Missing, Scene
from stackup.paths import Host

_SECONDS = 10  # a hang guard


@dataclass(frozen=True, slots=True)
class Feature:
    """`detail`: what was found. `degrades`: what does not work without it, `remedy`: what to type; both also filled
    where it is present. `needed`: no container runs without it."""

    name: str
    present: bool
    detail: str
    degrades: str
    remedy: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class _Probe:
    name: str
    try_it: Callable[[Scene], str]
    degrades: str
    remedy: str
    needed: bool = False


_NO_CONTAINER = "no container can be started"
_NO_NETWORK = "services have no network; network_mode: none and host work"

_AS_ROOT = "run stackup as root"
_REFUSALS = (os.strerror(errno.EPERM), os.strerror(errno.EACCES), "cannot be written")  # how a user is turned away

_PROBES: tuple[_Probe, ...] = (
    _Probe("privileges", probes.privileges, _NO_CONTAINER, _AS_ROOT, needed=True),
    _Probe("user namespaces", probes.user_namespace, _NO_CONTAINER, "see the detail; Linux 5.11 or newer", needed=True),
    _Probe("mount interface", probes_mounts.mount_interface, _NO_CONTAINER, "Linux 5.12 or newer", needed=True),
    _Probe("overlay in a user namespace", probes_mounts.overlay, _NO_CONTAINER,
           "modprobe overlay; Linux 5.11 or newer; put the root on ext4, xfs, btrfs or tmpfs (--root)", needed=True),
    _Probe("id-mapped mounts", probes_mounts.id_mapped_mount, _NO_CONTAINER,
           "Linux 5.12 or newer; put the root on ext4, xfs, btrfs or tmpfs (--root)", needed=True),
    _Probe("overlay over id-mapped layers", probes_mounts.overlay_over_id_mapped, _NO_CONTAINER,
           "Linux 5.19 or newer; put the root on ext4, xfs, btrfs or tmpfs (--root)", needed=True),
    _Probe("clone3", probes.clone3, _NO_CONTAINER, "Linux 5.3 or newer", needed=True),
    _Probe("openat2", probes.openat2, _NO_CONTAINER, "Linux 5.6 or newer", needed=True),
    _Probe("pidfd", probes.pidfd, _NO_CONTAINER, "Linux 5.4 or newer", needed=True),
    _Probe("exit status from a pidfd", probes.pidfd_info,
           "a container that ends while the spawner is dead has the exit status `unknown`", "Linux 6.15 or newer"),
    _Probe("seccomp filters", probes.seccomp, "services need security_opt: [seccomp=unconfined]",
           "a kernel with CONFIG_SECCOMP_FILTER", needed=True),
    _Probe("control groups", probes.control_groups, "resources: limits are refused, kills and statistics fail",
           "mount -t cgroup2 none /sys/fs/cgroup", needed=True),
    _Probe("birth in a control group", probes.clone_into_cgroup, "nothing where version 1 drives",
           "Linux 5.7 or newer and control groups version 2"),
    _Probe("sealed memory files", probes.memfd, "the interpreter is not shielded from containers",
           "a kernel with CONFIG_MEMFD_CREATE"),
    _Probe("veth", probes_network.veth, _NO_NETWORK, "modprobe veth", needed=True),
    _Probe("bridge", probes_network.bridge, _NO_NETWORK, "modprobe bridge", needed=True),
    _Probe("libnftables", probes_network.libnftables,
           "rules are loaded by the program nft: slower, and it must be installed", "apt install libnftables1"),
    _Probe("nf_tables", probes_network.nf_tables, "no published ports, no service addresses, no way out",
           "modprobe nf_tables nft_chain_nat nft_numgen nft_masq nft_fib_ipv4 nft_reject_ipv4 nft_ct", needed=True),
    _Probe("forwarding", probes_network.forwarding, "services reach one another but nothing beyond this machine",
           "sysctl -w net.ipv4.ip_forward=1"),
    _Probe("other firewalls", probes_network.other_firewalls, "services do not reach one another, nor other machines",
           others.OPENING),
    _Probe("bridge netfilter", probes_network.bridge_netfilter, "nothing: containers are routed, whatever it says",
           "nothing"),
    _Probe("libseccomp", probes.libseccomp, "nothing yet: the default profile is shipped compiled",
           "apt install libseccomp2"),
    _Probe("landlock", probes.landlock, "nothing yet", "a kernel with CONFIG_SECURITY_LANDLOCK in its lsm= list"),
)  # fmt: skip


def probe(host: Host | None = None) -> tuple[Feature, ...]:
    """Try everything, in the order in which things depend on one another; about a tenth of a second.

    `host`: whose root and control groups are meant; None: the defaults, with a temporary folder standing for the root.
    For a process with one thread, as each probe forks.
    """
    within = host.tmp if host is not None and os.path.isdir(host.tmp) else None
    folder = tempfile.mkdtemp(prefix="doctor-", dir=within)
    store = host.store if host is not None and os.path.isdir(host.store) else folder
    scene = Scene(folder, store, host.cgroup_fs if host is not None else "/sys/fs/cgroup")
    try:
        return tuple(_tried(each, scene) for each in _PROBES)
    finally:
        _remove(folder)


def _tried(each: _Probe, scene: Scene) -> Feature:
    present, detail = _in_child(lambda: each.try_it(scene))
    refused = not present and os.geteuid() != 0 and detail.endswith(_REFUSALS)
    return Feature(each.name, present, detail, each.degrades, _AS_ROOT if refused else each.remedy, each.needed)


def _in_child(work: Callable[[], str]) -> tuple[bool, str]:
    """(worked, what it said) of a function in a forked child, in a process group that is killed in the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reading)
        try:
            answer = (True, work())
        except Missing as reason:
            answer = (False, str(reason))
        except OSError as error:
            said = error.strerror or str(error)
            answer = (False, f"{error.filename}: {said}" if error.filename else said)
        except StackupError as error:
            answer = (False, error.message)
        except BaseException as error:
            answer = (False, f"{type(error).__name__}: {error}")
        os.write(writing, json.dumps(answer).encode()[:4096])
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], _SECONDS)
        data = os.read(reading, 4096) if ready else b""
    finally:
        os.close(reading)
        _end(child)
    if not data:
        return False, "the probe crashed" if ready else f"no answer within {_SECONDS} s"
    worked, said = json.loads(data)
    return bool(worked), str(said)


def _remove(folder: str) -> None:
    for path, names, _ in os.walk(folder):
        for name in names:
            os.chmod(os.path.join(path, name), 0o700)  # overlay makes its work folder without any right
    shutil.rmtree(folder)


def _end(child: int) -> None:
    for target in (-child, child):  # the group, where the child came far enough to make it
        try:
            os.kill(target, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    os.waitpid(child, 0)
