"""How sure a model is of the owner of foreground pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, reals

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike


def confidence(masks: ArrayLike, ids: ArrayLike, background_ids: Collection[int] = (0,)) -> np.ndarray:
    """Return the mean over true foreground pixels of the largest mask, per frame, shape (...); NaN without foreground.

    Source: R-NEM's evaluation code, which calls the masks responsibilities.

    Args:
        masks: Soft masks that sum to 1 over K, shape (..., K, 1, H, W).
        ids: The truth, shape (..., H, W): -1 for pixels to ignore.
        background_ids: The true ids that are background.

    Raises:
        InputError: Shapes do not fit.

    Examples:
        >>> masks = np.array([0.9, 0.6, 0.1, 0.4]).reshape(2, 1, 1, 2)  # two slots, a row of two pixels
        >>> float(confidence(masks, [[1, 1]]))
        0.75
        >>> float(confidence(masks, [[1, 0]]))  # the second pixel is background
        0.9
    """
    soft, truth = reals(masks, "masks"), integers(ids, "ids", minimum=-1)
    if soft.ndim < 4 or (*soft.shape[:-4], *soft.shape[-2:]) != truth.shape or soft.shape[-3] != 1:
        raise InputError("masks", f"must have shape (..., K, 1, H, W) for ids {truth.shape}; found {soft.shape}.")
    used = ~np.isin(truth, [-1, *background_ids])
    largest = np.where(used, soft.max(axis=(-4, -3)), 0.0).sum(axis=(-2, -1), dtype=float)
    count = used.sum(axis=(-2, -1))
    return np.divide(largest, count, out=np.full(count.shape, np.nan), where=count > 0)
