"""How soon a slot has an object that enters: frames from where it is first seen to where one slot's pixels are its."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import integers, same_shape

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Entrances:
    """Objects of N videos that come into view after the first frame.

    Attributes:
        delays: For each entrance the frames until a slot has the object, 0 where it has it in the very frame; the
            frames that were looked at where no slot ever has it, shape (n,).
        caught: Whether a slot has it within these frames, shape (n,).
        videos: The video of each, shape (n,).
        count: Number of videos.
    """

    delays: np.ndarray
    caught: np.ndarray
    videos: np.ndarray
    count: int

    def within(self, frames: int) -> np.ndarray:
        """Return for each video the share of objects that a slot has at most so many frames later, shape (N,)."""
        return self._means(self.caught & (self.delays <= frames))

    @property
    def each(self) -> np.ndarray:
        """Mean delay of each video in frames, NaN where nothing enters, shape (N,)."""
        return self._means(self.delays)

    def _means(self, values: np.ndarray) -> np.ndarray:
        counts = np.bincount(self.videos, minlength=self.count)
        sums = np.bincount(self.videos, values.astype(float), minlength=self.count)
        return np.divide(sums, counts, out=np.full(self.count, np.nan), where=counts > 0)


def entrances(
    labels: ArrayLike,
    ids: ArrayLike,
    *,
    overlap: float = 0.5,
    least_area: float = 0.005,
    horizon: int = 10,
    background_ids: Collection[int] = (0,),
) -> Entrances:
    """Return how soon slots have the objects that enter.

    An object enters in the first frame in which it shows the least area, if that is not the first frame of the video.
    A slot has it where intersection over union of its pixels and the object's reach the overlap. Objects that are gone,
    or whose video ends, before the horizon are left out unless a slot has them by then.

    Args:
        labels: The slot that owns each pixel, shape (N, T, H, W).
        ids: The truth, same shape: -1 for pixels to ignore.
        overlap: Intersection over union from which on a slot has an object.
        least_area: Share of the frame that an object shows at least, to be seen.
        horizon: Frames from an entrance on that are looked at.
        background_ids: The true ids that are background.

    Raises:
        InputError: Shapes differ, or values are out of range.

    Examples:
        >>> ids = np.zeros((1, 4, 2, 2), int)
        >>> ids[0, 1:, 0, 0] = 5  # enters in the second frame
        >>> labels = np.zeros((1, 4, 2, 2), int)
        >>> labels[0, 2:, 0, 0] = 3  # and a slot has it in the third
        >>> found = entrances(labels, ids, least_area=0.1, horizon=3)
        >>> found.delays.tolist(), found.within(0).tolist(), found.within(1).tolist()
        ([1], [0.0], [1.0])
    """
    slots, truth = integers(labels, "labels", minimum=0), integers(ids, "ids", minimum=-1)
    same_shape(slots, truth, ("labels", "ids"), "(N, T, H, W)", rank=4)
    if horizon < 1:
        raise InputError("horizon", f"must be at least 1; found {horizon}.")
    rows = [
        (video, *delay)
        for video in range(len(truth))
        for delay in _delays(slots[video], truth[video], overlap, least_area, horizon, set(background_ids))
    ]
    table = np.array(rows, int).reshape(-1, 3)
    return Entrances(table[:, 1], table[:, 2].astype(bool), table[:, 0], len(truth))


def _delays(
    labels: np.ndarray, ids: np.ndarray, overlap: float, least_area: float, horizon: int, background: set[int]
) -> list[tuple[int, int]]:
    """Return (delay, whether a slot has it) of each object that enters one video (T, H, W)."""
    delays = []
    for name in set(np.unique(ids).tolist()) - background - {-1}:
        whole = ids == name
        seen = whole.reshape(len(ids), -1).mean(1) >= least_area
        first = int(seen.argmax())
        if not seen.any() or first == 0:
            continue
        stop = min(first + horizon, len(ids))
        present = seen[first:stop]
        span = int(present.argmin()) if not present.all() else len(present)  # until it is gone
        has = [_best(labels[t], whole[t], ids[t] >= 0) >= overlap for t in range(first, first + span)]
        if any(has):
            delays.append((has.index(True), 1))
        elif span == horizon:
            delays.append((horizon, 0))
    return delays


def _best(labels: np.ndarray, mask: np.ndarray, counted: np.ndarray) -> float:
    """Return the largest intersection over union of a slot's pixels (H, W) with an object's."""
    inside = np.bincount(labels[mask & counted])
    areas = np.bincount(labels[counted], minlength=len(inside))[: len(inside)]
    return float((inside / np.maximum(areas + mask.sum() - inside, 1)).max()) if len(inside) else 0.0
