"""Events as they happen, on stderr: a live tree on a terminal, plain prefixed lines elsewhere.

Both are Reporters that may be called from any thread. A stderr that nobody reads any more never stops the work.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackup.cli.output import style
from stackup.events import Done, Event, Failed, Output, Reporter, Skipped, Started, Warned

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

# Steps that are over before a line about their beginning could be read.
_SHORT = frozenset(("create", "start", "update", "delete"))


@contextmanager
def reporter(quiet: bool = False) -> Iterator[Reporter]:
    """The Reporter for a verb that works for a while; the tree is taken down at the end, its last state stays."""
    if quiet:
        yield _only_troubles
    elif sys.stderr.isatty() and style("x", "bold", sys.stderr) != "x":
        with Tree() as tree:
            yield tree
    else:
        yield Lines()


def _only_troubles(event: Event) -> None:
    if isinstance(event, Failed | Skipped | Warned):
        Lines()(event)


class Lines:
    """`service:web/1: started (0.1 s)`; output of a step as `image:web | text`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        line = line_of(event)
        if line is None:
            return
        with self._lock:
            try:
                print(line, file=sys.stderr, flush=True)
            except BrokenPipeError:
                pass


def line_of(event: Event) -> str | None:
    """An event as a line, None for one that is not worth it."""
    match event:
        case Started():
            return None if event.text in _SHORT else f"{event.resource}: {event.text} ..."
        case Output():
            return f"{event.resource} | {event.text}"
        case Done():
            took = f" ({event.seconds:.1f} s)" if event.seconds >= 0.05 else ""
            return f"{event.resource}: {event.text}{took}"
        case Failed():
            hint = f"\n{event.resource}: hint: {event.hint}" if event.hint else ""
            # A step's last lines stand above already, and once more in the error at the end.
            text = event.text.splitlines()[0].removesuffix("; its last lines:") if event.text else ""
            return f"{event.resource}: {style('failed', 'red', sys.stderr)}: {text}{hint}"
        case Skipped():
            return f"{event.resource}: skipped: {event.text}"
        case Warned():
            about = f"{event.resource}: " if event.resource else ""
            return f"{style('warning:', 'yellow', sys.stderr)} {about}{event.text}"


class _Row:
    """A resource in the tree: what is being done, since when, and how it ended."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self.text = ""
        self.began: float | None = None
        self.seconds = 0.0
        self.mark = "run"
        self.output: list[str] = []

    def take(self, event: Event) -> None:
        match event:
            case Started():
                self.text, self.mark, self.began = event.text, "run", time.monotonic()
            case Output():
                self.output = [*self.output[-2:], event.text]
            case Done():
                self.seconds += event.seconds
                self.text, self.mark, self.began, self.output = event.text, "done", None, []
            case Failed():
                self.text, self.mark, self.began = event.text, "failed", None
            case Skipped():
                self.text, self.mark, self.began = event.text, "skipped", None
            case Warned():
                pass


_KINDS = {"image": "images", "network": "networks", "volume": "volumes", "service": "services"}
_MARKS = {
    "done": ("✔", "green"), "failed": ("✘", "red"), "skipped": ("-", "yellow"), "run": ("•", "cyan"),
}  # fmt: skip
_MOST_DONE = 12  # finished rows a kind shows before they are counted instead


class Tree:
    """The live tree. rich is imported only here, once there is a terminal to draw on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # never held while rich is called: rich draws under a lock of its own
        self._starting = threading.Lock()
        self._rows: dict[str, _Row] = {}
        self._console: Console | None = None
        self._live: Live | None = None

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        with self._starting:
            if self._live is None:
                self._begin()
        with self._lock:
            if event.resource:
                self._rows.setdefault(event.resource, _Row(event.resource)).take(event)
        if isinstance(event, Warned) or (isinstance(event, Failed) and event.hint):
            line = line_of(event)
            assert self._console is not None and line is not None
            self._console.print(line, markup=False, highlight=False)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=8, redirect_stdout=False,
            redirect_stderr=False,
        )  # fmt: skip
        self._live.start()

    def _draw(self) -> RenderableType:
        from rich.text import Text

        with self._lock:
            lines = list(self._lines(time.monotonic()))
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, (line, color) in enumerate(lines):
            text.append(("\n" if number else "") + line, style=color)
        return text

    def _lines(self, now: float) -> Iterator[tuple[str, str]]:
        for kind, title in _KINDS.items():
            rows = [r for r in self._rows.values() if r.resource.partition(":")[0] == kind]
            if not rows:
                continue
            yield title, "bold"
            done = [r for r in rows if r.mark == "done"]
            hidden = done[:-_MOST_DONE] if len(done) > _MOST_DONE else []
            shown = [r for r in rows if r not in hidden]
            if hidden:
                yield f"├ ✔ {len(hidden)} more", "green"
            for row in shown:
                last = row is shown[-1]
                mark, color = _MARKS[row.mark]
                seconds = row.seconds + (now - row.began if row.began is not None else 0)
                took = f"  {seconds:.1f} s" if seconds >= 0.05 else ""
                name = row.resource.partition(":")[2]
                yield f"{'└' if last else '├'} {mark} {name:<20} {row.text}{took}", color
                for line in row.output:
                    yield f"{' ' if last else '│'}     {line}", "dim"
