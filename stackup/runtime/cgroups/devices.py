"""The devices controller of v1 (cgroup-v1/devices.rst): which device files may be opened. Pure.

In a user namespace nobody can make a device file, so this is the second of two locks. v2 has no such files (a BPF
program would be needed): there the first lock stands alone.
"""

from __future__ import annotations

from stackup.oci import Document, Json

# The devices of the minimal /dev of the OCI runtime spec (config-linux.md, "Default Devices"), with ptmx and pts.
DEFAULT = (
    "c 1:3 rw",  # null
    "c 1:5 rw",  # zero
    "c 1:7 rw",  # full
    "c 1:8 rw",  # random
    "c 1:9 rw",  # urandom
    "c 5:0 rw",  # tty
    "c 5:1 rw",  # console
    "c 5:2 rw",  # ptmx
    "c 136:* rw",  # pts/*
)


_DEFAULT_NUMBERS = frozenset(text.rpartition(" ")[0] for text in DEFAULT)


def is_default(resources: Document) -> bool:
    """True where the document allows no device beyond the default ones: such containers share one group."""
    allowed = (line(rule) or "" for rule in resources.get("devices") or () if rule.get("allow"))
    return all(text.rpartition(" ")[0] in _DEFAULT_NUMBERS for text in allowed)


def v1(resources: Document) -> list[tuple[str, str]]:
    """(file, content) in the order to write: deny all, the default ones, then the document's rules in their order."""
    files = [("devices.deny", "a"), *(("devices.allow", line) for line in DEFAULT)]
    for rule in resources.get("devices") or ():
        text = line(rule)
        if text is not None:
            files.append(("devices.allow" if rule.get("allow") else "devices.deny", text))
    return files


def line(rule: Json) -> str | None:
    """`c 1:3 rwm` for a rule of `linux.resources.devices`; None for "deny everything", which is said already."""
    kind = rule.get("type", "a")
    if kind == "a":
        return None if not rule.get("allow") else "a"
    numbers = ":".join("*" if rule.get(name) in (None, -1) else str(rule[name]) for name in ("major", "minor"))
    return f"{kind} {numbers} {rule.get('access', 'rwm')}"
