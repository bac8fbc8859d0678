"""The one door through which the builder runs a command; the engine passes in what does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from stackup.oci import Mount


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
