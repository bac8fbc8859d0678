"""The runtime: OCI bundles into namespaced processes. Public names; see `container` for what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackup.runtime.container import Container, Exec, Exit, create, exec_in
    from stackup.runtime.process import Stdio

__all__ = ["Container", "Exec", "Exit", "Stdio", "create", "exec_in"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: whoever imports a part of the runtime does not pay for all of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stackup.runtime import container, process

    return getattr(process if name == "Stdio" else container, name)
