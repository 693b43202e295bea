"""Progress of a run: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from scenewise.cli.output import VOICE
from scenewise.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0


def say(text: str, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a line; names of files and what came from them are shown as text, escape sequences included.

    Args:
        text: One line.
        end: What follows it.
        file: Standard output where None.
    """
    print(printable(text), end=end, file=file)


def note(text: str) -> None:
    """Print a line on the standard error stream, unless nothing but errors is to be told."""
    if not VOICE.quiet:
        say(text, file=sys.stderr)


class Progress:
    """Shows frames done, frames per second and time left on the standard error stream.

    Args:
        title: What is being done.
        unit: What is counted.
    """

    def __init__(self, title: str, unit: str = "frames") -> None:
        self.title, self.quiet, self.unit = printable(title, 120), VOICE.quiet, unit
        self._bar: Any = None
        self._task: Any = None
        self._started = self._told = time.perf_counter()
        self._before: int | None = None  # what had been done already when this began

    def __call__(self, done: int, total: int | None) -> None:
        """Tell how far it is; `total` may be unknown, and headers of videos err."""
        self._before = done - 1 if self._before is None else self._before
        rate = (done - self._before) / max(time.perf_counter() - self._started, 1e-9)
        total = None if total is None else max(total, done)
        known = total is not None and self._bar is None  # a bar tells the time left by itself
        left = f", {duration((total - done) / max(rate, 1e-9))} left" if known else ""  # type: ignore[operator]
        self.show(done, total, f"{rate:.1f} {self.unit}/s{left}")

    def show(self, done: int, total: int | None, rate: str) -> None:
        """Tell how far it is, and how fast in words of whoever counts."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, rate=rate)
        elif time.perf_counter() - self._told >= SECONDS_BETWEEN_LINES:
            self._told = time.perf_counter()
            count = f"{done}" if total is None else f"{done} of {total}"
            print(f"{self.title}: {count} {self.unit}, {rate}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        self._started = self._told = time.perf_counter()
        if not self.quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=None, rate="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def status(name: str) -> Callable[[str], None]:
    """Return what tells on a terminal what is being done, in one line that is overwritten; elsewhere it is silent."""

    def tell(what: str) -> None:
        if sys.stderr.isatty() and not VOICE.quiet:
            print(f"\r\033[K{printable(f'{name}: {what}', 120)}", end="", file=sys.stderr, flush=True)

    return tell


def clear_status() -> None:
    """Take the line of `status` off a terminal."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),  # names of files are text, whatever is in them
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=Console(stderr=True))
