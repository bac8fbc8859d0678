"""The words for what a container is like, and sizes as the file has them. Apart, so that quick verbs load no model."""

from __future__ import annotations

from typing import Literal

ContainerState = Literal["created", "running", "exited", "gone"]
Health = Literal["none", "starting", "healthy", "unhealthy"]


def size(count: int) -> str:
    """Bytes as the file has them: 67108864 -> `64M`; what is no whole unit gets one decimal: `1.5G`."""
    for unit, letter in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if count >= unit:
            number = count / unit
            return f"{number:.0f}{letter}" if count % unit == 0 else f"{number:.1f}{letter}"
    return f"{count}B"
