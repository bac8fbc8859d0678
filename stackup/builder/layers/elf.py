"""Shared libraries of ELF files, found as ld.so(8) finds them, but from fixed places only: no LD_LIBRARY_PATH."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import field

from stackup.classes import dataclass
from stackup.errors import StackupError

DEFAULT_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
CONF = "/etc/ld.so.conf"


@dataclass(frozen=True, slots=True)
class Elf:
    """What the loader reads of a file. `machine`: class and machine, which a library must share with its user."""

    machine: tuple[int, str]
    interpreter: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


def is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def parse(path: str) -> Elf:
    """Raises StackupError where the file is no sound ELF file."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    interpreter: str | None = None
    tags: dict[str, list[str]] = {"DT_NEEDED": [], "DT_RPATH": [], "DT_RUNPATH": []}
    try:
        with open(path, "rb") as file:
            elf = ELFFile(file)
            machine = (elf.elfclass, elf["e_machine"])
            for segment in elf.iter_segments():
                if isinstance(segment, InterpSegment):
                    interpreter = segment.get_interp_name()
                elif isinstance(segment, DynamicSegment):
                    for tag in segment.iter_tags():
                        kind = tag.entry.d_tag
                        if kind in tags:
                            name = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}[kind]
                            tags[kind].append(getattr(tag, name))
    except (ELFError, OSError) as error:
        raise StackupError(f"{path} cannot be read as an ELF file: {error}") from error
    return Elf(machine, interpreter, tuple(tags["DT_NEEDED"]), _split(tags["DT_RPATH"]), _split(tags["DT_RUNPATH"]))


def _split(values: list[str]) -> tuple[str, ...]:
    return tuple(p for value in values for p in value.split(":") if p)


@dataclass
class Search:
    """The loader's search. `looked_in` is told every folder and file whose change could change the outcome."""

    looked_in: Callable[[str], None]
    _folders: tuple[str, ...] | None = None
    _elfs: dict[str, Elf] = field(default_factory=dict)

    def elf(self, path: str) -> Elf:
        real = os.path.realpath(path)
        if real not in self._elfs:
            self._elfs[real] = parse(real)
        return self._elfs[real]

    def folders(self) -> tuple[str, ...]:
        """The folders that the loader's cache is made of, then its built-in ones."""
        if self._folders is None:
            found = dict.fromkeys([*self._conf(CONF, 0), *DEFAULT_FOLDERS])
            self._folders = tuple(found)
            for folder in self._folders:
                self.looked_in(folder)
        return self._folders

    def _conf(self, path: str, depth: int) -> Iterator[str]:
        """ld.so.conf(5): a folder a line, `include` with wildcards."""
        self.looked_in(path)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            return
        for line in lines:
            line = line.partition("#")[0].strip()
            if line.startswith("include ") and depth < 8:
                for pattern in line.split()[1:]:
                    pattern = os.path.join(os.path.dirname(path), pattern)
                    self.looked_in(os.path.dirname(pattern))
                    for name in sorted(glob.glob(pattern)):
                        yield from self._conf(name, depth + 1)
            elif line.startswith("/"):
                yield line.rstrip("/")

    def find(self, name: str, user: str, elf: Elf, inherited: tuple[str, ...]) -> tuple[str, bool] | None:
        """Where the library `name` of the file `user` lies, and whether only the loader's configuration tells.

        `inherited`: RPATHs of the files that brought `user` in. None where there is none.
        """
        if "/" in name:
            return (name, False) if os.path.exists(name) else None
        own = elf.runpath or (*_expand(elf.rpath, user), *inherited)
        for folder in _expand(own, user):
            self.looked_in(folder)
            if self._fits(path := os.path.join(folder, name), elf.machine):
                return path, False
        for folder in self.folders():
            if self._fits(path := os.path.join(folder, name), elf.machine):
                return path, True
        return None

    def _fits(self, path: str, machine: tuple[int, str]) -> bool:
        if not is_elf(path):
            return False
        try:
            return self.elf(path).machine == machine
        except StackupError:
            return False


def rpath_of(elf: Elf, path: str) -> tuple[str, ...]:
    """What a file hands down to its libraries: its RPATH, unless it has a RUNPATH."""
    return () if elf.runpath else tuple(_expand(elf.rpath, path))


def _expand(folders: tuple[str, ...], user: str) -> tuple[str, ...]:
    origin = os.path.dirname(user)
    named = (f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for f in folders)
    return tuple(os.path.normpath(f) for f in named if f.startswith("/"))
