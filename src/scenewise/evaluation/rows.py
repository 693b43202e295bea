"""Rows of scores as `evaluate` returns them: plain data, one metric each, its values by seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.metrics.arrays import mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scenewise.evaluation.request import EvaluationRequest

Row = dict[str, Any]
Rows = list[Row]
Values = dict[str, np.ndarray]
"""Scores by metric, one number per image or scene; NaN where there is nothing to score."""

DIGITS = 6
"""Significant digits of the scores of single images and videos."""

_EARLIER = ("measure", "quantity")
"""What the key `metric` of rows was called in files that were written before."""


def plain(value: float, digits: int | None = None) -> float | None:
    """Return a number as JSON can hold it, rounded to significant digits; None where it is not finite.

    Examples:
        >>> plain(2 / 3), plain(2 / 3, 4), plain(math.nan)
        (0.6666666666666666, 0.6667, None)
    """
    if not math.isfinite(value):
        return None
    return float(value) if digits is None else float(f"{value:.{digits}g}")


def renamed(row: Mapping[str, Any]) -> Row:
    """Return a row of a file, whose key `metric` may have the name that it had before.

    Examples:
        >>> renamed({"protocol": "savi", "measure": "ARI", "mean": 0.9})
        {'protocol': 'savi', 'metric': 'ARI', 'mean': 0.9}
    """
    return {"metric" if key in _EARLIER else key: value for key, value in row.items()}


def row_of(
    protocol: str,
    metric: str,
    scores: Sequence[float],
    each: Sequence[Iterable[float]] | None = None,
    *,
    videos: int,
    frames: int,
    empty: int = 0,
    digits: int | None = None,
) -> Row:
    """Return the row of a metric.

    Args:
        protocol: Name of the protocol.
        metric: Name of the metric.
        scores: One per seed; none where the metric does not apply.
        each: Scores of every image or video, by seed.
        videos: How many videos or scenes there were.
        frames: How many frames, images or scenes were looked at.
        empty: How many of them had nothing to score.
        digits: Significant digits; all where None. `each` always has `DIGITS`.
    """
    row = {
        "protocol": protocol,
        "metric": metric,
        "mean": plain(float(np.mean(scores)), digits) if len(scores) else None,
        "std": plain(float(np.std(scores, ddof=1)), digits) if len(scores) > 1 else None,
        "values": [plain(score, digits) for score in scores],
        "videos": videos,
        "frames": frames,
        "empty": empty,
    }
    return row if each is None else row | {"each": [[plain(value, DIGITS) for value in values] for values in each]}


def rows_of(protocol: str, by_seed: Sequence[Values], request: EvaluationRequest, each: bool = True) -> Rows:
    """Return a row per metric, of means over images.

    Args:
        protocol: Name of the protocol.
        by_seed: Scores of all images, for every seed of the request.
        request: What was asked for.
        each: Whether rows hold the score of every image too.
    """
    rows = []
    for metric in by_seed[0]:
        scores = [values[metric] for values in by_seed]
        rows.append(
            row_of(
                protocol,
                metric,
                [mean(values) for values in scores],
                scores if each else None,
                videos=request.videos,
                frames=len(scores[0]),
                empty=int(np.isnan(scores[0]).sum()),
                digits=DIGITS,
            )
        )
    return rows


def joined(parts: Sequence[Values]) -> Values:
    """Return scores of all images, by metric, from those of several batches."""
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}
