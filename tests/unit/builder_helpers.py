"""What the builder's tests share: a root, a project, a runner that edits the upper folder instead of running."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stackup import paths
from stackup.builder import build as builder
from stackup.builder.changeset import Ids
from stackup.events import Event
from stackup.oci import Mount
from stackup.paths import Host
from stackup.spec.layers import Layer
from stackup.spec.model import Image, ImageConfig, Stack


def make_host(folder: Path) -> Host:
    return paths.open_root(str(folder / "root"))


def project(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def stack(folder: Path, **images: tuple[Layer, ...] | Image) -> Stack:
    made = {k: v if isinstance(v, Image) else Image(name=k, layers=v) for k, v in images.items()}
    return Stack(name="shop", folder=str(folder), file="stack.yaml", images=made)


def image(name: str, *layers: Layer, base: str | None = None, **config: Any) -> Image:
    return Image(name=name, base=base, layers=layers, config=ImageConfig(**config))


class FakeRunner:
    """Calls `act(upper folder, argv)` for a step; counts the calls."""

    def __init__(self, act: Callable[[Path, tuple[str, ...]], int | None] = lambda upper, argv: 0) -> None:
        self.act = act
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self, *, rootfs: tuple[Mount, ...], argv: tuple[str, ...], env: Mapping[str, str], cwd: str, network: str,
        output: Callable[[bytes], None],
    ) -> int:  # fmt: skip
        self.calls.append({"argv": argv, "env": dict(env), "cwd": cwd, "rootfs": rootfs, "output": output})
        upper = next(o.partition("=")[2] for o in rootfs[0].options if o.startswith("upperdir="))
        output(b"first line\nsecond")
        return self.act(Path(upper), argv) or 0


class Events(list[Event]):
    def __call__(self, event: Event, /) -> None:
        self.append(event)

    def texts(self, kind: str) -> list[str]:
        return [f"{e.resource} {e.text}" for e in self if e.kind == kind]


def build(host: Host, wanted: Stack, *keys: str, runner: FakeRunner | None = None, **more: Any) -> dict[str, str]:
    return dict(builder.build(host, wanted, keys or tuple(wanted.images), runner=runner or FakeRunner(), **more))


def tree(host: Host, digest: str, layer: int = -1) -> Path:
    from stackup.builder.store import images

    return Path(host.trees) / images.image(host, digest).diff_ids[layer][7:]


def listing(folder: Path) -> dict[str, str]:
    """name -> `mode uid:gid` (as the image has them) and content or link text, for everything below a folder."""
    found, ids = {}, Ids.mine()
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        what = f"-> {os.readlink(path)}" if path.is_symlink() else "" if path.is_dir() else path.read_text()
        owner = ":".join(map(str, ids.from_disk(info.st_uid, info.st_gid)))
        found[str(path.relative_to(folder))] = f"{info.st_mode & 0o7777:04o} {owner} {what}".strip()
    return found


def settle() -> None:
    """Files just written are not remembered: their times cannot tell a later change yet."""
    time.sleep(0.12)
