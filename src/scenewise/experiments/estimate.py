"""How long cells will take: from steps done, from cells like them, else from the work of their recipe."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewise.checkpoint import load_model
from scenewise.errors import InputError
from scenewise.training.plan import examine
from scenewise.training.recipe import work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scenewise.experiments.cell_folder import CellFolder
    from scenewise.training.folder import RunFolder

_TRAINING, _SCORING = 3.5e-7, 1.2e-7
"""Seconds per pixel, slot and decode on one CPU core: means over the models that ship, good to a factor of about 3."""

_LENGTH = 10  # frames of an evaluation that says none


@dataclass(frozen=True)
class Estimate:
    """Seconds that a cell needs.

    Attributes:
        training: To its last step.
        scoring: For its evaluations.
    """

    training: float
    scoring: float

    @property
    def total(self) -> float:
        """Both."""
        return self.training + self.scoring


class Estimator:
    """Estimates cells; it remembers what their recipes cost.

    Args:
        folders: All cells, of whose rates it makes use.
    """

    def __init__(self, folders: list[CellFolder]) -> None:
        self.folders = folders
        self._work: dict[Path, tuple[float, float]] = {}
        self._fixed: dict[Path, Estimate] = {}

    def estimate(self, folder: CellFolder) -> Estimate:
        """Return what is left of a cell; one whose recipe cannot be read counts as nothing."""
        if folder.path in self._fixed:
            return self._fixed[folder.path]
        try:
            state = folder.state()
            training, scoring = self._guess(folder)
        except InputError:
            return Estimate(0.0, 0.0)
        if folder.cell.weights is None and state.steps:
            others = (seconds_per_step(other.run) for other in self._alike(folder))
            rate = seconds_per_step(folder.run) or next(filter(None, others), None) or training / state.steps
            training = rate * max(0, state.steps - state.step)
        share = 1 - state.scored / max(1, state.scorings)
        estimate = Estimate(training, share * (self._scoring_of_others(folder) or scoring))
        if folder.cell.weights is not None:  # to load them again would take longer than it tells
            self._fixed[folder.path] = estimate
        return estimate

    def together(self, folders: Iterable[CellFolder]) -> float:
        """Return the seconds of several cells; a training that serves more than one counts once."""
        scoring, training = 0.0, dict[Path, float]()
        for folder in folders:
            estimate = self.estimate(folder)
            scoring += estimate.scoring
            training[folder.run.path] = estimate.training
        return scoring + sum(training.values())

    def _guess(self, folder: CellFolder) -> tuple[float, float]:
        """Return rough seconds of a whole training and of all evaluations."""
        if folder.path not in self._work:
            self._work[folder.path] = _guess(folder)
        return self._work[folder.path]

    def _alike(self, folder: CellFolder) -> list[CellFolder]:
        cell = folder.cell
        return [
            other
            for other in self.folders
            if other is not folder and other.out == folder.out and other.cell.group is cell.group
        ]

    def _scoring_of_others(self, folder: CellFolder) -> float | None:
        for other in self._alike(folder):
            try:
                evaluations = other.scores().get("scores", [])
            except InputError:
                continue
            if len(evaluations) == len(other.cell.scoring) > 0:
                return float(sum(one["seconds"] for one in evaluations))
        return None


def progress(run: RunFolder) -> tuple[int, float]:
    """Return the steps that a run has done by its tables, those of its last minutes too, and their seconds."""
    steps, seconds = 0, 0.0
    for folder in run.stages or [run]:
        try:
            with (folder.path / "metrics.csv").open(encoding="utf-8") as file:
                *_, last = csv.DictReader(file)
            steps, seconds = steps + int(last["step"]), seconds + float(last["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return steps, seconds


def seconds_per_step(run: RunFolder) -> float | None:
    """Return the mean seconds of a run's steps so far, None where it has done none."""
    steps, seconds = progress(run)
    return seconds / steps if steps else None


def _guess(folder: CellFolder) -> tuple[float, float]:
    if folder.cell.weights is not None:
        return 0.0, _scoring(folder, load_model(folder.cell.weights).model.config)
    training = 0.0
    for part in folder.recipe().parts():
        problems, _, config = examine(part)
        if config is None:
            raise InputError(f"cell {folder.cell.name}", " ".join(problems))
        frames = work(part.training, lambda length: length, 0) * part.training.batch
        training += _TRAINING * _frame(config, config.slots) * frames
    return training, _scoring(folder, config)


def _frame(config: Any, slots: int, refinements: int | None = None) -> float:
    """Return the pixels of all slots in all decodes of a frame, at the size at which it is explained."""
    height, width = config.size
    decodes = 1 + (refinements or int(getattr(config, "refinements", 0)))
    return float(height * width * slots * decodes / getattr(config, "pooling", 1) ** 2)


def _scoring(folder: CellFolder, config: Any) -> float:
    return _SCORING * sum(
        scoring.samples
        * (scoring.frames or _LENGTH)
        * _frame(config, scoring.slots or config.slots, scoring.refinements)
        for scoring in folder.cell.scoring
    )
