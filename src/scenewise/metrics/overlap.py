"""One id per pixel from true masks that may overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, one_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def ids_from_masks(masks: ArrayLike, overlap: str = "top") -> np.ndarray:
    """Return ids 1..M of the objects, 0 where there is none, int64, shape (..., H, W).

    Args:
        masks: True masks, 0 or 1, from back to front, shape (..., M, H, W).
        overlap: A pixel that two or more objects cover belongs to the foremost ("top"), or gets -1, which no metric
            uses ("ignore", as in N-EM's data).

    Raises:
        InputError: The masks are soft or have too few axes, or `overlap` is unknown.

    Examples:
        >>> masks = [[[1, 1, 0]], [[0, 1, 0]]]  # two objects in a row of three pixels, the second in front
        >>> ids_from_masks(masks).tolist()
        [[1, 2, 0]]
        >>> ids_from_masks(masks, overlap="ignore").tolist()
        [[1, -1, 0]]
    """
    one_of(overlap, "overlap", ("top", "ignore"))
    covered = integers(masks, "masks", minimum=0)
    if covered.ndim < 3:
        raise InputError("masks", f"must have shape (..., M, H, W); found {covered.shape}.")
    order = np.arange(1, covered.shape[-3] + 1)[:, None, None]
    ids = ((covered > 0) * order).max(axis=-3, initial=0)
    if overlap == "ignore":
        ids[(covered > 0).sum(axis=-3) > 1] = -1
    return ids
