"""Values with rules of their own: each reads one canonical node, as the parts in `readers` do."""

from __future__ import annotations

from typing import Any

from stackup.spec import hints
from stackup.spec.model import Path
from stackup.spec.nodes import Node, shorten
from stackup.spec.readers import (
    NUMERAL,
    SCALAR,
    TEXT_OR_LIST,
    AnyReader,
    Reader,
    Reading,
    cores,
    expected,
    integer,
    listed,
    matching,
    reads,
    real,
    size,
    text,
    words,
)
from stackup.spec.suggest import did_you_mean


def _no_limit(node: Node) -> bool:
    return not isinstance(node.value, bool) and str(node.value).strip() in ("-1", "0")


@reads({"anyOf": [size, {"const": -1}]})
def memory(node: Node, path: Path, reading: Reading) -> int | None:
    """A size; -1 and 0 mean no limit."""
    value: int = 0 if _no_limit(node) else size(node, path, reading)
    if 0 < value < 1 << 20:
        hint = f"did you mean '{node.text}M'?" if node.text.isdecimal() else "a container needs some"
        reading.report.problem(node, f"{shorten(node.text)!r} is {value} bytes", hint)
    return value or None


@reads({"anyOf": [{"const": 0}, cores]})
def processors(node: Node, path: Path, reading: Reading) -> float | None:
    """A number of cores; 0 means no limit."""
    return None if real(node) == 0 else cores(node, path, reading)


@reads({"anyOf": [integer(-1, 1 << 22)]})
def pids(node: Node, path: Path, reading: Reading) -> int | None:
    """A count; -1 and 0 mean no limit."""
    if _no_limit(node):
        return None
    value: int = integer(1, 1 << 22)(node, path, reading)
    return value


@reads({"anyOf": [integer(0, 262_144)]})
def shares(node: Node, path: Path, reading: Reading) -> int | None:
    """A weight; 0 means the usual one."""
    return integer(0, 262_144)(node, path, reading) or None


@reads({"anyOf": [size]})
def reservation(node: Node, path: Path, reading: Reading) -> int | None:
    """A size; 0 means none."""
    return size(node, path, reading) or None


@reads({"anyOf": [size, {"const": -1}]})
def swap(node: Node, path: Path, reading: Reading) -> int | None:
    """A size, -1 for as much as there is; 0 means that nothing is said."""
    return -1 if str(node.value).strip() == "-1" else reservation(node, path, reading)


_TEST = listed(words, TEXT_OR_LIST)


@reads({"anyOf": [text, _TEST]})
def test(node: Node, path: Path, reading: Reading) -> tuple[str, ...]:
    value: tuple[str, ...] = _TEST(node, path, reading)
    if value and value[0] not in ("NONE", "CMD", "CMD-SHELL"):
        reading.report.problem(node.list[0], f"{shorten(value[0])!r} begins no check", "begin with CMD or CMD-SHELL")
    elif value and value[0] != "NONE" and len(value) < 2:
        reading.report.problem(node, f"no command after {value[0]}")
    elif value and value[0] == "CMD-SHELL" and len(value) > 2:
        reading.report.problem(node, "CMD-SHELL takes one text", "write CMD for a list of words")
    return value


@reads({"type": "string"})
def capability(node: Node, path: Path, reading: Reading) -> str:
    value = text(node, path, reading).upper()
    name: str = value.removeprefix("CAP_")
    if name == "ALL":
        return name
    if value and name not in hints.CAPABILITIES:
        reading.report.problem(node, f"{node.value!r} is no capability", did_you_mean(name, hints.CAPABILITIES))
    return f"CAP_{name}"


@reads(NUMERAL)
def signal(node: Node, path: Path, reading: Reading) -> str:
    import signal

    value: str = words(node, path, reading).upper()
    if not value:  # the image's own
        return ""
    name = value if value.startswith("SIG") else f"SIG{value}"
    known = {s.name for s in signal.Signals}
    if value.isdecimal() and 1 <= int(value[:4]) <= 64:
        return value
    if name.startswith(("SIGRTMIN+", "SIGRTMAX-")) and name[9:].isdecimal() and int(name[9:11]) <= 30:
        return name
    if value and name not in known:
        hint = "from 1 to 64" if value.isdecimal() else did_you_mean(name, known)
        reading.report.problem(node, f"{shorten(node.text)!r} is no signal", hint)
    return name


@reads(SCALAR)
def sysctl(node: Node, path: Path, reading: Reading) -> str:
    name = str(path[-1])
    if not name.startswith(hints.SYSCTLS):
        hint = "only net.*, fs.mqueue.* and kernel.{msg,shm,sem}* are a container's own"
        reading.report.problem(node, f"{shorten(name)!r} belongs to the whole machine", hint, at_key=True)
    value: str = words(node, path, reading)
    return value


_SECURITY = ("no-new-privileges", "seccomp", "apparmor", "systempaths")


@reads({"type": "string"})
def security(node: Node, path: Path, reading: Reading) -> str:
    value: str = text(node, path, reading)
    name, _, setting = value.partition("=")
    if name not in _SECURITY:
        if value:
            reading.report.problem(node, f"unknown security option {shorten(value)!r}", did_you_mean(name, _SECURITY))
    elif name == "apparmor":
        reading.report.problem(node, "an AppArmor profile is not built yet", "leave it out")
    elif name == "seccomp" and setting != "unconfined":
        reading.report.problem(node, "a seccomp profile of your own is not built yet", "write seccomp=unconfined")
    elif name == "systempaths" and setting != "unconfined":
        reading.report.problem(node, f"{shorten(value)!r} is no setting", "write systempaths=unconfined")
    elif name == "no-new-privileges" and setting not in ("", "true", "false"):
        reading.report.problem(node, f"{shorten(value)!r} is no setting", "write no-new-privileges=true")
    return value


