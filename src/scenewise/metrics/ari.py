"""Adjusted Rand index of hard segmentations, with and without the background.

ARI compares two labellings of the same pixels by counting pairs of pixels: 1 is a perfect match whatever the labels are
called, 0 is what random labels get. F-ARI (`foreground=True`) looks only at pixels that belong to an object in the
truth. Source: Hubert and Arabie, 1985; PROVIDE section 4.2; edge cases as in scikit-learn, except that a frame without
a single pixel to score has no score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics.arrays import integers, mean, one_of, same_shape

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike

BLOCK_PIXELS = 1 << 20
BLOCK_CELLS = 1 << 22
_TABLE = 1 << 16


@dataclass(frozen=True)
class RandIndex:
    """ARI of many frames or videos.

    Attributes:
        mean: Mean over everything scored, equal weight each; NaN where nothing could be scored.
        each: The score of each frame, shape (...), or of each video; NaN where it was empty and excluded.
        empty: How many frames or videos had no pixel to score.
    """

    mean: float
    each: np.ndarray
    empty: int


def adjusted_rand_index(
    labels: ArrayLike,
    ids: ArrayLike,
    *,
    foreground: bool = False,
    scope: str = "frame",
    empty: str = "exclude",
    background_ids: Collection[int] = (0,),
) -> RandIndex:
    """Compare predicted labels with true ids. Pixels with id -1 are never used.

    Args:
        labels: The slot that owns each pixel, at least 0, shape (..., H, W), or (..., T, H, W) for scope "video".
        ids: The truth, same shape: -1 for pixels to ignore.
        foreground: F-ARI: drop the pixels whose true id is background. Otherwise the background is one cluster.
        scope: "frame" scores each frame by itself (PROVIDE, R-NEM and IODINE do); "video" scores the pixels of
            all T frames jointly, so that a slot that changes its object loses (SAVi).
        empty: What a frame without a pixel to score is worth: "exclude" gives NaN, kept out of the mean; "one" gives
            1, which reproduces PROVIDE.
        background_ids: The true ids that are background.

    Raises:
        InputError: Shapes differ, labels are negative, ids lie below -1, or a flag is unknown.

    Examples:
        >>> ids = [[0, 0, 1, 1]]  # one row of four pixels: two of background, two of an object
        >>> adjusted_rand_index([[5, 5, 2, 2]], ids).mean  # what slots are called does not matter
        1.0
        >>> adjusted_rand_index([[3, 3, 3, 3]], ids).mean  # one slot for everything
        0.0

        A background in two parts costs ARI and not F-ARI. Of 6 pairs of pixels the truth joins 2, the labels 1, both 1:
        (1 - 2 / 6) / (3 / 2 - 2 / 6) = 4 / 7.

        >>> round(adjusted_rand_index([[0, 1, 2, 2]], ids).mean, 3)
        0.571
        >>> adjusted_rand_index([[0, 1, 2, 2]], ids, foreground=True).mean
        1.0
        >>> adjusted_rand_index([[0, 1]], [[0, 0]], foreground=True).empty  # a frame without an object
        1

        Two slots that exchange their objects from one frame to the next lose only where frames are scored jointly.

        >>> labels, ids = [[[0, 1]], [[1, 0]]], [[[1, 2]], [[1, 2]]]
        >>> adjusted_rand_index(labels, ids).each.tolist()
        [1.0, 1.0]
        >>> adjusted_rand_index(labels, ids, scope="video").mean
        -0.5
    """
    one_of(scope, "scope", ("frame", "video"))
    one_of(empty, "empty", ("exclude", "one"))
    predicted, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    axes, axis = ("(..., H, W)", -2) if scope == "frame" else ("(..., T, H, W)", -3)
    same_shape(predicted, truth, ("labels", "ids"), axes, rank=-axis)
    sets = (int(np.prod(truth.shape[:axis])), int(np.prod(truth.shape[axis:])))
    each = _scores(predicted.reshape(sets), truth.reshape(sets), foreground, background_ids)  # (S, n)
    without = np.isnan(each)
    if empty == "one":
        each[without] = 1.0
    return RandIndex(mean(each), each.reshape(truth.shape[:axis]), int(without.sum()))


def _scores(labels: np.ndarray, ids: np.ndarray, foreground: bool, background_ids: Collection[int]) -> np.ndarray:
    """ARI of each row of (S, n) labellings; blocks of rows bound the memory."""
    scores = np.empty(len(ids))
    step = max(1, BLOCK_PIXELS // max(1, ids.shape[1]))
    for rows in (slice(start, start + step) for start in range(0, len(ids), step)):
        truth = ids[rows].astype(np.int64) + 2  # 0 is "not used", 1 the background as one cluster, the others objects
        for background in background_ids:
            truth[ids[rows] == background] = 0 if foreground else 1
        truth[ids[rows] == -1] = 0
        scores[rows] = _from_pairs(*_pairs(labels[rows].astype(np.int64), truth))
    return scores


def _pairs(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels n used and ordered pairs that agree in both, in the truth and in the labels, each of shape (S,), exact."""
    u, rows = _compact(truth)
    v, columns = _compact(labels)
    if len(u) * rows * columns > BLOCK_CELLS:
        each = [_pairs_sparse(a, b) for a, b in zip(v, u, strict=True)]
        n, both, true, predicted = np.array(each, dtype=np.int64).T
        return n, both, true, predicted
    cell = (np.arange(len(u))[:, None] * rows + u) * columns + v
    table = np.bincount(cell.ravel(), minlength=len(u) * rows * columns).reshape(len(u), rows, columns)[:, 1:]
    n = table.sum((1, 2))
    both = (table**2).sum((1, 2)) - n
    return n, both, (table.sum(2) ** 2).sum(1) - n, (table.sum(1) ** 2).sum(1) - n


def _pairs_sparse(labels: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    """The same for one labelling with so many clusters that their table would not fit in memory."""
    u, v = truth[truth > 0], labels[truth > 0]
    cells = u * (int(labels.max(initial=0)) + 1) + v
    pairs = (int((np.unique(x, return_counts=True)[1] ** 2).sum()) - len(u) for x in (cells, u, v))
    return (len(u), *pairs)  # type: ignore[return-value]


def _compact(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the values present from 0 up; 0 stays 0, present or not. Returns the numbers and how many there are."""
    if values.max(initial=0) < _TABLE:
        present = np.bincount(values.ravel(), minlength=1) > 0
        present[0] = True
        return (np.cumsum(present) - 1)[values], int(present.sum())
    distinct, inverse = np.unique(np.append(values, 0), return_inverse=True)
    return inverse[:-1].reshape(values.shape), len(distinct)


def _from_pairs(n: np.ndarray, both: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """ARI from pair counts; NaN where n = 0.

    The pair-confusion form gives exactly 0 where one side is a single cluster. Products reach 1e21 for a video, beyond
    int64, so they are taken in float64.
    """
    tp, fn, fp = both.astype(float), (true - both).astype(float), (predicted - both).astype(float)
    tn = (n * (n - 1) - true - predicted + both).astype(float)
    below = (tp + fn) * (fn + tn) + (tp + fp) * (fp + tn)
    scores = np.where(n == 0, np.nan, 1.0)
    np.divide(2 * (tp * tn - fn * fp), below, out=scores, where=(fn + fp > 0) & (n > 0))
    return scores
