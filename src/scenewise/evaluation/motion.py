"""Do predicted slots move as the true objects do: part of the protocol `prediction` (PROVIDE Fig. 6; metrics.md 4).

A model looks at 10 frames and predicts 5. Where a slot or an object is, is the centre of the bounding box of what it
owns, of slots by argmax; the slot with the largest mean area is the background and takes no part, nor do slots that
never own 8 pixels of an observed frame. Slots are matched to objects once, by the Hungarian method over the frames
observed. Velocities are differences over two frames (DDPAE's code), their cosine counts where both are above 1e-4 of
the image size. Numbers are means over the objects of a video, then over videos.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics import velocity_similarity
from scenewise.metrics.arrays import mean

if TYPE_CHECKING:
    from collections.abc import Collection

    from scenewise.data.contract import Source
    from scenewise.evaluation.on_request import Values

SEEN, AHEAD = 10, 5
"""Frames that are observed and predicted, as in PROVIDE Fig. 6."""
COSINE, SPEED, COUNTED = "velocity cosine", "speed error", "velocities counted"
_KNOWN = ("positions", "velocities")


def moves(source: Source) -> bool:
    """Return whether a source knows positions or velocities of its objects in the picture, shape (T, n, 2)."""
    known = source.sample(0, 0, 1).extras
    return any(np.ndim(known[key]) == 3 and np.shape(known[key])[2] == 2 for key in _KNOWN if key in known)


def compared(labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int]) -> Values:
    """Compare velocities of slots and objects, video by video.

    Args:
        labels: The slot that owns each pixel of 10 observed and 5 predicted frames, shape (N, 15, H, W).
        ids: The truth, same shape.
        background_ids: Ids that are background.

    Returns:
        By measure, shape (N,): the cosine at each predicted frame and over all five, |1 - speed / true speed| over all
        five, and the share of objects and frames that count; NaN where none does.
    """
    pairs = [(shown[None], truth[None]) for shown, truth in zip(labels, ids, strict=True)]
    each = [velocity_similarity(*pair, SEEN, background_ids=background_ids) for pair in pairs]
    cosine, error = (np.stack([getattr(found, name) for found in each]) for name in ("cosine", "speed_error"))
    objects = np.array([len(set(np.unique(truth)) - {-1, *background_ids}) for truth in ids])
    counted = np.array([found.valid.sum() for found in each])
    return {
        **{f"{COSINE} {j + 1}": cosine[:, j] for j in range(AHEAD)},
        f"{COSINE} first {AHEAD}": mean(cosine, axis=1),
        f"{SPEED} first {AHEAD}": mean(error, axis=1),
        COUNTED: counted / np.maximum(AHEAD * objects, 1),
    }
