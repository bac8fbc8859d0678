"""Build the images of a stack: examine what would be done, and do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from stackup.events import Reporter, ignore
from stackup.oci import Mount
from stackup.paths import Host
from stackup.spec.model import Stack

Origins = Mapping[tuple[str | int, ...], tuple[str, int, int]]
"""Where values sit in the stack file, as `Loaded.origins`: ("images", "web", "layers", 1) -> (file, line, column)."""


class StepRunner(Protocol):
    """Runs the command of a `run` layer in a sandbox on `rootfs` and returns its exit status (128 + n: signal n).

    Called from several threads. `output` takes raw bytes of stdout and stderr as they come, from any thread, and has
    got all of them when the call returns. The upper folder among the options of `rootfs` is id-mapped, so that what
    the command writes lies on disk under its own ids. A runner may have a method `cancel()`: it ends what runs
    (Ctrl-C), the calls then return or raise.
    """

    def __call__(
        self, *, rootfs: tuple[Mount, ...], argv: tuple[str, ...], env: Mapping[str, str], cwd: str,
        network: Literal["none", "host"], output: Callable[[bytes], None],
    ) -> int: ...  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A layer of an image: would it be taken from the cache? `reason` says why not."""

    text: str
    hit: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a build of an image would do.

    `digest`: the manifest it would give, known only if every step hits and the base is known. `named`: the digest that
    the store's name `reference` points to now. `host_bound`: tied to this machine by a host layer, here or below.
    """

    reference: str
    digest: str | None
    named: str | None
    steps: tuple[Step, ...]
    host_bound: bool


def examine(host: Host | None, stack: Stack, keys: Iterable[str]) -> Mapping[str, Examined]:
    """What `build` would do for these images and their bases, image key -> Examined. Reads only.

    `host` None: no root yet. Raises BadInput (a source is absent or not a file), NotFound (a base or a host program).
    """
    raise NotImplementedError


def build(
    host: Host, stack: Stack, keys: Iterable[str], *, runner: StepRunner, report: Reporter = ignore, jobs: int = 2,
    no_cache: bool = False, origins: Origins | None = None,
) -> Mapping[str, str]:  # fmt: skip
    """Build these images and their bases, name them `<stack>/<key>`; image key -> manifest digest.

    Independent images are built at the same time, `jobs` at most. Reports Started for each step that runs, Output
    for its lines, Done, Failed or Skipped for each image. When images fail, the rest is built as far as it
    does not stand on them, then the first error is raised (resource and, with `origins`, place filled in).
    """
    raise NotImplementedError
