"""What programs of this machine need to run elsewhere: links, interpreters, shared libraries, standard libraries.

The outcome is a list of inputs under their places in the image, and the identity of everything looked at, so that the
whole search can be skipped next time when nothing of that changed.
"""

from __future__ import annotations

import json
import os
import re
import stat

from stackup import programs
from stackup.builder import inputs
from stackup.builder.inputs import Digester, Entry, Identity
from stackup.builder.layers import elf
from stackup.errors import BadInput, NotFound, StackupError

_PYTHON = re.compile(r"python3(\.\d+)?")
_LEFT_OUT = frozenset(("test", "tests", "idlelib", "tkinter", "turtledemo", "__pycache__", "site-packages",
                       "dist-packages", "turtle.py"))  # fmt: skip
_LEFT_OUT_PREFIXES = ("config-", "_tkinter.", "_test", "_ctypes_test", "_xxtest", "xxlimited")
_ASK_PYTHON = "import json, sys; print(json.dumps(sys.path))"
# What glibc opens by itself: to end a thread (pthread_exit(3)), and before 2.34 to look up names (nsswitch.conf(5)).
_ON_DEMAND = ("libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2")


def absent(name: str, script: str = "") -> NotFound:
    about = f"this machine has no program {name}" + (f", which runs {script}" if script else "")
    return NotFound(about, hint=f"install it; programs are looked for in {programs.SYSTEM_PATH}")


