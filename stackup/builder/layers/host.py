"""`host`: programs of this machine with what they need, on a skeleton of a root file system."""

from __future__ import annotations

import json
import os
import time

from stackup import oci, programs
from stackup.builder.changeset import Ids
from stackup.builder.draft import Draft, Node, Source
from stackup.builder.inputs import Digester, Entry, Identity, Inputs
from stackup.builder.layers import bytecode
from stackup.builder.layers.closure import Collector, absent
from stackup.builder.layers.target import Placer, mode_of
from stackup.builder.store.graph import Graph
from stackup.builder.view import View
from stackup.oci import Document
from stackup.spec.layers import HostPrograms

CLOSURE_FORMAT = 1
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr where the machine is usr-merged
FOLDERS = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755, "sys": 0o555, "tmp": 0o1777,
    "usr": 0o755, "usr/bin": 0o755, "var": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def instruction(layer: HostPrograms) -> Document:
    skeleton = oci.digest(oci.canonical_json([FOLDERS, FILES, bytecode.FORMAT]))
    return {
        "kind": "host", "programs": sorted(layer.programs), "files": sorted(layer.files), "skeleton": skeleton,
    }  # fmt: skip


def read(layer: HostPrograms, graph: Graph, digester: Digester) -> Inputs:
    """All files and links of the layer, by their places in the image.

    Raises NotFound where a program or a library is missing, BadInput for `files:` that no image can hold.
    """
    request = _request(layer)
    if remembered := graph.closure(request):
        found = _still_true(json.loads(remembered))
        if found is not None:
            return found
    collector = Collector(digester)
    for name in MERGED:
        if os.path.islink(f"/{name}") and not os.readlink(f"/{name}").startswith("/"):
            collector.bring(f"/{name}")
    for name in sorted(layer.programs):
        collector.program(name)
    for path in sorted(layer.files):
        collector.files(path)
    collector.finish()
    found = Inputs(tuple(collector.entries[name] for name in sorted(collector.entries, key=os.fsencode)))
    digester.remember_closure(request, _plain(found, collector))
    return found


def _request(layer: HostPrograms) -> str:
    """What was asked, and which programs the names stand for now: another one earlier in the path asks anew."""
    where = {name: programs.find(name) for name in sorted(layer.programs)}
    for name, path in where.items():
        if path is None:
            raise absent(name)
    return oci.digest(oci.canonical_json([CLOSURE_FORMAT, where, sorted(layer.files)]))


def _plain(found: Inputs, collector: Collector) -> bytes | None:
    """The outcome as bytes; None where something is so new that it may change unseen."""
    watched = {path: list(identity) if identity else None for path, identity in collector.watched.items()}
    now = time.time()
    identities = [i for i in collector.watched.values() if i] + [e.identity for e in found.entries]
    if not all(i.settled(now) for i in identities):
        return None
    entries = [[e.name, e.kind, e.value, e.executable, e.path, *e.identity] for e in found.entries]
    return json.dumps({"watched": watched, "entries": entries}).encode()


def _still_true(plain: Document) -> Inputs | None:
    """The remembered outcome where everything looked at is what it was, else None."""
    try:
        for path, identity in plain["watched"].items():
            if identity is None:
                if os.path.exists(path):
                    return None
            elif Identity.of(os.stat(path)) != tuple(identity):
                return None
        entries = []
        for name, kind, value, executable, path, *identity in plain["entries"]:
            now = Identity.of(os.lstat(path))
            if now != tuple(identity):
                return None
            entries.append(Entry(name, kind, value, executable, path, now))
    except OSError:
        return None
    return Inputs(tuple(entries))


def draft(found: Inputs, view: View, ids: Ids) -> Draft:
    """The layer: the skeleton where the layers below have nothing, then what was found."""
    placer = Placer(view, ids)
    names = {entry.name: entry.kind for entry in found.entries}
    for name, mode in FOLDERS.items():
        if names.get(name, "folder") == "folder":
            placer.folder(tuple(name.split("/")), Node("folder", mode))
    for entry in found.entries:
        _place(placer, view, entry)
    for name, data in bytecode.compiled(found):
        if name not in names:
            placer.put(tuple(name.split("/")), Node("file", 0o644, content=data))
    for name, content in FILES.items():
        parts = tuple(name.split("/"))
        if name not in names and view.lookup(parts) is None:
            placer.put(parts, Node("file", 0o644, content=content.encode()))
    return placer.draft


def _place(placer: Placer, view: View, entry: Entry) -> None:
    parts = tuple(entry.name.split("/"))
    if entry.kind == "folder":
        placer.folder(parts, Node("folder"))
    elif entry.kind == "file":
        source = Source(entry.path, entry.identity)
        placer.put(parts, Node("file", mode_of(None, entry.executable), content=source))
    else:
        below = view.lookup(parts)
        if entry.name in MERGED and below and below.is_folder:
            return  # the image below is not usr-merged; files are brought by their real paths
        placer.put(parts, Node("link", 0o777, content=entry.value))
