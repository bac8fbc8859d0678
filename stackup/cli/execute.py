"""`exec`: a command in a running replica. Returns the command's own status; 125 where stackup itself failed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from stackup.cli import output
from stackup.cli.settings import Settings, check_services, refuse_paths, replica_of
from stackup.errors import BadInput, StackupError

OURS = 125


def run(
    settings: Settings, target: str, argv: Sequence[str], *, interactive: bool, tty: bool,
    env: Mapping[str, str] | None = None, user: str | None = None, workdir: str | None = None,
) -> int:  # fmt: skip
    """`target`: `web` or `web/2`."""
    from stackup.engine import verbs

    try:
        service, number = replica_of(target)
        refuse_paths([service], settings, "exec")
        root, stack = settings.root_path(), settings.stack()
        check_services([service], (r.service for r in verbs.ps(root, stack)), settings, "exec")
        if tty and not os.isatty(0):
            raise BadInput("-t needs a terminal, and the input is none", hint="leave the t out: exec -i")
        with _Input(interactive or tty) as stdin:
            ended = verbs.exec_(
                root, stack, service, number, argv, tty=tty, env=env, user=user, workdir=workdir, fds=(stdin, 1, 2)
            )  # fmt: skip
    except StackupError as error:
        output.tell_error(error)
        return int(getattr(error, "exit_status", OURS))
    return ended.status


class _Input:
    """Descriptor 0 where it was asked for (-i), else /dev/null."""

    def __init__(self, ours: bool) -> None:
        self._fd = 0 if ours else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *exc: object) -> None:
        if self._fd:
            os.close(self._fd)
