"""Sizes and durations as Compose writes them. ValueError says what is wrong, lower-case, naming the text."""

from __future__ import annotations

import re

# Not compiled here: most files need none of them.
_SIZE = r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtT]?)(?:[iI]?[bB])?"
_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)"
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
    "w": 604800.0,
}  # fmt: skip
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]*)?|\.[0-9]+"
_MOST_BYTES = 1 << 62
_LONGEST = 10 * 365 * 86400.0


_TRUTH = {"true": True, "yes": True, "on": True, "y": True, "false": False, "no": False, "off": False, "n": False}


def truth_pattern(*meant: bool) -> str:
    """The texts that `truth` takes for one of `meant`, as a regular expression of JavaScript."""
    words = ("".join(f"[{c}{c.upper()}]" for c in word) for word, value in _TRUTH.items() if value in meant)
    return f"^ *({'|'.join(words)}) *$"


def truth(value: object) -> bool | None:
    """True and false, also as a text and in other words for them, as Compose has them; None of anything else."""
    if isinstance(value, str):
        return _TRUTH.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def size(text: str) -> int:
    """Bytes of `64M`, `1.5gb`, `512k`, `65536`: powers of 1024, as in Docker."""
    match = re.fullmatch(_SIZE, text.strip())
    if not match or len(text) > 40:
        raise ValueError(f"{text[:40]!r} is no size; write bytes or a number with k, m, g, as in '64M'")
    value = int(float(match[1]) * _FACTOR[match[2].lower()]) if "." in match[1] else int(match[1]) * _FACTOR[
        match[2].lower()
    ]  # fmt: skip
    if value > _MOST_BYTES:
        raise ValueError(f"{text!r} is more than any machine has")
    return value


def duration(text: str) -> float:
    """Seconds of `1m30s`, `500ms`, `2h`; a bare number is seconds. Go's grammar, without a sign, and days and weeks."""
    text = text.strip()
    if re.fullmatch(_NUMBER, text):
        value = float(text)
    else:
        parts = re.findall(_PART, text) if len(text) <= 60 else []
        if not parts or "".join(n + u for n, u in parts) != text:
            raise ValueError(f"{text[:60]!r} is no duration; write it as '90s', '1m30s', '500ms'")
        value = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if value > _LONGEST:
        raise ValueError(f"{text!r} is longer than ten years")
    return round(value, 9)


def size_text(value: int) -> str:
    """The shortest exact form: 67108864 -> `64M`."""
    for letter, factor in (("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)):
        if value and value % factor == 0:
            return f"{value // factor}{letter}"
    return str(value)


def duration_text(value: float) -> str:
    """The shortest exact form in one unit: 90.0 -> `90s`, 0.5 -> `500ms`."""
    if value == int(value):
        return f"{int(value)}s"
    if value * 1000 == int(value * 1000):
        return f"{int(value * 1000)}ms"
    return f"{value:.9f}".rstrip("0") + "s"
