"""Purity: the share of an object's pixels that lie in slots which hold more of it than of any other object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.evaluation import PROTOCOLS, Metric, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection


def purity(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int] = (0,)) -> float:
    """Return the purity of one frame, in [0, 1]; NaN where it shows no object.

    Args:
        labels: The slot that owns each pixel, shape (H, W).
        ids: The truth, same shape: -1 for pixels to ignore.
        background_ids: The true ids that are background.

    Examples:
        >>> purity(np.array([[0, 0, 0, 1]]), np.array([[1, 1, 2, 2]]))  # of 4 pixels, one lies in a slot of the other
        0.75
    """
    used = ~np.isin(ids, [-1, *background_ids])
    if not used.any():
        return float("nan")
    slots, objects = (np.unique(values[used], return_inverse=True)[1] for values in (labels, ids))
    table = np.zeros((slots.max() + 1, objects.max() + 1))
    np.add.at(table, (slots, objects), 1)
    return float(table.max(1).sum() / table.sum())


def of_every_frame(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int] = (0,)) -> np.ndarray:
    """Return the purity of each frame of N videos, shape (N, T)."""
    pairs = zip(labels, ids, strict=True)
    return np.array([[purity(*pair, background_ids) for pair in zip(*video, strict=True)] for video in pairs])


PURITY = PROTOCOLS.register("purity")(
    Protocol(
        name="purity",
        source="Purity of the foreground of every frame by itself, plain mean over frames that show an object.",
        metrics=(Metric("purity", of_every_frame),),
        default=False,  # runs where it is named
    )
)
