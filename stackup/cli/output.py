"""How this program speaks: results on stdout, all else on stderr, colours where they are wanted, errors as two lines.

Only what the quick path can afford is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from stackup.errors import BadInput, SpecErrors, StackupError, printable

Color = Literal["auto", "always", "never"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_choice: Color = "auto"
_debug = False


def configure(color: Color = "auto", debug: bool = False) -> None:
    """What the globals say, once for the process."""
    global _choice, _debug
    _choice, _debug = color, debug


def colored(stream: TextIO) -> bool:
    """--color, else FORCE_COLOR, else NO_COLOR (no-color.org), else whether it is a terminal that can."""
    if _choice != "auto":
        return _choice == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def style(text: str, name: str, stream: TextIO | None = None) -> str:
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if text and colored(stream or sys.stdout) else text


def say(text: str) -> None:
    """A line for the user beside the result."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    say(f"{style('warning:', 'yellow', sys.stderr)} {printable(text)}")


def tell_error(error: StackupError) -> None:
    """`error: message` and `hint: what to do`; problems of a stack file as they are."""
    if isinstance(error, SpecErrors):
        say(error.message)  # its problems are printable
        count = len(error.problems)
        say(f"{style('error:', 'red', sys.stderr)} {count} problem{'s' if count > 1 else ''}; nothing was touched")
        return
    # Where the file says it already, as the beginning of the message, it is not said twice.
    at = error.place
    place = f"{at}: " if at and not error.message.startswith(f"{at.file}:{at.line}:") else ""
    keep = "" if isinstance(error, BadInput) else "\n\t"  # what a program printed has lines
    say(f"{style('error:', 'red', sys.stderr)} {printable(place + error.message, keep)}")
    if error.hint:
        say(f"{style('hint:', 'cyan', sys.stderr)} {printable(error.hint, keep)}")


class Ending:
    """The exit status of the program."""

    status: int | None = None


@contextmanager
def guarded() -> Iterator[Ending]:
    """Turns what may be raised into messages and an exit status. A closed pipe ends quietly."""
    ending = Ending()
    try:
        yield ending
        sys.stdout.flush()
    except StackupError as error:
        _raise_if_debug(error)
        ending.status = error.exit_code
        tell_error(error)
    except BrokenPipeError:
        ending.status = 0
        # Python flushes stdout once more at exit; nobody reads it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        ending.status = 130
        say("interrupted")
    except OSError as error:
        _raise_if_debug(error)
        ending.status = 1
        say(f"{style('error:', 'red', sys.stderr)} {printable(_os_error(error))}")


def _raise_if_debug(error: BaseException) -> None:
    if _debug:
        raise error


def _os_error(error: OSError) -> str:
    about = f"{error.filename}: " if error.filename else ""
    return about + (os.strerror(error.errno).lower() if error.errno else str(error))
