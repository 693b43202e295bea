"""Objects that are split between slots, and slots with nearly the same latent: the proxies of metrics.md 6.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, same_shape
from scenewise.metrics.similarity import cosines

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Splits:
    """True segments of which two slots each hold a good part.

    Attributes:
        objects: How many objects of each frame are split, shape (...).
        background: Whether the background is, shape (...).
        visible: How many objects the frame shows, shape (...).
    """

    objects: np.ndarray
    background: np.ndarray
    visible: np.ndarray


def splits(labels: ArrayLike, ids: ArrayLike, *, share: float = 0.25, background_ids: Collection[int] = (0,)) -> Splits:
    """Count the true segments of which at least two slots each hold a share.

    Args:
        labels: The slot that owns each pixel, at least 0, shape (..., H, W).
        ids: The truth, same shape: -1 for pixels to ignore.
        share: The part of a segment's pixels that each of the two holds.
        background_ids: The true ids that are background; together they are one segment.

    Raises:
        InputError: Shapes differ, labels are negative, or ids lie below -1.

    Examples:
        >>> labels, ids = [[0, 0, 1, 2]], [[0, 0, 1, 1]]  # slots 1 and 2 share the object
        >>> segments = splits(labels, ids)
        >>> int(segments.objects), bool(segments.background), int(segments.visible)
        (1, False, 1)
    """
    predicted, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    same_shape(predicted, truth, ("labels", "ids"), "(..., H, W)", rank=2)
    shape, pixels = truth.shape[:-2], truth.shape[-2] * truth.shape[-1]
    truth = truth.astype(np.int64)  # small types hold neither -1 nor 256
    background = np.isin(truth, list(background_ids))
    segments = np.where(background, 0, np.where(truth == -1, -1, truth + 1))
    rows = [
        _count(p, t, share) for p, t in zip(predicted.reshape(-1, pixels), segments.reshape(-1, pixels), strict=True)
    ]
    table = np.array(rows, int).reshape(*shape, 3)
    return Splits(table[..., 0], table[..., 1] > 0, table[..., 2])


def _count(labels: np.ndarray, segments: np.ndarray, share: float) -> tuple[int, int, int]:
    """Return how many objects are split, whether segment 0 is, and how many objects there are."""
    names = np.unique(segments[segments >= 0])
    split = []
    for name in names:
        held = np.bincount(labels[segments == name])
        split.append(int((held >= share * held.sum()).sum()) >= 2)
    parted, objects = np.array(split, bool), names > 0
    return int(parted[objects].sum()), int(parted[~objects].any()), int(objects.sum())


def similar_pairs(
    latents: ArrayLike, labels: ArrayLike, *, cosine: float = 0.9, least_area: float = 0.005
) -> np.ndarray:
    """Return the number of pairs of active slots whose latents point the same way, per frame, shape (...).

    The LDS prior optimises this directly: it is no evidence that the prior works on images.

    Args:
        latents: Shape (..., K, Z).
        labels: The slot that owns each pixel, at least 0, shape (..., H, W).
        cosine: A pair is counted above it.
        least_area: Smallest share of the frame that an active slot wins.

    Raises:
        InputError: Shapes do not fit.

    Examples:
        >>> latents = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
        >>> int(similar_pairs(latents, [[0, 1, 2, 2]]))  # slots 0 and 1
        1
        >>> int(similar_pairs(latents, [[0, 0, 2, 2]]))  # slot 1 owns no pixel
        0
    """
    owned, likeness = integers(labels, "labels", minimum=0), cosines(latents)
    if owned.ndim < 2 or owned.shape[:-2] != likeness.shape[:-2]:
        problem = f"must have shape (..., H, W) for latents (..., K, Z); found {owned.shape}."
        raise InputError("labels", problem)
    slots = likeness.shape[-1]
    area = (owned[..., None] == np.arange(slots)).mean((-3, -2))  # (..., K)
    active = area >= least_area
    pairs = (likeness > cosine) & active[..., :, None] & active[..., None, :]
    return np.asarray((pairs & np.triu(np.ones((slots, slots), bool), 1)).sum((-2, -1)))
