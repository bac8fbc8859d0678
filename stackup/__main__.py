"""`stackup` and `python -m stackup`: the platform's message, then the quick path, else Typer."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import NoReturn

# These read the stack file or this program alone, so they work on any system.
ANYWHERE = frozenset(("config", "graph", "check", "init", "schema", "version", "completion"))


def run() -> NoReturn:
    """The program. It lives for a moment: it hardly looks for garbage, and does not tear itself down in the end.

    Together that is a sixth of a `plan`.
    """
    gc.set_threshold(100_000, 50, 1000)
    _fill_closed()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _fill_closed() -> None:
    """Started with `>&-`, the next file or socket that is opened would become the standard output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, open(number, mode, closefd=False))


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name); the exit status."""
    try:
        return _main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while the first modules were being loaded
        return 130


def _main(argv: list[str]) -> int:
    from stackup.cli import output, quick

    with output.guarded() as ending:
        if not sys.platform.startswith("linux") and not _works_anywhere(argv):
            from stackup.errors import Unsupported

            raise Unsupported(f"stackup runs containers on Linux only, this is {sys.platform}")
        ending.status = quick.run(argv)
        if ending.status is None:
            from stackup.cli import app

            ending.status = app.run(argv)
    return ending.status or 0


def _works_anywhere(argv: list[str]) -> bool:
    from stackup.cli.settings import verb_of

    verb = verb_of(argv)
    return verb is None or verb in ANYWHERE or argv[-1] in ("-h", "--help")


if __name__ == "__main__":
    run()
