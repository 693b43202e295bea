"""What a verb tells, and in which form: progress, lines, and the answer as JSON; the options that every verb has."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import logging
import math
import os
import sys
import time
import traceback
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import TextIO

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
"""Names that --log-level takes."""

PRINTED = "-"
"""Where JSON goes to be printed."""


@dataclass
class Voice:
    """What may be told while a verb runs.

    Attributes:
        level: Of `logging`; notes, warnings and progress are told from `logging.WARNING` down.
        screen: Where the answer goes as JSON; None where it is not asked for, or has been given.
    """

    level: int = logging.WARNING
    screen: Any = None

    @property
    def quiet(self) -> bool:
        """Whether nothing but errors and results is told."""
        return self.level > logging.WARNING


VOICE = Voice()
"""That of the verb which runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, on every verb below a parser that has some."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if below:
        for verb in dict.fromkeys(below[0].choices.values()):
            add_arguments(verb)
        return
    group = parser.add_argument_group("what is printed")
    if "--json" not in parser._option_string_actions:
        group.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    level = group.add_mutually_exclusive_group()
    level.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    level.add_argument("-v", "--verbose", action="count", default=0, help="print what libraries log; -vv: all of it")
    level.add_argument(
        "--log-level", choices=tuple(LEVELS), metavar="LEVEL", help=f"{', '.join(LEVELS)}; default: warning"
    )


def add_json_file(parser: Any, what: str) -> None:
    """Declare --json for a verb that can write its answer to a file too.

    Args:
        parser: Of the verb, or a group of it.
        what: What the answer holds.
    """
    parser.add_argument("--json", nargs="?", const=PRINTED, metavar="FILE", help=f"write {what}; print it without FILE")


@contextmanager
def speaking(args: argparse.Namespace) -> Iterator[None]:
    """Let a verb tell as much as was asked for, and print its answer as JSON where that was.

    The answer is what the verb put into `args.answer`, or the lines that it printed.

    Args:
        args: Parsed options; after the verb its exit code is in `args.code`.
    """
    before, began = VOICE.level, time.perf_counter()
    VOICE.level = _level(args)
    logged = logging.getLogger()
    level = logged.level
    if VOICE.level < logging.WARNING:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        logged.setLevel(VOICE.level)
    place = getattr(args, "json", None)
    wanted = place is True or place == PRINTED
    lines, screen = io.StringIO(), sys.stdout
    VOICE.screen = screen if wanted else None
    try:
        with redirect_stdout(lines) if wanted else _silence():
            yield
        if wanted and args.json is None:  # the verb has handed the answer on to another
            screen.write(lines.getvalue())
        elif VOICE.screen is not None:
            _print(getattr(args, "answer", {"lines": lines.getvalue().splitlines()}), screen)
        elif place and hasattr(args, "answer"):
            from scenewise.media.files import write_atomically

            write_atomically(place, json.dumps(plain(args.answer), indent=1) + "\n")
            if not VOICE.quiet:
                print(f"  {place}")
        logging.getLogger("scenewise").info("done in %.2f s", time.perf_counter() - began)
    except InputError as error:
        if VOICE.level <= logging.DEBUG:
            traceback.print_exc()
        if VOICE.screen is not None:
            print_error(error, screen)
        raise
    finally:
        VOICE.level, VOICE.screen = before, None
        logged.setLevel(level)


def announce(answer: Any) -> None:
    """Print the answer of a verb that goes on until it is ended, where it is wanted as JSON."""
    if VOICE.screen is not None:
        _print(answer, VOICE.screen)
        VOICE.screen = None


def print_error(error: InputError, screen: Any) -> None:
    """Print an error as JSON."""
    _print({"error": {"subject": error.subject, "problem": error.problem, "remedy": error.remedy}}, screen)


def prints_json(parser: argparse.ArgumentParser, words: Sequence[str]) -> bool:
    """Return whether words that cannot be parsed ask for the answer as JSON on the standard output.

    Args:
        parser: Of the verb; its --json may take a file, which the next word is then.
        words: Those after the verb.
    """
    option = parser._option_string_actions.get("--json")
    for word, after in itertools.zip_longest(words, words[1:], fillvalue="-"):
        if len(word) > 2 and "--json".startswith(word):  # argparse takes the beginning of an option for all of it
            return option is None or option.nargs is None or option.nargs == 0 or after.startswith("-")
    return False


def plain(value: Any) -> Any:
    """Return a value as JSON takes it: numbers that are not finite are None, what it does not know is text.

    Examples:
        >>> plain({"mse": float("nan"), "size": (2, 3)})
        {'mse': None, 'size': [2, 3]}
    """
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def _level(args: argparse.Namespace) -> int:
    if getattr(args, "log_level", None):
        return LEVELS[args.log_level]
    if getattr(args, "quiet", False):
        return logging.ERROR
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(getattr(args, "verbose", 0), 2)]


@contextmanager
def _silence() -> Iterator[None]:
    """Print nothing where quiet was asked for."""
    if not VOICE.quiet:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def _print(answer: Any, screen: Any) -> None:
    letters = (getattr(screen, "encoding", None) or "utf-8").lower().startswith("utf")  # else \xNN, which is no JSON
    screen.write(json.dumps(plain(answer), indent=1, ensure_ascii=not letters) + "\n")
    screen.flush()


# -- lines and progress ----------------------------------------------------------------------------------------------

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
