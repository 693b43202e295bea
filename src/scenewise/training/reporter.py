"""What a run tells whoever started it; the library itself prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenewise.training.recipe import StagePlace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.training.plan import Forecast
    from scenewise.training.validation import Validation


@dataclass(frozen=True)
class StepProgress:
    """Where a run is.

    Attributes:
        step: Steps of the stage done.
        steps: Steps of the stage in all.
        per_second: Steps per second, lately.
        seconds_left: Estimate to the run's last step, later stages included, or to the time limit if that comes first.
        loss: As trained, nats per clip.
        terms: The loss's terms, nats per clip.
        clip: Frames of the clips.
        place: Which stage it is.
    """

    step: int
    steps: int
    per_second: float
    seconds_left: float
    loss: float
    terms: dict[str, float]
    clip: int
    place: StagePlace = StagePlace()  # noqa: RUF009 - frozen


class Reporter:
    """Hears everything and says nothing; the command line has one that prints."""

    def planned(self, forecasts: Sequence[Forecast]) -> None:
        """Hear what is about to begin, stage by stage; stages that are done are left out."""

    def begun(self, place: StagePlace, steps: int, first: int) -> None:
        """Hear that a stage of so many steps begins, or goes on after its step `first`."""

    def progressed(self, progress: StepProgress) -> None:
        """Hear that a step was done."""

    def validated(self, step: int, validation: Validation, best: bool) -> None:
        """Hear what a validation found and whether the model is the best so far."""

    def followed(self, what: str, done: int, total: int) -> None:
        """Hear how far learning is how objects move: of "video" or "step", `done` of `total`."""

    def noted(self, text: str) -> None:
        """Hear of an event: a checkpoint, a stop, a model written."""
