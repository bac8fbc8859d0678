"""`run`: a command in a sandbox on the layers so far; what it changes is the layer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from stackup.builder import changeset, snapshotter, upper
from stackup.builder.changeset import Digested, Ids
from stackup.builder.draft import Draft, Node, write
from stackup.builder.runner import StepRunner
from stackup.builder.store import trees
from stackup.builder.store.graph import Graph
from stackup.builder.view import View
from stackup.errors import ProgramFailed
from stackup.oci import Document
from stackup.paths import Host
from stackup.spec.layers import Run, describe

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LAST_LINES = 12
LONGEST_LINE = 1 << 16  # bytes; a step that never ends a line is cut into such pieces


def environment(base: Document) -> dict[str, str]:
    """What a command sees: the environment of the image's base, PATH where it has none, SOURCE_DATE_EPOCH."""
    env = {"PATH": PATH}
    for item in base.get("Env") or ():
        name, _, value = str(item).partition("=")
        env[name] = value
    env["SOURCE_DATE_EPOCH"] = str(changeset.epoch())
    return env


def working_folder(base: Document) -> str:
    return str(base.get("WorkingDir") or "/")


def instruction(layer: Run, base: Document) -> Document:
    """`base`: the `config` object of the base image's config."""
    return {
        "kind": "run", "command": list(layer.command), "network": layer.network, "environment": environment(base),
        "working folder": working_folder(base),
    }  # fmt: skip


def skeleton() -> Draft:
    """The lowest layer under a command: the places where the sandbox mounts. It never becomes part of an image."""
    empty = ("hosts", "hostname", "resolv.conf")
    etc = Node("folder", children={name: Node("file", 0o644) for name in empty})
    folders = {name: Node("folder") for name in ("dev", "proc", "sys")}
    return Draft(Node("folder", children={**folders, "etc": etc}))


def ensure_skeleton(host: Host, graph: Graph, folder: str, ids: Ids) -> str:
    """The diff ID of the skeleton, made where the store does not have it; `folder` is a scratch folder."""
    place = os.path.join(folder, "skeleton")
    found = write(skeleton(), place, ids)
    trees.commit(host, graph, place, found)
    return found.diff_id


def execute(
    layer: Run, *, host: Host, graph: Graph, folder: str, diff_ids: tuple[str, ...], base: Document,
    runner: StepRunner, say: Callable[[str], None], ids: Ids,
) -> tuple[str, Digested]:  # fmt: skip
    """Run the command; the folder that holds the layer's tree, and what it is.

    `folder`: a scratch folder. Raises ProgramFailed with the last lines where the command ends badly.
    """
    stage_ids = (ensure_skeleton(host, graph, folder, ids), *diff_ids)
    upper_folder, work = os.path.join(folder, "upper"), os.path.join(folder, "work")
    snapshotter.prepare(host, diff_ids or stage_ids, upper_folder, work)
    lines = _Lines(say)
    status = runner(
        rootfs=snapshotter.mounts(host, stage_ids, upper_folder, work), argv=layer.command, env=environment(base),
        cwd=working_folder(base), network=layer.network, output=lines.take,
    )  # fmt: skip
    lines.finish()
    if status != 0:
        raise _failure(layer, status, lines.last)
    image_view = View(snapshotter.lower_folders(host, diff_ids))
    upper.normalise(upper_folder, image_view, View(snapshotter.lower_folders(host, stage_ids)))
    return upper_folder, changeset.digest_tree(upper_folder, ids)


def _failure(layer: Run, status: int, last: list[str]) -> ProgramFailed:
    how = f"was killed by signal {status - 128}" if status > 128 else f"ended with status {status}"
    said = "; its last lines:" + "".join(f"\n  {line}" for line in last) if last else " and printed nothing"
    hints: Mapping[int, str] = {
        127: "the program is not in the image: add a layer that brings it",
        126: "the program cannot be executed: look at its mode and its first line",
    }
    return ProgramFailed(f"{describe(layer)}: {how}{said}", hint=hints.get(status))


class _Lines:
    """Bytes as they come -> whole lines; keeps the last ones."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._rest = say, b""
        self.last: list[str] = []

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._line(line)
        if len(self._rest) > LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        self.last = [*self.last[1 - LAST_LINES :], text]
        self._say(text)
