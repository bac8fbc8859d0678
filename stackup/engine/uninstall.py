"""What a root holds, and taking the whole of it away."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext

from stackup import paths
from stackup.engine import client, verbs
from stackup.errors import Conflict, KernelError
from stackup.events import Reporter
from stackup.paths import Host

_PATIENCE = 10.0  # seconds that a pair has to end


def holdings(host: Host) -> tuple[str, ...]:
    """A line for each thing that goes: stacks, images, volumes, the root. Reads only."""
    from stackup.builder.store.graph import reading
    from stackup.engine import records

    state = records.read(host)
    with state or nullcontext():
        volumes = state.volumes() if state else ()
    with reading(host) as graph:
        images = sorted(name for digest in graph.images() for name in graph.names(digest))
    return (
        *(f"stack {row.name}, {row.running} of {row.wished} replicas running" for row in verbs.ls(host.root)),
        *(f"image {name}" for name in images),
        *(f"volume {volume.name} with its data" for volume in volumes),
        f"root {host.root}",
    )


def run(host: Host, report: Reporter) -> None:
    """Take every stack down with its volumes, end the pair where it stays (`supervise`), remove the folder."""

    for row in verbs.ls(host.root):
        verbs.down(host.root, row.name, volumes=True, report=report)
    _end_pair(host)
    try:
        # `format` last: as long as it is there, this is a root, and an interrupted uninstall can be run again.
        for entry in sorted(os.scandir(host.root), key=lambda e: e.name == "format"):
            if entry.is_dir(follow_symlinks=False):
                paths.remove_tree(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(host.root)
    except OSError as error:
        raise KernelError.of(f"remove {error.filename or host.root}", error) from error


def _end_pair(host: Host) -> None:
    """A pair without stacks leaves by itself; one in the foreground is told to."""
    connection = client.connect(host)
    if connection is None:
        return
    with connection:
        spawner = int(connection.server["spawner"])
        with open(os.path.join(host.proc, str(spawner), "cmdline"), "rb") as file:
            if b"--foreground" in file.read().split(b"\0"):
                os.kill(spawner, signal.SIGTERM)
    if not client.wait_process(spawner, _PATIENCE):
        raise Conflict(f"another command still uses {host.root}", hint="end it, then run the command again")
