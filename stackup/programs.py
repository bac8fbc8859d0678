"""The door to subprocess: other programs are run from here and nowhere else.

A program is looked up in a fixed system path, never in the user's PATH, and gets a clean environment.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from stackup.errors import ProgramFailed, Unsupported

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(name: str) -> str | None:
    """Absolute path of a program in the system path, or None. A name with a slash stands for itself."""
    candidates = [name] if "/" in name else [os.path.join(d, name) for d in SYSTEM_PATH.split(":")]
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def run(
    argv: Sequence[str], *, input: bytes | None = None, env: Mapping[str, str] | None = None, timeout: float = 60
) -> bytes:
    """Run a program to its end and return its stdout.

    Raises Unsupported where it is not installed, ProgramFailed (with the last lines of its stderr) where it ends badly.
    """
    path = find(argv[0])
    if path is None:
        raise Unsupported(f"{argv[0]} is not installed", hint=f"install the program {argv[0]}")
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", **(env or {})}
    try:
        done = subprocess.run([path, *argv[1:]], input=input, env=environment, capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"{argv[0]} did not end within {timeout:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise ProgramFailed(f"{argv[0]} ended with {how}: {'; '.join(said) or 'it printed nothing'}")
    return done.stdout


def spawn_detached(
    argv: Sequence[str], *, executable: str | None = None, pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> int:  # fmt: skip
    """Start a program of ours in a session of its own, cwd /, umask 022, null stdio, clean environment; its pid.

    `executable`: the file that is run, where `argv[0]` is only its name.
    """
    environment = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", **(env or {})}
    with open(os.devnull, "r+b") as null:
        child = subprocess.Popen(
            list(argv), executable=executable, stdin=null, stdout=null, stderr=null, env=environment, cwd="/",
            umask=0o022, start_new_session=True, pass_fds=tuple(pass_fds), close_fds=True,
        )  # fmt: skip
    child.returncode = 0  # not ours to wait for: it outlives us, and Popen must not warn about that
    return child.pid
