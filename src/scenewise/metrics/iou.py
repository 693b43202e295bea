"""Mean intersection over union of true segments with slots, one to one or each with its best.

Source: the LDS papers (Hungarian matching, the background is a segment; metrics.md 3); MulMON's public evaluation
gives every segment its best slot, so that one slot can serve two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics.arrays import integers, mean, one_of, same_shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import ArrayLike

MATCHINGS = ("hungarian", "greedy")


@dataclass(frozen=True)
class MeanIou:
    """Mean IoU of many frames or videos.

    Attributes:
        mean: Mean over everything scored, equal weight each; NaN where nothing could be scored.
        each: The score of each frame, shape (...), or of each video; NaN where there is no true segment.
        empty: How many frames or videos have no true segment.
    """

    mean: float
    each: np.ndarray
    empty: int


@dataclass(frozen=True)
class Overlaps:
    """How the true segments of one frame or video overlap with slots.

    Attributes:
        iou: |p and g| / |p or g|, shape (G, K).
        area: Pixels of each segment, shape (G,).
        background: The row that is background, or None where it has no pixel.
    """

    iou: np.ndarray
    area: np.ndarray
    background: int | None

    def without_background(self) -> Overlaps:
        """Return the objects' rows only; what slots own of the background stays in their unions.

        Examples:
            >>> overlaps = Overlaps(iou=np.array([[0.5, 0.0], [0.25, 0.9]]), area=np.array([8, 4]), background=0)
            >>> overlaps.without_background().iou.tolist()
            [[0.25, 0.9]]
        """
        if self.background is None:
            return self
        objects = np.arange(len(self.area)) != self.background
        return Overlaps(self.iou[objects], self.area[objects], None)


def mean_iou(
    labels: ArrayLike,
    ids: ArrayLike,
    *,
    matching: str = "hungarian",
    include_background: bool = True,
    min_iou: float = 0.0,
    scope: str = "frame",
    background_ids: Collection[int] = (0,),
) -> MeanIou:
    """Return the sum of the IoU of matched pairs divided by the number of true segments.

    Segments without a slot count 0, slots without a segment do not count.

    Args:
        labels: The slot that owns each pixel, -1 for nobody, shape (..., H, W), or (..., T, H, W) for scope "video".
        ids: The truth, same shape: -1 for pixels to ignore.
        matching: "hungarian" matches one to one so that the mean is highest; "greedy" gives each segment its best slot.
        include_background: Whether the background is a segment.
        min_iou: An IoU that is not above it counts 0 (MulMON: 0.05).
        scope: "frame" matches anew in each frame; "video" matches once by the pixels of all T frames.
        background_ids: The true ids that are background; together they are one segment.

    Raises:
        InputError: Shapes differ, labels or ids lie below -1, or a flag is unknown.

    Examples:
        >>> ids = [[0, 0, 1, 1]]
        >>> round(mean_iou([[0, 0, 0, 1]], ids).mean, 4)  # background 2 / 3, object 1 / 2
        0.5833
        >>> mean_iou([[0, 0, 0, 1]], ids, include_background=False).mean
        0.5

        One slot for everything covers each half with IoU 1 / 2, but can be matched only once.

        >>> mean_iou([[7, 7, 7, 7]], ids).mean
        0.25
        >>> mean_iou([[7, 7, 7, 7]], ids, matching="greedy").mean
        0.5
    """
    one_of(matching, "matching", MATCHINGS)
    one_of(scope, "scope", ("frame", "video"))
    sets, shape = labelled_sets(labels, ids, scope)
    scores = []
    for overlaps in overlaps_of(*sets, background_ids):
        segments = overlaps if include_background else overlaps.without_background()
        iou = np.where(segments.iou > min_iou, segments.iou, 0.0)
        scores.append(_best(iou, matching) / len(iou) if len(iou) else np.nan)
    each = np.array(scores, float).reshape(shape)
    return MeanIou(mean(each), each, int(np.isnan(each).sum()))


def labelled_sets(
    labels: ArrayLike, ids: ArrayLike, scope: str = "frame"
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, ...]]:
    """Return checked labels and ids as rows of (S, n) pixels, and the shape of the S frames or videos.

    Raises:
        InputError: Shapes differ, or labels or ids lie below -1.
    """
    predicted, truth = integers(labels, "labels", minimum=-1), integers(ids, "ids", minimum=-1)
    axes, axis = ("(..., H, W)", -2) if scope == "frame" else ("(..., T, H, W)", -3)
    same_shape(predicted, truth, ("labels", "ids"), axes, rank=-axis)
    shape = truth.shape[:axis]
    rows = (int(np.prod(shape)), int(np.prod(truth.shape[axis:])))
    return (predicted.reshape(rows).astype(np.int64), truth.reshape(rows).astype(np.int64)), shape


def overlaps_of(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int] = (0,)) -> Iterator[Overlaps]:
    """Yield the overlaps of each row of (S, n) labellings. Segments without a pixel do not arise.

    Examples:
        >>> sets, _ = labelled_sets([[0, 0, 0, 1]], [[0, 0, 1, 1]])
        >>> (frame,) = overlaps_of(*sets)
        >>> frame.iou.round(2).tolist()  # rows: background, object; columns: slots
        [[0.67, 0.0], [0.25, 0.5]]
        >>> frame.area.tolist(), frame.background
        ([2, 2], 0)
    """
    background = np.array(sorted(background_ids), dtype=np.int64)
    for predicted, truth in zip(labels, ids, strict=True):
        owner, identity = predicted[truth != -1], truth[truth != -1]
        segments = np.where(np.isin(identity, background), -1, identity)  # several background ids are one segment
        names, segment = np.unique(segments, return_inverse=True)
        slots = int(owner.max(initial=-1)) + 2  # one more for pixels nobody owns
        counts = np.bincount(segment * slots + owner + 1, minlength=len(names) * slots).reshape(len(names), slots)
        area, owned, both = counts.sum(1), counts.sum(0)[1:], counts[:, 1:]
        union = area[:, None] + owned - both
        yield Overlaps(both / union, area, 0 if len(names) and names[0] == -1 else None)


def _best(iou: np.ndarray, matching: str) -> float:
    if matching == "greedy":
        return float(iou.max(axis=1, initial=0.0).sum())
    from scipy.optimize import linear_sum_assignment

    return float(iou[linear_sum_assignment(iou, maximize=True)].sum())
