"""Segmentation covering: how well the best slot covers each true segment.

Source: GENESIS (Engelcke et al. 2020), MSC: plain mean over segments, or weighted by their area ("scaled").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics.arrays import mean
from scenewise.metrics.iou import MeanIou, labelled_sets, overlaps_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike


def segmentation_covering(
    labels: ArrayLike,
    ids: ArrayLike,
    *,
    foreground: bool = False,
    scaled: bool = False,
    background_ids: Collection[int] = (0,),
) -> MeanIou:
    """Return the mean over true segments of the best IoU with any slot.

    Args:
        labels: The slot that owns each pixel, -1 for nobody, shape (..., H, W).
        ids: The truth, same shape: -1 for pixels to ignore.
        foreground: Leave out the background as a segment; slots keep what they own of it in their unions.
        scaled: Weight segments by their area.
        background_ids: The true ids that are background; together they are one segment.

    Raises:
        InputError: Shapes differ, or labels or ids lie below -1.

    Examples:
        Slot 0 holds two of the three pixels of background, slot 1 the third and the object: best IoU 2 / 3 and 1 / 2.

        >>> labels, ids = [[0, 0, 1, 1]], [[0, 0, 0, 1]]
        >>> round(segmentation_covering(labels, ids).mean, 4)  # (2 / 3 + 1 / 2) / 2
        0.5833
        >>> round(segmentation_covering(labels, ids, scaled=True).mean, 4)  # (3 * 2 / 3 + 1 * 1 / 2) / 4
        0.625
        >>> segmentation_covering(labels, ids, foreground=True).mean
        0.5
    """
    sets, shape = labelled_sets(labels, ids)
    scores = []
    for overlaps in overlaps_of(*sets, background_ids):
        segments = overlaps.without_background() if foreground else overlaps
        weights = segments.area if scaled else np.ones(len(segments.area))
        best = segments.iou.max(axis=1, initial=0.0)
        scores.append((best * weights).sum() / weights.sum() if len(best) else np.nan)
    each = np.array(scores, float).reshape(shape)
    return MeanIou(mean(each), each, int(np.isnan(each).sum()))
