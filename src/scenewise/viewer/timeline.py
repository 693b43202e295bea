"""Curves over a video of unknown length, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        known = np.isfinite(values)
        self._sums[point] += np.where(known, values, 0.0)
        self._counts[point] += known
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


@dataclass
class SlotStatistics:
    """Running sums per slot over all frames.

    Attributes:
        slots: K.
        frames: Frames added.
        active: Frames in which a slot owns at least `smallest` of the pixels, shape (K,).
        smallest: Share of the pixels from which on a slot counts as active.
    """

    slots: int
    smallest: float = 0.002
    frames: int = 0
    active: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.active = np.zeros(self.slots, dtype=np.int64)
        self._area = np.zeros(self.slots)
        self._spread = np.zeros(self.slots)
        self._mean: np.ndarray | None = None
        self._squares: np.ndarray | None = None

    def add(self, area: np.ndarray, spread: np.ndarray, mean: np.ndarray) -> None:
        """Add one frame: share of the pixels owned (K,), posterior spread (K,), posterior mean (K, Z)."""
        self.frames += 1
        self.active += area >= self.smallest
        self._area += area
        self._spread += spread
        if self._mean is None or self._squares is None:
            self._mean, self._squares = np.zeros(mean.shape), np.zeros(mean.shape)
        step = mean - self._mean
        self._mean += step / self.frames
        self._squares += step * (mean - self._mean)

    @property
    def area(self) -> np.ndarray:
        """Mean share of the pixels, shape (K,)."""
        return self._area / max(self.frames, 1)

    @property
    def spread(self) -> np.ndarray:
        """Mean posterior standard deviation, shape (K,)."""
        return self._spread / max(self.frames, 1)

    @property
    def movement(self) -> np.ndarray:
        """Standard deviation over time of the posterior mean, averaged over latent dimensions, shape (K,)."""
        if self._squares is None or not self._squares.size:
            return np.zeros(self.slots)
        return np.sqrt(self._squares / self.frames).mean(axis=-1)

    def objects(self, background: set[int]) -> list[int]:
        """Return the slots that are no background and are active in at least a twentieth of the frames."""
        needed = max(1, self.frames // 20)
        return [k for k in range(self.slots) if k not in background and self.active[k] >= needed]
