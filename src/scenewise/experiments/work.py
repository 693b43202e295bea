"""One cell in a process of its own: its data, its training, its scores. What `campaign` starts side by side."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import torch

from scenewise.errors import InputError
from scenewise.experiments.cell_folder import CAMPAIGN, CellFolder, extras_of
from scenewise.media.folders import BusyError
from scenewise.training.reporter import Reporter, StepProgress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from scenewise.experiments.experiment import Cell
    from scenewise.training.plan import Forecast
    from scenewise.training.validation import Validation

DONE, FAILED, STOPPED, BUSY = 0, 1, 3, 75
"""Exit codes of the process."""

_EVERY = 30.0  # seconds between lines on the steps of a training
_PATIENCE = 120.0  # seconds for a clean end after the process that started it has gone


@dataclass(frozen=True)
class CellJob:
    """What is to be done.

    Attributes:
        cell: The cell.
        module: Module of scenewise.experiments that may get more out of its model than scores.
        out: Folder of the experiment's cells.
        root: Folder of all experiments' folders and of made data.
        words: Settings laid over every recipe.
        device: Where models are scored; training follows its recipe.
        threads: Threads of the CPU.
        gpu: The GPU it is to use, where there are any.
        trains: Whether it may train; else it only scores.
        train_until: Time (of `time.time`) at which training stops cleanly; None for no limit.
    """

    cell: Cell
    module: str
    out: Path
    root: Path
    words: tuple[str, ...] = ()
    device: str = "auto"
    threads: int = 1
    gpu: int | None = None
    trains: bool = True
    train_until: float | None = None


class Stop(BaseException):
    """The process was asked to end."""


class LineReporter(Reporter):
    """Writes what a training tells into a file, a line at a time.

    Args:
        file: Open for writing.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self._last = 0.0

    def planned(self, forecasts: Sequence[Forecast]) -> None:
        """Write what is about to begin, a line per stage."""
        for forecast in forecasts:
            stage = f", {forecast.place}" if str(forecast.place) else ""
            hours = f"about {forecast.hours:.2f} h on {forecast.device}"
            self.noted(f"{forecast.recipe}{stage}: {forecast.steps:,} steps, {hours}")

    def progressed(self, progress: StepProgress) -> None:
        """Write a line now and then."""
        if time.monotonic() - self._last > _EVERY or progress.step == progress.steps:
            self._last = time.monotonic()
            rate = f"{progress.per_second:.2f} steps/s"
            stage = f"{progress.place}: " if str(progress.place) else ""
            self.noted(f"{stage}step {progress.step}/{progress.steps}, {rate}, loss {progress.loss:.1f}")

    def validated(self, step: int, validation: Validation, best: bool) -> None:
        """Write a validation."""
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in validation.row().items())
        self.noted(f"validation at step {step}: {numbers}{' (best, kept)' if best else ''}")

    def followed(self, what: str, done: int, total: int) -> None:
        """Write a line now and then."""
        if time.monotonic() - self._last > _EVERY or done == total:
            self._last = time.monotonic()
            self.noted(f"learning how objects move, {what} {done} of {total}")

    def noted(self, text: str) -> None:
        """Write a line."""
        self.file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self.file.flush()


def work(job: CellJob) -> None:
    """Do a job and end the process with one of the exit codes above; output goes to the cell's log."""
    gc.freeze()  # a collection would walk through all that the libraries are, and copy every page of it
    os.setsid()  # Ctrl-C in the terminal is for the campaign, which asks its processes to end
    if job.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(job.gpu)
    torch.set_num_threads(job.threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = job.out / CAMPAIGN / f"{job.cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(file.fileno(), stream.fileno())
        sys.exit(_done(job, LineReporter(file)))


def _stop(number: int, _: FrameType | None) -> None:
    raise Stop


def _end_with_parent() -> None:
    """Ask this process to end when the one that started it has gone, killed or not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
        os._exit(STOPPED)


def _done(job: CellJob, reporter: LineReporter) -> int:
    """Return how it went."""
    folder = CellFolder(job.cell, job.out, job.words, job.root)
    try:
        with folder.locked():
            folder.forget_failure()
            return _trained_and_scored(job, folder, reporter)
    except BusyError:
        reporter.noted("another process works on this cell")
        return BUSY
    except (Stop, KeyboardInterrupt):
        reporter.noted("stopped; it goes on from here")
        return STOPPED
    except BaseException as error:  # whatever a cell fails with is kept, and the others go on
        reporter.noted("".join(traceback.format_exception(error)))
        with contextlib.suppress(InputError):
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            folder.fail(reason, "".join(traceback.format_exception(error)))
        return FAILED


def _trained_and_scored(job: CellJob, folder: CellFolder, reporter: LineReporter) -> int:
    if job.trains:
        minutes = None if job.train_until is None else max(0.0, (job.train_until - time.time()) / 60)
        outcome = folder.train(reporter, minutes)
        if outcome is not None:
            folder.note_usage(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
            if outcome.stopped is not None:
                reporter.noted(f"stopped by {outcome.stopped} at step {outcome.step} of {outcome.steps}")
                return STOPPED
    if not folder.state().model:
        reporter.noted("no model yet")
        return STOPPED
    count = folder.score(job.device, _Scoring(reporter), extras_of(job.module))
    reporter.noted(f"{count} evaluations made; done")
    return DONE


class _Scoring:
    """Tells now and then how far an evaluation is."""

    def __init__(self, reporter: LineReporter) -> None:
        self.reporter = reporter
        self._last = time.monotonic()

    def __call__(self, protocol: str, done: int, total: int) -> None:
        if time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            self.reporter.noted(f"scores by {protocol}: {done} of {total} frames")
