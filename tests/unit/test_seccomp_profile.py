"""The shipped profile: no drift between list and bytes, and every call answered as the list says."""

from __future__ import annotations

import errno
import struct
from functools import cache
from pathlib import Path

import pytest

from stackup.errors import StackupError, Unsupported
from stackup.linux import libseccomp
from stackup.runtime import capabilities as caps
from stackup.runtime import seccomp
from stackup.runtime.seccomp import ALLOW, DENY, KILL_PROCESS, UNKNOWN

FOLDER = Path(seccomp.__file__).parent / "profiles"
REFUSED = (
    "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick",
    "mount_setattr", "unshare", "setns", "keyctl", "add_key", "request_key", "bpf", "kexec_load", "kexec_file_load",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "init_module", "finit_module", "delete_module", "reboot",
    "swapon", "swapoff", "perf_event_open", "userfaultfd", "open_by_handle_at", "acct", "quotactl", "syslog",
    "sethostname", "settimeofday", "clock_settime", "kcmp", "pidfd_getfd",
)  # fmt: skip
MACHINES = sorted(seccomp.ARCHITECTURES)


def interpret(program: bytes, number: int, arguments: tuple[int, ...] = (), arch: int | None = None) -> int:
    """What the kernel would return for one call: a machine for the handful of instructions in use."""
    arch = seccomp.ARCHITECTURES["x86_64"] if arch is None else arch
    data = struct.pack("<IIQ6Q", number, arch, 0, *(arguments + (0,) * 6)[:6])
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, value)[0]
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


@cache
def shipped(machine: str = "x86_64") -> bytes:
    return seccomp.default_profile(machine)


def answer(name: str, *arguments: int, machine: str = "x86_64", program: bytes | None = None) -> int:
    number = seccomp.numbers(machine)[name]
    return interpret(program or shipped(machine), number, arguments, seccomp.ARCHITECTURES[machine])


@pytest.mark.parametrize("machine", MACHINES)
def test_the_shipped_bytes_are_what_the_list_compiles_to(machine: str) -> None:
    text = (FOLDER / "default.list").read_text()
    assert seccomp.compile_profile(text, seccomp.numbers(machine), machine) == shipped(machine)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_shipped_numbers_are_libseccomps(machine: str) -> None:
    try:
        known = libseccomp.table(machine)
    except Unsupported as reason:
        pytest.skip(reason.message)
    ours = seccomp.numbers(machine)
    assert {name: ours[name] for name in known.keys() & ours.keys()} == {
        n: known[n] for n in known.keys() & ours.keys()
    }
    assert not known.keys() - ours.keys(), "run tools/compile_seccomp.py"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_answers_every_number_as_the_list_says(machine: str) -> None:
    verdicts = {}
    for entry, verdict in seccomp.parse((FOLDER / "default.list").read_text(), caps.DEFAULT).items():
        name, _, number = entry.partition("=")
        if number or name in seccomp.numbers(machine):
            verdicts[seccomp.numbers(machine).get(name, int(number or 0))] = verdict
    arch = seccomp.ARCHITECTURES[machine]
    for number in (*range(700), 0x3FFFFFFF, 0x40000000, 0x40000001, 0xFFFFFFFF):
        expected = verdicts.get(number, UNKNOWN)
        if isinstance(expected, int):
            assert interpret(shipped(machine), number, arch=arch) == expected, number


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_is_known_is_decided_but_clone3(machine: str) -> None:
    decided = {n.partition("=")[0] for n in seccomp.parse((FOLDER / "default.list").read_text(), caps.DEFAULT)}
    assert set(seccomp.numbers(machine)) - decided == {"clone3"}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", REFUSED)
def test_dangerous_calls_are_refused_with_eperm(name: str, machine: str) -> None:
    assert answer(name, machine=machine) == DENY


def test_clone3_and_the_future_are_unknown_so_that_programs_fall_back() -> None:
    assert answer("clone3") == UNKNOWN
    assert interpret(shipped(), 600) == UNKNOWN
    assert UNKNOWN & 0xFFFF == errno.ENOSYS


