"""Pearson correlation of two measures over the same images (LDS papers; lds.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics.arrays import same_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pearson(one: ArrayLike, other: ArrayLike) -> float:
    """Return the correlation of two measures; NaN where fewer than two images have both, or one does not vary.

    Args:
        one: Shape (N,); images with NaN in either do not count.
        other: Shape (N,).

    Raises:
        InputError: The shapes differ.

    Examples:
        >>> pearson([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
        1.0
        >>> pearson([1.0, 2.0, float("nan"), 3.0], [3.0, 2.0, 9.0, 1.0])  # the third image has only one of the measures
        -1.0
        >>> pearson([1.0, 2.0], [5.0, 5.0])
        nan
    """
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same_shape(x, y, ("one", "other"), "(N,)", rank=1)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if not x.size or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


def rescaled(values: ArrayLike) -> np.ndarray:
    """Return values moved and stretched to [0, 1], NaN kept; all 0 where they do not vary.

    Examples:
        >>> rescaled([2.0, 4.0, 3.0]).tolist()
        [0.0, 1.0, 0.5]
    """
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    if not finite.size or finite.max() == finite.min():
        return np.where(np.isfinite(array), 0.0, np.nan)
    return np.asarray((array - finite.min()) / (finite.max() - finite.min()))
