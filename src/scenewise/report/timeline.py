"""Curves over a video of unknown length, in constant memory."""

from __future__ import annotations

import numpy as np


class Timeline:
    """Means over equal stretches of frames; when the points run out, neighbours merge and a stretch doubles.

    Args:
        channels: Values per frame.
        points: Most points kept; rounded up to an even number.
    """

    def __init__(self, channels: int, points: int = 2000) -> None:
        self.points = max(2, points + points % 2)
        self.stretch = 1
        self.frames = 0
        self._sums = np.zeros((self.points, channels))
        self._counts = np.zeros((self.points, channels), dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Append one frame's values, shape (channels,); values that are not finite do not count."""
        if self.frames == self.points * self.stretch:
            self._merge()
        point = self.frames // self.stretch
        finite = np.isfinite(values)
        self._sums[point] += np.where(finite, values, 0.0)
        self._counts[point] += finite
        self.frames += 1

    def means(self) -> np.ndarray:
        """Return the mean of every stretch so far, shape (points used, channels); NaN where nothing counted."""
        used = -(-self.frames // self.stretch)
        sums, counts = self._sums[:used], self._counts[:used]
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    def _merge(self) -> None:
        half = self.points // 2
        for table in (self._sums, self._counts):
            table[:half] = table[0::2] + table[1::2]
            table[half:] = 0
        self.stretch *= 2
