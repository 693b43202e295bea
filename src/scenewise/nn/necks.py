"""Parts that are two objects of one colour which touch: they are narrower between them than on both sides."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def apart_at_necks(labels: np.ndarray, share: float, least: float) -> np.ndarray:
    """Return the number of each pixel's part in its frame, 0 for none: no part has a neck.

    The width of a part at a pixel is how far it is to the nearest pixel outside. Two places of a part are of two
    objects if every way from one to the other leads through widths of at most a share of both; the rest of the part
    goes to the nearer of them. Bodies that touch meet where their common outline turns inwards, as the minima rule says
    (Hoffman and Richards 1984).

    Args:
        labels: Numbers of parts, 0 for none, shape (B, H, W).
        share: Of the widths on both sides of a neck, at which it parts them.
        least: Pixels that each of the objects has.

    Returns:
        int, shape (B, H, W), numbered from 1 in every frame.
    """
    apart = np.zeros_like(labels)
    for frame, numbers in zip(apart, labels, strict=True):
        count = 0
        for number, box in enumerate(ndimage.find_objects(numbers), 1):
            waiting = [] if box is None else [numbers[box] == number]
            while waiting:
                part = waiting.pop()
                bodies = _bodies(part, share, least)
                waiting += bodies
                if not bodies:
                    count += 1
                    frame[box][part] = count
    return apart


def _bodies(part: np.ndarray, share: float, least: float) -> list[np.ndarray]:
    """Return what the narrowest neck of a part (h, w) has on its sides, two masks or more; without a neck nothing."""
    if np.count_nonzero(part) < 2 * least:
        return []
    widths = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    for width in np.unique(widths[part])[:-1]:
        wider, count = ndimage.label(widths > width)
        if count > 1:
            largest = ndimage.maximum(widths, wider, np.arange(1, count + 1))
            sides = 1 + np.flatnonzero(width <= share * largest)
            middles = np.where(np.isin(wider, sides), wider, 0)
            nearest = ndimage.distance_transform_edt(middles == 0, return_distances=False, return_indices=True)
            bodies = [part & (middles[tuple(nearest)] == side) for side in sides]
            if len(bodies) > 1 and min(map(np.count_nonzero, bodies)) >= least:
                return bodies
    return []
