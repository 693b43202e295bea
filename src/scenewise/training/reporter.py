"""What a run tells whoever started it; the library itself prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.training.validation import Validation


@dataclass(frozen=True)
class Forecast:
    """What is known before the start, from two trial steps whose effect is discarded.

    Attributes:
        recipe: Name of the recipe.
        data: The training data in words.
        videos: Number of training videos.
        parameters: Number of the model's parameters.
        device: Where it will run.
        cells: Decodes per clip in the first and in the longest clips, times clips per step.
        memory_gib: Estimated peak memory of a process, GiB.
        hours: Estimated hours to the last step.
        steps: Steps that are left.
        first: First step.
        folder: The run's folder.
    """

    recipe: str
    data: str
    videos: int
    parameters: int
    device: str
    cells: tuple[int, int]
    memory_gib: float
    hours: float
    steps: int
    first: int
    folder: Path


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        per_second: Steps per second, lately.
        seconds_left: Estimate to the last step or to the time limit, whichever comes first.
        loss: As trained, nats per clip.
        terms: The loss's terms, nats per clip.
        clip: Frames of the clips.
    """

    step: int
    steps: int
    per_second: float
    seconds_left: float
    loss: float
    terms: dict[str, float]
    clip: int


class Reporter:
    """Hears everything and says nothing; the command line has one that prints."""

    def planned(self, forecast: Forecast) -> None:
        """Hear what is about to begin."""

    def progressed(self, progress: Progress) -> None:
        """Hear that a step was done."""

    def validated(self, step: int, validation: Validation, best: bool) -> None:
        """Hear what a validation found and whether the model is the best so far."""

    def noted(self, text: str) -> None:
        """Hear of an event: a checkpoint, a stop, a model written."""
