"""The seccomp filter of a container, as the bytes of a BPF program (an array of struct sock_filter, linux/filter.h).

The default profile is shipped compiled for each architecture; its source is profiles/default.list, which explains what
is refused how. A container with more capabilities gets the calls that need them, compiled here from the same list.
Semantics: allowed; listed as denied -> EPERM; unknown (newer than the list, clone3) -> ENOSYS; a call through another
ABI (32-bit on a 64-bit kernel) ends the process, as its numbers mean other calls.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
from collections.abc import Collection, Iterable, Mapping

from stackup.classes import dataclass
from stackup.errors import StackupError, Unsupported
from stackup.runtime import capabilities as caps

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "profiles")

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_* of linux/audit.h

# linux/seccomp.h
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
DENY = _ERRNO | errno.EPERM
UNKNOWN = _ERRNO | errno.ENOSYS

# linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS; BPF_JMP with BPF_JA, BPF_JEQ, BPF_JGE, BPF_JSET; BPF_RET
_LOAD, _JUMP, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_Instruction = tuple[int, int, int, int]  # code, jt, jf, k


@dataclass(frozen=True, slots=True)
class Condition:
    """What an argument must be for the call to pass; DENY otherwise. Looks at its lower 32 bits.

    `kind`: "in" (equal to one of values), "not in", "without" (none of the bits of values[0]).
    """

    argument: int
    kind: str
    values: tuple[int, ...]


Verdict = int | Condition


@functools.cache
def default_profile(machine: str | None = None) -> bytes:
    """The shipped program for the default capabilities. `machine`: as uname(2) says it; None: this one.

    Raises Unsupported for an architecture without a profile.
    """
    return _read(f"default.{_known(machine)}.bpf")


@functools.cache
def _compiled(held: frozenset[str], setid: bool, machine: str) -> bytes:
    over = "" if setid else _read("no-setid.list").decode()
    return compile_profile(_read("default.list").decode(), numbers(machine), machine, held, over=over)


def profile(capabilities: Iterable[str], machine: str | None = None, *, setid: bool = True) -> bytes:
    """The default profile for a container that holds these capabilities (`CAP_*`).

    `setid` False: and that must not make setuid or setgid files (profiles/no-setid.list says when).
    For the default set or less these are the shipped bytes; else about 2 ms of work, remembered.
    Raises Unsupported for an architecture without a profile.
    """
    held = frozenset(capabilities)
    name = _known(machine)
    if held <= frozenset(caps.DEFAULT) and setid:
        # A profile narrower than the capabilities is no use: what CAP_SYS_CHROOT allows, the kernel itself refuses.
        return default_profile(name)
    return _compiled(held | frozenset(caps.DEFAULT), setid, name)


NAMES = ("default", "no-setid", "unconfined")


def named(name: str, capabilities: Iterable[str]) -> bytes | None:
    """The program for the annotation `stackup.seccomp`; None for `unconfined`. StackupError for another name."""
    if name not in NAMES:
        raise StackupError(f"seccomp profile {name} is not known", hint=f"known: {', '.join(NAMES)}")
    return None if name == "unconfined" else profile(capabilities, setid=name != "no-setid")


def numbers(machine: str) -> dict[str, int]:
    """System call numbers of an architecture: name -> number, as tools/compile_seccomp.py wrote them."""
    lines = _read(f"syscalls.{_known(machine)}").decode().splitlines()
    return {name: int(number) for name, _, number in (line.partition(" ") for line in lines if line)}


def _known(machine: str | None) -> str:
    name = machine or os.uname().machine
    if name not in ARCHITECTURES:
        raise Unsupported(
            f"no seccomp profile for the architecture {name}",
            hint="security_opt: [seccomp=unconfined] runs the service without one",
        )
    return name


def _read(name: str) -> bytes:
    with open(os.path.join(_FOLDER, name), "rb") as file:
        return file.read()


# The list


def parse(text: str, held: Collection[str]) -> dict[str, Verdict]:
    """What the list says for a container holding these capabilities: name -> verdict. `name=number` stays as it is.

    ValueError names a line that cannot be read.
    """
    listed: dict[str, Verdict] = {}
    allowed: dict[str, Verdict] = {}
    section = ""
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            section = _section(line, held)
        elif section in _LISTED:
            listed.update(dict.fromkeys(line.split(), _LISTED[section]))
        elif section == "allow":
            for name, verdict in _allowed(line):
                if allowed.get(name) != ALLOW:
                    allowed[name] = verdict
    # One that a capability allows is in both; `clone` with CAP_SYS_ADMIN is allowed whatever its flags.
    return {**listed, **allowed}


_LISTED = {"deny": DENY, "unknown": UNKNOWN}


def _section(line: str, held: Collection[str]) -> str:
    """allow, deny, unknown or skip."""
    words = line.strip("[]").split()
    if len(words) == 1 and words[0] in ("allow", *_LISTED):
        return words[0]
    if len(words) == 2 and words[0] == "allow" and words[1] in caps.NUMBERS:
        return "allow" if words[1] in held else "skip"
    raise ValueError(f"unknown section {line!r}")


def _allowed(line: str) -> list[tuple[str, Verdict]]:
    words = line.split()
    if len(words) < 3 or not words[1].startswith("arg"):
        return [(name, ALLOW) for name in words]
    kind = "not in" if words[2:4] == ["not", "in"] else words[2]
    if kind not in ("in", "not in", "without"):
        raise ValueError(f"unknown condition {line!r}")
    values = tuple(int(word, 0) for word in words[2 + len(kind.split()) :])
    return [(words[0], Condition(int(words[1][3:]), kind, values))]


# The program


def compile_profile(
    text: str, known: Mapping[str, int], machine: str, held: Collection[str] = caps.DEFAULT, *, over: str = ""
) -> bytes:
    """The BPF program of a list in the form of profiles/default.list. Same arguments, same bytes.

    `known`: system call numbers of the architecture; names it lacks are left out. `over`: a second list whose word
    counts for the calls it names.
    """
    verdicts: dict[int, Verdict] = {}
    for entry, verdict in {**parse(text, held), **parse(over, held)}.items():
        name, _, number = entry.partition("=")
        if name in known or number:
            verdicts[known.get(name, int(number or 0))] = verdict
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (_RETURN, 0, 0, KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
        *_search(_ranges(verdicts)),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _ranges(verdicts: Mapping[int, Verdict]) -> list[tuple[int, Verdict]]:
    """(first number, verdict) of each run of equal verdicts, covering all numbers from 0 on."""
    runs: list[tuple[int, Verdict]] = []
    for number in range(max(verdicts) + 2):
        verdict = verdicts.get(number, UNKNOWN)
        if not runs or runs[-1][1] != verdict:
            runs.append((number, verdict))
    return runs


def _search(runs: list[tuple[int, Verdict]]) -> list[_Instruction]:
    """A binary search for the run that the number in the accumulator lies in."""
    if len(runs) == 1:
        return _leaf(runs[0][1])
    middle = len(runs) // 2
    below, above = _search(runs[:middle]), _search(runs[middle:])
    if len(below) < 256:
        return [(_AT_LEAST, len(below), 0, runs[middle][0]), *below, *above]
    # A conditional jump reaches 255 instructions; an unconditional one has 32 bits.
    return [(_AT_LEAST, 0, 1, runs[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _leaf(verdict: Verdict) -> list[_Instruction]:
    if isinstance(verdict, int):
        return [(_RETURN, 0, 0, verdict)]
    load = (_LOAD, 0, 0, _ARGUMENTS + 8 * verdict.argument)  # both architectures are little-endian: lower half first
    test = _ANY_BIT if verdict.kind == "without" else _EQUAL
    found, otherwise = (ALLOW, DENY) if verdict.kind == "in" else (DENY, ALLOW)
    count = len(verdict.values)
    tests = [(test, count - index, 0, value) for index, value in enumerate(verdict.values)]
    return [load, *tests, (_RETURN, 0, 0, otherwise), (_RETURN, 0, 0, found)]
