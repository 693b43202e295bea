"""Where an object of known looks is in a part of a frame that holds more than it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.nn.windows import covered

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIKE = 0.15
"""Of [0, 1]: colours of two slots, or of a pixel and a slot, that may be of one object differ by less."""

BANDS = 3
"""Bands, one above the other, whose colours are the look of a part."""

_SHOWN = 0.3  # of an object's usual area, each pixel by how well it has its colour, where it is thought to have gone
_CLEARLY_MORE = 0.2  # of it by which that must exceed what is there where it should be


@dataclass(frozen=True)
class Fit:
    """How well pixels fit the looks of an object where it should be, and where they fit best.

    Attributes:
        here: Pixels in its window, each by how well it has the colour of its band: from -1, far, to 1.
        there: The same where it is largest, as near as possible.
        centre: Where that is, x and y in units of a window.
    """

    here: float
    there: float
    centre: np.ndarray

    @classmethod
    def of(cls, colours: np.ndarray, pixels: np.ndarray, window: np.ndarray, look: np.ndarray, near: bool) -> Fit:
        """Return the fit of a look, by sums over boxes of the window's sides.

        Args:
            colours: Differences from the background, shape (C, H, W).
            pixels: Which count, bool, shape (H, W).
            window: Where the object should be, shape (4,).
            look: Its mean differences from the background in bands from the top, shape (3 C,).
            near: Whether it has gone by no more than its own sides.
        """
        size = np.array(pixels.shape)
        sides = np.maximum(np.rint(np.exp(window[3:1:-1]) * size), 1).astype(int)
        rows, columns = sides
        like = np.where(pixels, likeness(colours, look), 0)
        sums = np.zeros((BANDS, size[0] + 2 * rows + 1, size[1] + 2 * columns + 1))
        sums[:, 1:, 1:] = np.pad(like, ((0, 0), (rows, rows), (columns, columns))).cumsum(1).cumsum(2)
        sums = sums[..., columns:] - sums[..., :-columns]
        edges, count = np.arange(BANDS + 1) * rows // BANDS, size[0] + rows + 1
        bands = [
            each[below : below + count] - each[above : above + count]
            for each, above, below in zip(sums, edges[:-1], edges[1:], strict=True)
        ]
        score = np.sum(bands, axis=0)  # by the first row and column of a box, counted from its sides before the frame
        first = np.rint((window[1::-1] + 1) / 2 * (size - 1) - (sides - 1) / 2).astype(int) + sides
        first = np.clip(first, 0, np.array(score.shape) - 1)
        start = np.maximum(first - sides, 0) if near else np.zeros(2, int)
        end = first + sides + 1 if near else np.array(score.shape)
        within = score[start[0] : end[0], start[1] : end[1]]
        best = np.argwhere(within > within.max() - 1e-6) + start
        best = best[np.abs(best - first).sum(1).argmin()]
        centre = 2 * (best - sides + (sides - 1) / 2) / (size - 1) - 1
        return cls(float(score[tuple(first)]), float(score[tuple(best)]), centre[::-1])

    def elsewhere(self, usual: float) -> bool:
        """Return whether an object of some usual area is clearly not where it should be, but where it fits best."""
        return self.there >= _SHOWN * usual and self.there - self.here >= _CLEARLY_MORE * usual


def likeness(colours: np.ndarray, look: np.ndarray) -> np.ndarray:
    """Return how well pixels (C, H, W) have the colour of each band of a look (3 C,), from -1 to 1, (3, H, W)."""
    far = np.abs(colours - look.reshape(BANDS, -1, 1, 1)).max(1) / ALIKE
    return np.clip(1 - far, -1, 1)


def places_by_looks(
    colours: np.ndarray, pixels: np.ndarray, windows: np.ndarray, looks: np.ndarray, usual: Sequence[float]
) -> np.ndarray:
    """Return windows (N, 4) of objects that share a part, each where its looks are if these are clearly elsewhere.

    Those that fit best where they should be come first: pixels that one holds count for no other.

    Args:
        colours: Differences from the background, shape (C, H, W).
        pixels: Of the part, bool, shape (H, W).
        windows: Where they should be, shape (N, 4).
        looks: Their looks, shape (N, 3 C).
        usual: Their usual areas.
    """
    windows, free = windows.copy(), pixels.copy()
    fits = [
        Fit.of(colours, free, window, look, near=True).here / max(area, 1)
        for window, look, area in zip(windows, looks, usual, strict=True)
    ]
    for n in np.argsort(fits)[::-1]:
        fit = Fit.of(colours, free, windows[n], looks[n], near=True)
        if fit.elsewhere(usual[n]):
            windows[n, :2] = fit.centre
        free &= ~covered(torch.from_numpy(windows[n : n + 1]), free.shape)[0].numpy()
    return windows
