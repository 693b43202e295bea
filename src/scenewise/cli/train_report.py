"""What `scenewise train` shows while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from scenewise.training.recipe import StagePlace
from scenewise.training.reporter import Forecast, Reporter, StepProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.training.validation import Validation

_EVERY = 30.0  # seconds between lines where the output is no terminal


class ConsoleReporter(Reporter):
    """A bar on a terminal, a line now and then elsewhere; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
        ]
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task: Any = None
        self._last = 0.0

    def __enter__(self) -> ConsoleReporter:
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Take it away."""
        self.bar.stop()

    def planned(self, forecasts: Sequence[Forecast]) -> None:
        """Print what is about to begin: data, model and memory of the largest stage, and the time of each."""
        largest = max(forecasts, key=lambda forecast: forecast.memory_gib)
        first, longest = largest.cells
        cells = f"{first:,}" if first == longest else f"{first:,} to {longest:,}"
        lines = {
            "recipe": largest.recipe,
            "data": f"{forecasts[-1].data}, {forecasts[-1].videos:,} videos",
            "model": f"{forecasts[-1].parameters:,} parameters",
            "device": largest.device,
            "step": f"{cells} cells (decodes of a frame)",
            "memory": f"about {largest.memory_gib:.1f} GiB",
        }
        stages = [(f"stage {f.place.number}", f"{f.place.name}: {_time_of(f)}") for f in forecasts if f.place.name]
        hours, steps = sum(f.hours for f in forecasts), sum(f.steps for f in forecasts)
        lines |= dict(stages)
        lines |= {"motion": forecasts[-1].motion} if forecasts[-1].motion else {}
        lines["time"] = f"about {_hours(hours * 3600)} for {steps:,} steps"
        lines["folder"] = str(largest.folder)
        for name, text in lines.items():
            self.console.print(f"{name:>8}  {text}", markup=False, soft_wrap=True)

    def begun(self, place: StagePlace, steps: int, first: int) -> None:
        """Begin the bar of a stage."""
        if place.name:
            self._print(str(place))
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task = self.bar.add_task(str(place) or "training", total=steps, completed=first, text="")

    def progressed(self, progress: StepProgress) -> None:
        """Move the bar."""
        terms = "  ".join(f"{name} {value:.1f}" for name, value in progress.terms.items())
        end = time.strftime("%a %H:%M", time.localtime(time.time() + progress.seconds_left))
        rest = f"{_hours(progress.seconds_left)} left{' in all' if progress.place.name else ''}, {end}"
        text = f"{progress.per_second:.2f} steps/s  loss {progress.loss:.1f}  {terms}  T={progress.clip}  {rest}"
        if self.console.is_terminal and self._task is not None:
            self.bar.update(self._task, completed=progress.step, text=text)
        elif time.monotonic() - self._last > _EVERY or progress.step == progress.steps:
            self._last = time.monotonic()
            place = f"{progress.place}  " if progress.place.name else ""
            self._print(f"{place}step {progress.step}/{progress.steps}  {text}")

    def validated(self, step: int, validation: Validation, best: bool) -> None:
        """Print a validation."""
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in validation.row().items())
        self._print(f"validation at step {step}  {numbers}{'  (best, kept)' if best else ''}")

    def followed(self, what: str, done: int, total: int) -> None:
        """Move the bar, which begins anew."""
        if self.console.is_terminal and self._task is not None:
            text = f"learning how objects move, {what}s"
            self.bar.update(self._task, description=text, total=total, completed=done, text="")
        elif time.monotonic() - self._last > _EVERY or done == total:
            self._last = time.monotonic()
            self._print(f"learning how objects move, {what} {done:,} of {total:,}")

    def noted(self, text: str) -> None:
        """Print an event."""
        self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _time_of(forecast: Forecast) -> str:
    done = f", from step {forecast.first:,}" if forecast.first else ""
    return f"about {_hours(forecast.hours * 3600)} for {forecast.steps:,} steps{done}"


def _hours(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
