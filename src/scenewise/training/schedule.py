"""What holds at a training step: pure functions of the step, so that a resumed run knows it without memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.training.recipes import TrainingPart


def learning_rate(training: TrainingPart, step: int) -> float:
    """Return the rate of step `step`, counted from 0."""
    warm = min(1.0, (step + 1) / training.warm_up) if training.warm_up else 1.0
    if training.schedule == "cosine":
        done = max(0, step - training.warm_up) / max(1, training.steps - training.warm_up)
        return training.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if training.schedule == "exponential":
        return training.learning_rate * warm * 0.5 ** (step / training.half_life)
    if training.schedule == "linear":
        return training.learning_rate * warm * max(0.1, 1 - 0.9 * step / training.decay_steps)
    return training.learning_rate * warm


def clip_length(training: TrainingPart, step: int) -> int:
    """Return the number of frames of the clips of step `step`."""
    return [length for begin, length in training.curriculum if step >= begin][-1]


def longest_clip(training: TrainingPart) -> int:
    """Return the number of frames of the longest clips the run will see."""
    return max(length for begin, length in training.curriculum if begin < training.steps)


def work(training: TrainingPart, cells: Callable[[int], int], first: int = 0) -> float:
    """Return the cells of one clip summed over the steps from `first` to the end.

    Args:
        training: The settings.
        cells: Cells of a clip of so many frames.
        first: The first step that counts.
    """
    ends = [begin for begin, _ in training.curriculum[1:]] + [training.steps]
    phases = zip(training.curriculum, ends, strict=True)
    return float(
        sum(max(0, min(end, training.steps) - max(begin, first)) * cells(length) for (begin, length), end in phases)
    )
