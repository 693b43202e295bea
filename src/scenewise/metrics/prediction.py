"""ARI of frames that a model predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenewise.errors import InputError
from scenewise.metrics.ari import adjusted_rand_index
from scenewise.metrics.horizon import HORIZONS, Horizons, over_horizons

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import ArrayLike


def prediction_ari(
    labels: ArrayLike,
    ids: ArrayLike,
    observed: int,
    *,
    foreground: bool = False,
    include_observed: bool = False,
    at: Sequence[int] = HORIZONS,
    empty: str = "exclude",
    background_ids: Collection[int] = (0,),
) -> Horizons:
    """Score predicted frames against the ids of the true future, per frame. Source: PROVIDE Fig. 5.

    Args:
        labels: Labels of the T_0 observed frames followed by the T' predicted ones, shape (N, T_0 + T', H, W).
        ids: The truth of the same frames, same shape.
        observed: T_0 (20 in PROVIDE); 0 where only predicted frames are given.
        foreground: F-ARI in place of ARI.
        include_observed: Average the cumulative scores over observed frames too, as PROVIDE's script does.
        at: The numbers of predicted frames to report.
        empty: As in `adjusted_rand_index`.
        background_ids: The true ids that are background.

    Raises:
        InputError: Shapes do not fit, or nothing is left to predict.

    Examples:
        One frame observed, two predicted: the first is right, the second has one slot for everything.

        >>> ids = [[[[0, 0, 1, 1]]] * 3]
        >>> labels = [[[[0, 0, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]]]
        >>> ahead = prediction_ari(labels, ids, observed=1, at=(1, 2))
        >>> ahead.per_horizon.tolist(), ahead.cumulative
        ([1.0, 0.0], {1: 1.0, 2: 0.5})
    """
    scores = adjusted_rand_index(labels, ids, foreground=foreground, empty=empty, background_ids=background_ids)
    if scores.each.ndim != 2:
        raise InputError("labels", f"must have shape (N, T, H, W); found {scores.each.ndim + 2} axes.")
    return over_horizons(scores.each, observed, include_observed=include_observed, at=at)
