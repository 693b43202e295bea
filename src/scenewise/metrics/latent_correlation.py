"""Which units of a latent go linearly with which units a frame later.

Source: DVIP Fig. 2 (dvip.md 6, metrics.md 7.2). Linear dependence only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import mean, reals, same_shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def latent_correlation(before: ArrayLike, after: ArrayLike) -> np.ndarray:
    """Return Pearson correlations of units at t (rows) and t + 1 (columns), shape (Z, Z).

    Args:
        before: Samples of the latent at t, pooled over videos and frames, shape (N, Z).
        after: The same at t + 1.

    Returns:
        Values in [-1, 1]; NaN where a unit is constant.

    Raises:
        InputError: Shapes do not fit, or values are not finite floats.

    Examples:
        The first unit doubles from t to t + 1, the second turns its sign.

        >>> before = np.array([[1.0, 0.0], [2.0, 3.0], [3.0, 0.0]])
        >>> latent_correlation(before, before * [2.0, -1.0]).round(3).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    one, other = reals(before, "before").astype(np.float64), reals(after, "after").astype(np.float64)
    same_shape(one, other, ("before", "after"), "(N, Z)", rank=2)
    one, other = one - one.mean(0), other - other.mean(0)
    norms = np.sqrt(np.outer(np.square(one).sum(0), np.square(other).sum(0)))
    correlation = np.full(norms.shape, np.nan)
    np.divide(one.T @ other, norms, out=correlation, where=norms > 0)
    return np.asarray(correlation.clip(-1, 1))


def block_contrast(correlations: np.ndarray, parts: int) -> float:
    """Return mean |correlation| inside the diagonal blocks of `parts` parts of one size over the mean outside.

    Raises:
        InputError: The units cannot be divided into two or more parts of one size.

    Examples:
        >>> block_contrast(np.array([[0.9, -0.3], [0.3, 0.9]]), parts=2)
        3.0
    """
    units = len(correlations)
    if parts < 2 or units % parts:
        raise InputError("parts", f"must be at least 2 and divide {units} units; found {parts}.")
    owner = np.arange(units) // (units // parts)
    inside = owner[:, None] == owner
    size = np.abs(correlations)
    return float(mean(size[inside]) / mean(size[~inside]))
