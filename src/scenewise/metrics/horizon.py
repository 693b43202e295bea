"""Scores of predicted frames by how far ahead they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenewise.errors import InputError
from scenewise.metrics.arrays import mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

HORIZONS = (3, 5, 7, 10)
"""The numbers of predicted frames that PROVIDE Fig. 5 reports."""


@dataclass(frozen=True)
class Horizons:
    """A score of predicted frames.

    Attributes:
        per_horizon: Mean over videos at the j-th predicted frame, j = 1.., shape (T',); NaN where none could be scored.
        cumulative: Mean over the first j predicted frames of all videos, by j.
    """

    per_horizon: np.ndarray
    cumulative: dict[int, float]


def over_horizons(
    values: np.ndarray, observed: int, *, include_observed: bool = False, at: Sequence[int] = HORIZONS
) -> Horizons:
    """Average per-frame scores over videos, by horizon.

    Args:
        values: Scores of T_0 observed and T' predicted frames, shape (N, T_0 + T'); NaN entries do not count.
        observed: T_0.
        include_observed: Let the cumulative means start at the first observed frame, as PROVIDE's script does.
        at: The numbers of predicted frames to report; those above T' are left out.

    Raises:
        InputError: `observed` leaves no predicted frame, or a horizon lies below 1.

    Examples:
        >>> scores = np.array([[0.9, 0.8, 0.75, 0.5], [0.9, 0.8, 0.25, 0.5]])  # two videos, two frames observed
        >>> ahead = over_horizons(scores, observed=2, at=(1, 2, 9))
        >>> ahead.per_horizon.tolist()
        [0.5, 0.5]
        >>> ahead.cumulative  # no horizon of 9 frames in a video of 4
        {1: 0.5, 2: 0.5}
        >>> round(over_horizons(scores, observed=2, include_observed=True, at=(2,)).cumulative[2], 3)
        0.675
    """
    frames = values.shape[-1]
    if values.ndim != 2:
        raise InputError("values", f"must have shape (N, T); found {values.shape}.")
    check_observed(observed, frames)
    if min(at, default=1) < 1:
        raise InputError("at", f"horizons must be at least 1; found {min(at)}.")
    start = 0 if include_observed else observed
    cumulative = {j: mean(values[:, start : observed + j]) for j in at if j <= frames - observed}
    return Horizons(mean(values[:, observed:], axis=0), cumulative)


def check_observed(observed: int, frames: int, minimum: int = 0) -> None:
    """Raise InputError where `observed` of T frames leave nothing to predict, or are fewer than `minimum`.

    Examples:
        >>> check_observed(10, frames=10)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: observed: must lie in [0, 9] for 10 frames; found 10.
    """
    if not minimum <= observed < frames:
        raise InputError("observed", f"must lie in [{minimum}, {frames - 1}] for {frames} frames; found {observed}.")
