"""A progress bar with rate and time left; plain lines when nobody watches a terminal.

Items that were already there when a job resumed count as done but not in the rate, so that the time
left is right after a restart.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

PLAIN_SECONDS = 15.0


class Ticker(Protocol):
    """What a long job calls as it goes."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """`amount` more is done; `note` replaces the short text beside the bar."""


class _Rate(ProgressColumn):
    """Items per second over the recent past."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed:.3g}/s", style="dim")


class _Quiet:
    def advance(self, amount: float = 1, note: str = "") -> None:
        pass


class _Bar:
    def __init__(self, bars: RichProgress, label: str, total: float, done: float) -> None:
        self._bars, self._label = bars, escape(label)
        self._task = bars.add_task(self._label, total=total, completed=int(done))

    def advance(self, amount: float = 1, note: str = "") -> None:
        text = f"{self._label} [dim]{escape(note)}[/]" if note else self._label
        self._bars.update(self._task, advance=amount, description=text)


class _Lines:
    """One line every quarter of a minute, and one at the end of what took over two seconds."""

    def __init__(self, label: str, total: float, done: float) -> None:
        self._label, self._total, self._done, self._before = label, total, done, done
        self._start = self._last = time.monotonic()
        self._note = ""

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self.say()

    def say(self) -> None:
        self._last = time.monotonic()
        elapsed = self._last - self._start
        rate = (self._done - self._before) / elapsed if elapsed > 0 else 0.0
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
        share = f" ({self._done / self._total:.0%})" if self._total else ""
        note = f" {self._note}" if self._note else ""
        text = f"{self._label}: {self._done:,.0f}/{self._total:,.0f}{share}{note}, {elapsed:.0f} s{left}"
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, total: float, *, done: float = 0, quiet: bool = False) -> Iterator[Ticker]:
    """Show progress on standard error while the block runs.

    Args:
        label: what is being done, in a few words.
        total: how much there is in all, in items.
        done: how much was there before this run started.
        quiet: show nothing.
    """
    if quiet:
        yield _Quiet()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = _Lines(label, total, done)
        try:
            yield lines
        finally:
            if time.monotonic() - lines._start >= 2:
                lines.say()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console) as bars:
        yield _Bar(bars, label, total, done)