@pytest.mark.parametrize("flag", [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_makes_processes_and_threads_but_no_namespace(flag: int) -> None:
    sigchld, thread = 17, 0x3D0F00
    assert answer("clone", sigchld) == ALLOW
    assert answer("clone", thread) == ALLOW
    assert answer("clone", sigchld | flag) == DENY
    assert answer("clone", sigchld | flag | 1 << 40) == DENY


def test_sockets_of_ordinary_families_only() -> None:
    for family in (1, 2, 10, 16, 17):
        assert answer("socket", family) == ALLOW
    for vsock_alg_xdp_can in (40, 38, 44, 29):
        assert answer("socket", vsock_alg_xdp_can) == DENY
    # the kernel looks at the lower 32 bits, so must the filter
    assert answer("socket", 40 | 1 << 32) == DENY


def test_personality_keeps_the_memory_layout_random() -> None:
    for good in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert answer("personality", good) == ALLOW
    assert answer("personality", 0x0040000) == DENY


def test_nobody_types_into_a_terminal() -> None:
    assert answer("ioctl", 3, 0x5413) == ALLOW  # TIOCGWINSZ
    assert answer("ioctl", 3, 0x5412) == DENY  # TIOCSTI
    assert answer("ioctl", 3, 0x5412 | 1 << 32) == DENY  # CVE-2019-7303: the kernel drops the upper half
    assert answer("ioctl", 3, 0x541C) == DENY


def test_debuggers_work_inside() -> None:
    assert answer("ptrace") == answer("process_vm_readv") == ALLOW


def test_a_call_through_another_abi_ends_the_process() -> None:
    i386, arm = 0x40000003, 0x40000028
    assert interpret(shipped(), 1, arch=i386) == KILL_PROCESS
    assert interpret(shipped("aarch64"), 1, arch=arm) == KILL_PROCESS
    assert interpret(shipped(), 0x40000000 | 165, arch=seccomp.ARCHITECTURES["x86_64"]) == UNKNOWN  # x32's mount


def test_a_capability_brings_the_calls_it_is_for_and_no_others() -> None:
    program = seccomp.profile([*caps.DEFAULT, "CAP_SYS_ADMIN"], "x86_64")
    assert answer("mount", program=program) == ALLOW
    assert answer("clone", 0x10000000, program=program) == ALLOW
    assert answer("kexec_load", program=program) == DENY
    assert answer("reboot", program=program) == DENY
    assert answer("keyctl", program=program) == DENY


def test_fewer_capabilities_use_the_shipped_bytes() -> None:
    assert seccomp.profile([], "x86_64") == seccomp.profile(caps.DEFAULT, "x86_64") == shipped()


def test_where_host_roots_folders_can_be_written_no_file_gets_a_setid_bit() -> None:
    program = seccomp.profile(caps.DEFAULT, "x86_64", setid=False)
    places = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mknod": 1, "mknodat": 2, "creat": 1, "open": 2, "openat": 3}
    for name, place in places.items():
        before = (0,) * place
        assert answer(name, *before, 0o755, program=program) == ALLOW
        assert answer(name, *before, 0o4755, program=program) == DENY
        assert answer(name, *before, 0o2755, program=program) == DENY
        assert answer(name, *before, 0o4755) == ALLOW, "elsewhere packages may be installed"
    assert interpret(program, 452, (0, 0, 0o4755)) == DENY  # fchmodat2
    assert answer("openat2", program=program) == UNKNOWN
    assert answer("mount", program=program) == DENY
    assert answer("read", program=program) == ALLOW


def test_a_profile_by_name() -> None:
    assert seccomp.named("unconfined", ()) is None
    assert seccomp.named("default", caps.DEFAULT) == seccomp.default_profile()
    assert seccomp.named("no-setid", caps.DEFAULT) == seccomp.profile(caps.DEFAULT, setid=False)
    with pytest.raises(StackupError, match="mine"):
        seccomp.named("mine", ())


def test_an_architecture_without_a_profile_is_said() -> None:
    with pytest.raises(Unsupported, match="mips"):
        seccomp.default_profile("mips")


def test_a_program_of_any_length_finds_its_way() -> None:
    """Jumps of more than 255 instructions: every even number allowed, every odd one with a long condition."""
    names = {f"c{n}": n for n in range(400)}
    lines = ["[allow]"]
    lines += [f"c{n}" if n % 2 == 0 else f"c{n} arg0 in 1 2 3 {n}" for n in range(400)]
    program = seccomp.compile_profile("\n".join(lines), names, "x86_64")
    for n in range(400):
        assert interpret(program, n, (n,)) == ALLOW
        assert interpret(program, n, (1000,)) == (ALLOW if n % 2 == 0 else DENY)


def test_a_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="CAP_FLY"):
        seccomp.parse("[allow CAP_FLY]\nread", ())
    with pytest.raises(ValueError, match="above"):
        seccomp.parse("[allow]\nread arg0 above 3", ())