class Collector:
    """Gathers entries by their name in the image (no leading slash). Folders appear only where they are wanted."""

    def __init__(self, digester: Digester) -> None:
        self.entries: dict[str, Entry] = {}
        self.watched: dict[str, Identity | None] = {}
        self._digester = digester
        self._search = elf.Search(self.watch)
        self._done: set[str] = set()
        self._libc_folder: str | None = None
        self._configured: dict[str, tuple[str, str]] = {}

    def watch(self, path: str) -> None:
        """Remember what `path` (a folder or a file consulted) is now, links followed."""
        try:
            self.watched[path] = Identity.of(os.stat(path))
        except OSError:
            self.watched[path] = None

    # places

    def bring(self, path: str) -> str | None:
        """The file at `path` with every link on the way; the real path, or None where nothing is there.

        A folder is not filled. Links are kept as links.
        """
        done, waiting, links = "", list(reversed(path.split("/"))), 0
        info: os.stat_result | None = None
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}"
            try:
                info = os.lstat(here)
            except OSError:
                return None
            if not stat.S_ISLNK(info.st_mode):
                done = here
                continue
            links += 1
            if links > 40:
                raise BadInput(f"{path}: links go round in a circle")
            text = self._add(here, info).value
            done = "" if text.startswith("/") else done
            waiting.extend(reversed(text.split("/")))
        if info is not None and not stat.S_ISDIR(info.st_mode):
            self._add(done, os.lstat(done))
        return done or "/"

    def _add(self, path: str, info: os.stat_result) -> Entry:
        name = path[1:]
        if name not in self.entries:
            self.entries[name] = inputs.entry_of(path, None, path, name, info, self._digester)
        return self.entries[name]

    # programs

    def program(self, name: str, script: str = "") -> None:
        """A program with all it needs; `script`: whose interpreter it is. Raises NotFound where anything is missing."""
        path = programs.find(name)
        real = self.bring(path) if path and path.startswith("/") else None
        if real is None:
            raise absent(name, script)
        self._executable(real)

    def _executable(self, real: str) -> None:
        if real in self._done:
            return
        self._done.add(real)
        if elf.is_elf(real):
            self._libraries(real, ())
            if _PYTHON.fullmatch(os.path.basename(real)):
                self._python(real)
        else:
            self._script(real)

    def _script(self, path: str) -> None:
        """The interpreter of the first line (execve(2)); behind `env` the program it looks up."""
        with open(path, "rb") as file:
            line = file.read(256)
        if not line.startswith(b"#!"):
            return
        words = line[2:].partition(b"\n")[0].decode("utf-8", "surrogateescape").split()
        if not words:
            return
        self.program(words[0], path)
        if os.path.basename(words[0]) == "env":
            named = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
            if named:
                self.program(named[0], path)

    def _libraries(self, path: str, inherited: tuple[str, ...]) -> None:
        found = self._search.elf(path)
        if found.interpreter and self.bring(found.interpreter) is None:
            raise NotFound(f"{path} needs the loader {found.interpreter}, which is not on this machine")
        handed = (*elf.rpath_of(found, path), *inherited)
        for name in found.needed:
            self._library(name, path, found, inherited, handed)

    def _library(
        self, name: str, user: str, user_elf: elf.Elf, inherited: tuple[str, ...], handed: tuple[str, ...]
    ) -> None:
        where = self._search.find(name, user, user_elf, inherited)
        if where is None:
            raise NotFound(f"{user} needs the library {name}, which is not on this machine")
        path, configured = where
        real = self.bring(path)
        assert real is not None
        if configured:
            self._configured.setdefault(name, (path, real))
        if real not in self._done:
            self._done.add(real)
            self._libraries(real, handed)
        if name.startswith("libc.so.") and self._libc_folder is None:
            self._libc_folder = os.path.dirname(real)
            for extra in _ON_DEMAND:
                if self._search.find(extra, real, self._search.elf(real), ()):
                    self._library(extra, real, self._search.elf(real), (), ())

    def finish(self) -> None:
        """The image has no ld.so.cache: a library that only the configuration leads to gets a link beside libc."""
        if self._libc_folder is None:
            return
        built_in = {os.path.realpath(f) for f in elf.DEFAULT_FOLDERS} | {self._libc_folder}
        for name, (path, real) in self._configured.items():
            link = f"{self._libc_folder}/{name}"[1:]
            if os.path.realpath(os.path.dirname(path)) not in built_in and link not in self.entries:
                self.entries[link] = Entry(link, "link", real, False, path, Identity.of(os.lstat(path)))

    # python's standard library

    def _python(self, path: str) -> None:
        """Modules and extension modules of an interpreter, without tests, Tk and compiled files."""
        try:
            folders = json.loads(programs.run([path, "-I", "-S", "-B", "-c", _ASK_PYTHON]))
        except ValueError as error:
            raise StackupError(f"{path} did not tell where its standard library is: {error}") from error
        for folder in folders:
            if os.path.isdir(folder):
                self._modules(folder)

    def _modules(self, folder: str) -> None:
        real = self.bring(folder)
        if real is None or real in self._done:
            return
        self._done.add(real)
        self.watch(real)
        for name in sorted(os.listdir(real)):
            if name in _LEFT_OUT or name.startswith(_LEFT_OUT_PREFIXES) or name.endswith(".a"):
                continue
            path = f"{real}/{name}"
            if os.path.isdir(path):
                self._modules(path)
            elif ".so" in name and elf.is_elf(path):
                self._extension(path)
            elif stat.S_ISREG(os.lstat(path).st_mode) or os.path.isfile(path):
                self.bring(path)

    def _extension(self, path: str) -> None:
        """An extension module; left out, as the interpreter would find it, where its libraries are not installed."""
        before = dict(self.entries)
        real = self.bring(path)
        assert real is not None
        try:
            self._libraries(real, ())
        except NotFound:
            self.entries = before

    # more data

    def files(self, path: str) -> None:
        """A file or a folder with all that is below it."""
        if not path.startswith("/"):
            raise BadInput(f"files: {path} is no absolute path", hint="for files of the project use copy:")
        real = self.bring(path)
        if real is None:
            raise NotFound(f"files: {path} is not on this machine")
        if not os.path.isdir(real):
            return
        for entry in inputs.scan(real, self._digester, what=f"files: {path}").entries:
            name = f"{real[1:]}/{entry.name}" if entry.name else real[1:]
            self.entries.setdefault(
                name, Entry(name, entry.kind, entry.value, entry.executable, entry.path, entry.identity)
            )
