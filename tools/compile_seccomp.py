#!/usr/bin/env python3
"""Compile stackup/runtime/profiles/default.list: write default.<machine>.bpf and syscalls.<machine> beside it.

Needs libseccomp.so.2 (apt install libseccomp2). Run from the project's folder: python tools/compile_seccomp.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackup.linux import libseccomp
from stackup.runtime import seccomp

FOLDER = Path(seccomp.__file__).parent / "profiles"


def main() -> None:
    text = (FOLDER / "default.list").read_text()
    for machine in seccomp.ARCHITECTURES:
        table = libseccomp.table(machine)
        lines = [f"{name} {number}\n" for name, number in sorted(table.items(), key=lambda item: item[1])]
        (FOLDER / f"syscalls.{machine}").write_text("".join(lines))
        program = seccomp.compile_profile(text, table, machine)
        (FOLDER / f"default.{machine}.bpf").write_bytes(program)
        sys.stdout.write(f"{machine}: {len(table)} system calls known, {len(program) // 8} instructions\n")


if __name__ == "__main__":
    main()