@reads({"type": "string"})
def address(node: Node, path: Path, reading: Reading) -> str:
    import ipaddress

    value: str = text(node, path, reading)
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if value not in ("", "host-gateway"):
            reading.report.problem(node, f"{shorten(value)!r} is no address")
    return value


@reads({"type": "string", "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}$"})
def ipv4(node: Node, path: Path, reading: Reading) -> str:
    value: str = address(node, path, reading)
    if ":" in value or value == "host-gateway":
        reading.report.problem(node, f"{shorten(value)!r} is no IPv4 address")
    return value


@reads({"type": "string", "pattern": "^[0-9.]+/[0-9]+$"})
def subnet(node: Node, path: Path, reading: Reading) -> str:
    import ipaddress

    value: str = text(node, path, reading)
    try:
        subnet = ipaddress.ip_network(value)
    except ValueError as error:
        reading.report.problem(
            node, f"{shorten(value)!r} is no subnet", "as in '10.90.0.0/24'" if value else str(error)
        )
        return "0.0.0.0/0"
    if subnet.version == 6:
        reading.report.problem(node, "an IPv6 subnet is not built yet")
    elif not 8 <= subnet.prefixlen <= 29:
        reading.report.problem(
            node, f"{value!r} is too {'small' if subnet.prefixlen > 29 else 'large'}", "from /8 to /29"
        )
    return value


@reads({"type": "string", "pattern": "^[0-9.]+/[0-9]+$"})
def address_range(node: Node, path: Path, reading: Reading) -> str | None:
    import ipaddress

    value: str = text(node, path, reading)
    try:
        ipaddress.IPv4Network(value)
    except ValueError:
        if value:
            reading.report.problem(node, f"{shorten(value)!r} is no range of addresses", "as in '10.90.0.128/25'")
        return None
    return value


_OCTAL = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(0o)?[0-7]{1,5}$"}]}


@reads(_OCTAL)
def octal(node: Node, path: Path, reading: Reading) -> str:
    """Octal text of four digits: `0644`, also where it was written `644` or `0o644`."""
    written = node.text.removeprefix("0o") if isinstance(node.value, int | str) else ""
    if isinstance(node.value, bool) or not written or len(written) > 5 or written.strip("01234567"):
        expected("a mode in octal digits", node, reading, "as in '0644'")
        return "0644"
    return written.lstrip("0").zfill(4)


@reads(_OCTAL)
def tmpfs_mode(node: Node, path: Path, reading: Reading) -> int:
    return int(octal(node, path, reading), 8)


_OWNER = matching(r"[a-z_0-9][a-zA-Z0-9_.-]*(:[a-z_0-9][a-zA-Z0-9_.-]*)?", "owner", "as in '1000:1000'", words)


@reads(_OWNER.schema)
def owner(node: Node, path: Path, reading: Reading) -> str:
    """A number alone means the group of the same number; for a name the image says which group is the user's own."""
    value: str = _OWNER(node, path, reading)
    return f"{value}:{value}" if value.isdecimal() else value


def nonempty(reader: AnyReader) -> Reader:
    def read(node: Node, path: Path, reading: Reading) -> Any:
        value = reader.read(node, path, reading)
        if not value and node.value in ("", [], {}):
            reading.report.problem(node, "is empty")
        return value

    return Reader(read, {"anyOf": [reader]})


@reads({"type": "string", "minLength": 1})
def program(node: Node, path: Path, reading: Reading) -> str:
    """A program of this machine: a name to be looked up in the system path, or an absolute path."""
    value: str = nonempty(text)(node, path, reading)
    if "/" in value and not value.startswith("/"):
        hint = "a name, as in 'sh', or a path from '/'; what the project brings is a layer 'copy'"
        reading.report.problem(node, f"{shorten(value)!r} is no program of this machine", hint)
    return value


OF_THE_TOOL = "com.docker.compose."


@reads({"type": ["string", "number", "boolean", "null"]})
def any_label(node: Node, path: Path, reading: Reading) -> str:
    """The value of a label; no value is an empty one."""
    return "" if node.value is None else str(words(node, path, reading))


@reads(any_label.schema)
def label(node: Node, path: Path, reading: Reading) -> str:
    """A label of what stackup makes: some are stackup's to give."""
    if str(path[-1]).startswith(OF_THE_TOOL):
        message = f"labels that begin with '{OF_THE_TOOL}' are not the file's to give"
        reading.report.problem(node, message, "other tools find containers by them", at_key=True)
    return str(any_label(node, path, reading))


OURS = "stackup."


@reads(any_label.schema)
def annotation(node: Node, path: Path, reading: Reading) -> str:
    """An annotation of the runtime spec: some are stackup's to give."""
    if str(path[-1]).startswith(OURS):
        message = f"annotations that begin with '{OURS}' are not the file's to give"
        reading.report.problem(node, message, "the runtime obeys them", at_key=True)
    return str(any_label(node, path, reading))


@reads({"anyOf": [integer(-1000, 1000)]})
def oom_score(node: Node, path: Path, reading: Reading) -> int:
    """-1000 to 1000; what lies below 0 would outlive the machine's own programs and is read as 0."""
    value: int = integer(-1000, 1000)(node, path, reading)
    if value < 0:
        message = "below 0 has no effect: a container does not outlive the machine's own programs"
        reading.report.warn_alike(node, message)
    return max(value, 0)
