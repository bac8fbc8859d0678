"""Start a spawner: with its supervisor for a root, anew for a supervisor that lost its own, or a private one."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import stackup
from stackup import paths, programs
from stackup.errors import Conflict, KernelError
from stackup.runtime import sealed
from stackup.runtime.channel import Channel, pair

SOCKET = "control.sock"
_BACKLOG = 128


def start_pair(host: paths.Host, *, wait: float | None = 30.0, supervisor: str | None = None) -> bool:
    """Make sure that a spawner and its supervisor serve the root; True where they were started now.

    When this returns, run/control.sock listens: a query may wait there until the supervisor is up.
    Raises Conflict when another start holds the lock for `wait` seconds. `supervisor`: another module, for tests.
    """
    with paths.lock(os.path.join(host.run, "start.lock"), wait=wait, purpose="starts the supervisor"):
        if is_served(host):
            return False
        listener = _listen(host)
        try:
            _launch(_options(host, listener, supervisor), (listener.fileno(),))
        finally:
            listener.close()
    return True


def foreground(host: paths.Host, *, supervisor: str | None = None) -> NoReturn:
    """Become the spawner of a root, for a service manager: SIGTERM or SIGINT end it and the supervisor, and nothing
    else. Conflict where the root is served already."""
    with paths.lock(os.path.join(host.run, "start.lock"), wait=30.0, purpose="starts the supervisor"):
        if is_served(host):
            raise Conflict(f"a supervisor serves {host.root} already", hint="end its stacks first: stackup ls")
        listener = _listen(host)
        os.set_inheritable(listener.fileno(), True)
        argv, environment = _command(["--foreground", *_options(host, listener, supervisor)])
        # the lock goes with its descriptor, the socket stays
        with _interpreter() as interpreter:
            os.execve(interpreter, argv, environment)


def _options(host: paths.Host, listener: socket.socket, supervisor: str | None) -> list[str]:
    options = ["--root", host.root, "--control", str(listener.fileno())]
    return [*options, "--supervisor", supervisor] if supervisor else options


def is_served(host: paths.Host) -> bool:
    """Whether somebody listens on run/control.sock."""
    with contextlib.suppress(OSError), _folder(host) as folder, socket.socket(socket.AF_UNIX) as probe:
        probe.connect(f"{folder}/{SOCKET}")
        return True
    return False


def _listen(host: paths.Host) -> socket.socket:
    """A socket bound through the folder's descriptor: a socket's path has at most 107 bytes, a root's has not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _folder(host) as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}/{SOCKET}")
            listener.bind(f"{folder}/{SOCKET}")
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise KernelError.of(f"listen on {host.run}/{SOCKET}", error) from error
    return listener


@contextlib.contextmanager
def _folder(host: paths.Host) -> Iterator[str]:
    descriptor = os.open(host.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def new_spawner(host: paths.Host) -> Channel:
    """A new spawner for a running supervisor, which then stores and adopts what it holds."""
    return _launch_with_channel(["--root", host.root])


def private() -> Channel:
    """A spawner of one's own, for programs that have threads or heavy imports. It ends, and what it runs with it, when
    its channel is closed."""
    return _launch_with_channel(["--private"])


def _launch_with_channel(options: Sequence[str]) -> Channel:
    ours, theirs = pair()
    try:
        _launch([*options, "--channel", str(theirs.fileno())], (theirs.fileno(),))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours


def _launch(options: Sequence[str], descriptors: tuple[int, ...]) -> None:
    argv, environment = _command(options)
    with _interpreter() as interpreter:
        programs.spawn_detached(argv, executable=interpreter, pass_fds=descriptors, env=environment)


@contextlib.contextmanager
def _interpreter() -> Iterator[str]:
    """The path of a sealed copy of our interpreter, for as long as we hold it; of itself where there can be none, which
    the spawner's `hello` says."""
    try:
        copy = sealed.copy_interpreter()
    except OSError:
        yield sys.executable
        return
    try:
        yield f"/proc/{os.readlink('/proc/self')}/fd/{copy}"  # not /proc/self/fd: whoever executes it has closed it
    finally:
        os.close(copy)


def _command(options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Without `site`: the spawner uses the standard library and us, and starts in half the time."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(stackup.__file__)))
    environment = {"PATH": programs.SYSTEM_PATH, "LC_ALL": "C.UTF-8", "PYTHONPATH": home}
    return [sys.executable, "-s", "-S", "-m", "stackup.runtime.spawner", *options], environment
