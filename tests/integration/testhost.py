"""A host of its own for each test: fresh network and mount namespace, own root; afterwards nothing may be left.

The namespaces are held by one sleeping process. Commands enter them (`cli`, `sh`), functions of the test run in them in
a forked child (`call`).
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

CGROUP_FS = Path("/sys/fs/cgroup")
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class TestHost:
    """See the module. `folder` is a scratch folder of the test, `root` the root of this host's stackup."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self._holder = self._start_holder()
        self.mounts_before = self._mounts()
        self.sysctls_before = self._sysctls()

    def _start_holder(self) -> subprocess.Popen[bytes]:
        script = (
            "import ctypes, os, sys, time\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            f"assert libc.unshare({CLONE_NEWNS | CLONE_NEWNET}) == 0, os.strerror(ctypes.get_errno())\n"
            "assert libc.mount(b'none', b'/', None, 0x4000 | 0x40000, None) == 0\n"  # MS_REC | MS_PRIVATE
            "print('ready', flush=True)\n"
            "sys.stdin.read()\n"  # ends with the test's process, however that ends
        )
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        self._pid = holder.pid
        subprocess.run(self.enter("ip", "link", "set", "lo", "up"), check=True)
        return holder

    def enter(self, *argv: str, cwd: Path | None = None) -> list[str]:
        """argv that runs a program in this host, in `cwd` or the test's folder (nsenter itself would go to /)."""
        spaces = [f"--net=/proc/{self._pid}/ns/net", f"--mount=/proc/{self._pid}/ns/mnt"]
        return ["nsenter", *spaces, f"--wdns={cwd or self.folder}", "--", *argv]

    def environment(self, **more: str) -> dict[str, str]:
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        return {**keep, "STACKUP_ROOT": str(self.root), "NO_COLOR": "1", **more}

    def sh(self, script: str, *, check: bool = True, timeout: float = 60) -> str:
        done = subprocess.run(
            self.enter("sh", "-ec", script), env=self.environment(), capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{script!r} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def popen(self, *argv: str, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
        """`stackup ARGV...` in the background."""
        return subprocess.Popen(
            self.enter(sys.executable, "-m", "stackup", *argv, cwd=cwd), text=True,
            env=self.environment(**options.pop("env", {})), **options,
        )  # fmt: skip

    def cli(
        self, *argv: str, cwd: Path | None = None, status: int | None = 0, timeout: float = 90,
        env: dict[str, str] | None = None, input: str | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """`stackup ARGV...` to its end. Fails the test when the exit status is not `status` (None: any)."""
        done = subprocess.run(
            self.enter(sys.executable, "-m", "stackup", *argv, cwd=cwd), capture_output=True, text=True,
            env=self.environment(**(env or {})), timeout=timeout, input=input,
        )  # fmt: skip
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"stackup {' '.join(argv)} ended with {done.returncode}, expected {status}:\n"
                f"--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
            )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run `function(*arguments)` in a forked child inside this host and return its value (pickled)."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                for name, flag in (("net", CLONE_NEWNET), ("mnt", CLONE_NEWNS)):
                    descriptor = os.open(f"/proc/{self._pid}/ns/{name}", os.O_RDONLY)
                    _check(_libc.setns(descriptor, flag), f"setns {name}")
                    os.close(descriptor)
                answer = pickle.dumps((True, function(*arguments)))
            except BaseException:
                answer = pickle.dumps((False, traceback.format_exc()))
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        assert answer, "the child died without an answer"
        good, value = pickle.loads(answer)
        assert good, f"in the test host:\n{value}"
        return value  # type: ignore[no-any-return]

    # What may be left: asked of the kernel, not of stackup.

    def processes(self) -> list[int]:
        """Pids with this host's network namespace, or with its root in their command line or cgroup."""
        mine = os.readlink(f"/proc/{self._pid}/ns/net")
        mark = str(self.root)
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) in (self._pid, os.getpid()):
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace")
                if os.readlink(f"/proc/{entry}/ns/net") == mine or mark in line:
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def _mounts(self) -> set[str]:
        with open(f"/proc/{self._pid}/mountinfo") as file:
            return {line.split()[4] for line in file}

    def _sysctls(self) -> dict[str, str]:
        names = ("net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv6/conf/all/forwarding")
        return {n: self.sh(f"cat /proc/sys/{n} 2>/dev/null || true").strip() for n in names}

    def root_id(self) -> str | None:
        import json

        try:
            return str(json.loads((self.root / "format").read_text())["id"])
        except FileNotFoundError:
            return None

    def cgroups(self) -> list[Path]:
        """Control groups of this root, innermost first."""
        root_id = self.root_id()
        if root_id is None:
            return []
        found: list[Path] = []
        for controller in CGROUP_FS.iterdir():
            top = controller / "stackup" / root_id
            if top.is_dir():
                found += [Path(p) for p, _, _ in os.walk(top, topdown=False)]
        return found

    def leftovers(self) -> list[str]:
        """Everything of stackup that is still on this host, as lines; store, volumes and state.db may stay."""
        left = [f"process {p}: {_cmdline(p)}" for p in self.processes()]
        left += [f"mount {m}" for m in sorted(self._mounts() - self.mounts_before)]
        left += [f"cgroup {g}" for g in self.cgroups()]
        links = self.sh("ls /sys/class/net 2>/dev/null; ip -o link | cut -d: -f2").split()
        left += [f"link {n}" for n in sorted({n.split("@")[0] for n in links} & set(self._links()) - {"lo"})]
        left += [
            f"rule {line}" for line in self.sh("command -v nft >/dev/null && nft list tables || true").splitlines()
        ]
        left += [f"sysctl {k}: {self.sysctls_before[k]} -> {v}" for k, v in self._sysctls().items()
                 if v != self.sysctls_before[k]]  # fmt: skip
        for folder in ("containers", "run", "tmp"):
            path = self.root / folder
            if path.is_dir():
                left += [f"file {folder}/{n}" for n in sorted(os.listdir(path)) if not n.endswith(".lock")]
        return left

    def _contained(self) -> list[int]:
        """Processes of containers: they have namespaces of their own, but are in a control group of this root."""
        found = []
        for group in self.cgroups():
            try:
                found += [int(line) for line in (group / "cgroup.procs").read_text().split()]
            except OSError:
                continue
        return found

    def _links(self) -> list[str]:
        return [line.split(":")[1].strip().split("@")[0] for line in self.sh("ip -o link").splitlines()]

    def close(self) -> list[str]:
        """Wait a moment for what is ending, list what is left, then take that away by force."""
        until = time.monotonic() + 5
        while (left := self.leftovers()) and time.monotonic() < until:
            time.sleep(0.1)
        for pid in {*self.processes(), *self._contained()}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        until = time.monotonic() + 5
        for group in self.cgroups():
            while time.monotonic() < until:
                try:
                    group.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)
                    continue
                break
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.wait(5)
        return left


def _cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    except OSError:
        return "(ended)"


def write_stack(folder: Path, text: str, files: dict[str, str] | None = None) -> Path:
    """A project folder with a stack.yaml and more files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.yaml").write_text(text)
    for name, content in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def eventually(check: Callable[[], Any], seconds: float = 10, message: str = "it never became true") -> Any:
    """Poll until `check()` is truthy and return it; for what the kernel does in its own time."""
    until = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        assert time.monotonic() < until, message
        time.sleep(0.02)


def programs_missing(names: Sequence[str]) -> list[str]:
    import shutil

    return [n for n in names if shutil.which(n) is None]
