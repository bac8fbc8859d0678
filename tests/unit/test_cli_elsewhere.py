"""On another system: one sentence, exit status 3, no traceback; what reads the stack file alone works there.

Played in a process of its own in which everything that only Linux has is out of reach: modules, calls, constants.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLAY = """
import contextlib, io, json, os, signal, sys
sys.platform = "darwin"
for module, names in {
    os: ("pidfd_open O_PATH O_TMPFILE memfd_create setns unshare splice copy_file_range CLONE_NEWNS eventfd getrandom "
         "MFD_CLOEXEC SPLICE_F_MOVE sched_getaffinity listxattr getxattr setxattr posix_fallocate"),
    signal: "pidfd_send_signal SIGPWR SIGSTKFLT",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

class Absent:
    gone = ("apsw", "pyroute2", "ctypes", "_ctypes", "dnslib", "elftools", "fcntl", "stackup.linux")
    def find_spec(self, name, path=None, target=None):
        if name.startswith(self.gone):
            raise ImportError(f"{name} is for Linux")

sys.meta_path.insert(0, Absent())
for name in [n for n in sys.modules if n.startswith(Absent.gone)]:
    del sys.modules[name]
from stackup.__main__ import main
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
        status = main(json.loads(sys.argv[1]))
    except SystemExit as end:
        status = end.code
print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""


def elsewhere(*argv: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", PLAY, json.dumps(argv)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    status, out, err = json.loads(done.stdout)
    return status, out, err


@pytest.mark.parametrize(
    "argv",
    [("up",), ("ps",), ("-C", "config", "build"), ("exec", "web", "config"), ("-q", "down"), ("doctor",), ("frob",)],
)
def test_another_system_is_told_in_one_sentence(project: Path, argv: tuple[str, ...]) -> None:
    assert elsewhere(*argv) == (3, "", "error: stackup runs containers on Linux only, this is darwin\n")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("config",), "name: shop\n"),
        (("-f", "stack.yaml", "config", "--services"), "store\nweb\n"),
        (("config", "--format", "json"), '"name": "shop"'),
        (("graph",), "service:web"),
        (("graph", "--dot"), "digraph"),
        (("version",), "stackup "),
        (("completion", "bash"), "complete -F"),
        (("--help",), "uninstall"),
        (("up", "--help"), "--wait"),
    ],
)
def test_what_reads_the_file_alone_works_there(project: Path, argv: tuple[str, ...], text: Any) -> None:
    status, out, err = elsewhere(*argv)
    assert (status, err) == (0, "") and text in out


def test_problems_of_the_file_are_told_there(project: Path) -> None:
    (project / "stack.yaml").write_text("services: {web: {imag: app}}\n")
    status, _, err = elsewhere("config")
    assert status == 2 and "unknown key" in err
