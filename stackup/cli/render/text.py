"""Values as text for people. No state: a value in, lines out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stackup.cli.output import style
from stackup.planner.states import size

if TYPE_CHECKING:
    from stackup.builder.store.images import StoredImage
    from stackup.engine.views import Published, Replica, StackRow, StatsRow
    from stackup.linux.features import Feature


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need; the last one is not padded. Colour codes take no room."""
    lines = [[style(h, "bold") for h in header], *map(list, rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _width(cell: str) -> int:
    width, at = len(cell), cell.find("\x1b[")
    while at >= 0:
        end = cell.index("m", at)
        width -= end + 1 - at
        at = cell.find("\x1b[", end)
    return width


def age(seconds: float) -> str:
    """How long, in the largest unit that gives at least 1: `12s`, `5m`, `3h`, `4d`."""
    for length, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{int(seconds // length)}{letter}"
    return f"{max(0, int(seconds))}s"


def ps_table(replicas: Sequence[Replica], now: float | None = None) -> str:
    now = time.time() if now is None else now
    rows = [
        (f"{r.service}/{r.number}", r.image, _state(r, now), _health(r), _ports(r.published) or "-") for r in replicas
    ]
    return table(("NAME", "IMAGE", "STATE", "HEALTH", "PORTS"), rows)


def _state(one: Replica, now: float) -> str:
    restarts = f"{one.restarts} restart{'s' if one.restarts > 1 else ''}" if one.restarts else ""
    ended = one.exit or "ended"
    if one.state == "running":
        last = ", ".join(t for t in (restarts, f"last {one.exit}" if one.exit else "", _oom(one.oom_kills)) if t)
        text = "running" if one.started_at is None else f"running {age(now - one.started_at)}"
        return style(text, "green") + (f" ({last})" if last else "")
    if one.state == "restarting":
        left = max(0.0, (one.next_start or now) - now)
        more = f", {restarts}" if restarts else ""
        return style(f"{ended}, starts again in {left:.0f}s{more}", "yellow")
    if one.state == "absent":
        return style("not made yet", "yellow")
    if one.state == "created":
        return style("made, not started", "yellow")
    if one.state == "gone":
        return style("gone", "red")
    since = f", {age(now - one.finished_at)} ago" if one.finished_at is not None else ""
    if one.held:
        return style(f"stopped by you{since}", "yellow")
    return style(f"{ended}{since}", "dim" if one.exit_code == 0 else "red") + (f" ({restarts})" if restarts else "")


def _oom(kills: int) -> str:
    return "" if not kills else "a process was OOM-killed" if kills == 1 else f"{kills} processes were OOM-killed"


def _health(one: Replica) -> str:
    if one.health == "none" or one.state != "running":
        return "-"
    return style(one.health, {"healthy": "green", "unhealthy": "red"}.get(one.health, "yellow"))


def _ports(published: Sequence[Published]) -> str:
    return ", ".join(
        f"{_host(p.host_ip)}:{p.published}->{p.target}{'' if p.protocol == 'tcp' else '/' + p.protocol}"
        for p in published
    )


def _host(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def published_line(port: Published, assumed: str | None = "this machine only") -> str:
    """`web -> http://127.0.0.1:8080 (this machine only; "0.0.0.0:8080:8080" opens it)`. `assumed`: what to say where
    the file names no address; None where it does."""
    everywhere = port.host_ip in ("0.0.0.0", "::")
    host = _host("127.0.0.1" if port.host_ip == "0.0.0.0" else "::1" if port.host_ip == "::" else port.host_ip)
    scheme = "http" if port.protocol == "tcp" else port.protocol
    where = f"{port.service} -> {style(f'{scheme}://{host}:{port.published}', 'bold')}"
    if everywhere:
        return f"{where} (and every other address of this machine)"
    if port.host_ip.startswith("127.") or port.host_ip == "::1":
        if assumed is None:
            return f"{where} (this machine only)"
        suffix = "" if port.protocol == "tcp" else f"/{port.protocol}"
        return f'{where} ({assumed}; "0.0.0.0:{port.published}:{port.target}{suffix}" opens it)'
    return where


def ls_table(stacks: Sequence[StackRow]) -> str:
    rows = [(s.name, str(s.services), f"{s.running}/{s.wished}", s.file or s.folder) for s in stacks]
    return table(("NAME", "SERVICES", "RUNNING", "FILE"), rows)


def stats_table(rows: Sequence[StatsRow]) -> str:
    def one(row: StatsRow) -> tuple[str, ...]:
        cpu = "-" if row.cpu_percent is None else f"{row.cpu_percent:.1f}%"
        memory = size(row.memory) + (f" / {size(row.memory_limit)}" if row.memory_limit else "")
        pids = str(row.pids) + (f" / {row.pids_limit}" if row.pids_limit else "")
        return f"{row.service}/{row.number}", cpu, memory, pids

    return table(("NAME", "CPU", "MEMORY", "PIDS"), map(one, rows))


def image_table(images: Sequence[StoredImage]) -> str:
    rows = [
        (name, one.digest.removeprefix("sha256:")[:12], size(one.size), "this machine" if one.host_bound else "-")
        for one in images
        for name in (one.names or ("-",))
    ]
    return table(("IMAGE", "DIGEST", "SIZE", "TIED TO"), rows)


def doctor_lines(features: Sequence[Feature]) -> str:
    """A line a feature; below a missing one what does not work without it and what to type."""
    width = max((len(f.name) for f in features), default=0)
    lines: list[str] = []
    for one in features:
        word, color = ("ok", "green") if one.present else ("MISSING", "red") if one.needed else ("missing", "yellow")
        lines.append(f"{style(f'{word:<7}', color)}  {one.name:<{width}}  {one.detail}")
        if not one.present:
            lines.append(f"         without it: {one.degrades}")
            lines.append(f"         to do: {one.remedy}")
    return "\n".join(lines)
