"""The quickest answer: plain `ps`, `logs`, `exec`, `ls`, `version`, `up`, `down` and `plan` without Typer, whose import
takes 45 ms of CPU.

Anything unusual (an option not listed here, a mistake, `--help`) gives None, and Typer answers; it stays the only
definition of the options. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from stackup.cli.settings import Settings

# option -> name of the setting; with a value
_GLOBALS = {"-C": "directory", "-p": "name", "--root": "root", "--project-directory": "project_directory"}
_SEVERAL = {"-f": "files", "--file": "files", "--profile": "profiles", "--env-file": "env_files", "--set": "sets",
            "--vars-file": "vars_files"}  # fmt: skip
_FLAGS = {"-q": "quiet", "--quiet": "quiet"}


def run(argv: list[str]) -> int | None:
    """The exit status, or None where this is nothing for the quick path."""
    parsed = _globals(argv)
    if parsed is None:
        return None
    settings, verb, rest = parsed
    handler = _VERBS.get(verb)
    return handler(settings, rest) if handler else None


def _globals(argv: list[str]) -> tuple[Settings, str, list[str]] | None:
    given: dict[str, str | bool | tuple[str, ...]] = {}
    at = 0
    while at < len(argv):
        word = argv[at]
        if word in _FLAGS:
            given[_FLAGS[word]] = True
            at += 1
        elif (word in _GLOBALS or word in _SEVERAL) and at + 1 < len(argv) and not argv[at + 1].startswith("-"):
            if word in _GLOBALS:
                given[_GLOBALS[word]] = argv[at + 1]
            else:
                given[_SEVERAL[word]] = (*given.get(_SEVERAL[word], ()), argv[at + 1])  # type: ignore[misc]
            at += 2
        elif word.startswith("-"):
            return None
        else:
            return Settings(**given), word, argv[at + 1 :]  # type: ignore[arg-type]
    return None


def _ps(settings: Settings, rest: list[str]) -> int | None:
    if rest:
        return None
    from stackup.cli import look

    return look.ps(settings, (), "text")


def _ls(settings: Settings, rest: list[str]) -> int | None:
    if rest:
        return None
    from stackup.cli import look

    return look.ls(settings, "text")


def _version(settings: Settings, rest: list[str]) -> int | None:
    if rest:
        return None
    from stackup.cli import look

    return look.version(settings, "text")


def _logs(settings: Settings, rest: list[str]) -> int | None:
    follow = rest[:1] in (["-f"], ["--follow"])
    services = rest[1:] if follow else rest
    if any(s.startswith("-") for s in services):
        return None
    from stackup.cli import look

    return look.logs(settings, services, follow=follow, since=None, tail=None)


def _exec(settings: Settings, rest: list[str]) -> int | None:
    flags, words = "", rest
    if rest and rest[0] in ("-i", "-t", "-it", "-ti"):
        flags, words = rest[0], rest[1:]
    if len(words) < 2 or words[0].startswith("-") or words[1] == "--":
        return None
    from stackup.cli import execute

    return execute.run(settings, words[0], words[1:], interactive="i" in flags, tty="t" in flags)


def _up(settings: Settings, rest: list[str]) -> int | None:
    services = [word for word in rest if word != "--wait"]
    if any(s.startswith("-") for s in services):
        return None
    from stackup.cli import bring

    return bring.up(settings, services, wait="--wait" in rest)


def _down(settings: Settings, rest: list[str]) -> int | None:
    if rest not in ([], ["-v"], ["--volumes"]):
        return None
    from stackup.cli import bring

    return bring.down(settings, volumes=bool(rest))


def _plan(settings: Settings, rest: list[str]) -> int | None:
    if any(s.startswith("-") for s in rest):
        return None
    from stackup.cli import bring

    return bring.plan(settings, rest)


_VERBS: dict[str, Callable[[Settings, list[str]], int | None]] = {
    "ps": _ps, "ls": _ls, "version": _version, "logs": _logs, "exec": _exec, "up": _up, "down": _down, "plan": _plan,
}  # fmt: skip
