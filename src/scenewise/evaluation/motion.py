"""Do predicted slots move as the true objects do: part of the protocol `prediction` (PROVIDE Fig. 6; metrics.md 4).

A model looks at 10 frames and predicts 5. Where a slot or an object is, is the centre of the bounding box of what it
owns, of slots by argmax; the slot with the largest mean area is the background and takes no part, nor do slots that
never own 8 pixels of an observed frame. Slots are matched to objects once, by the Hungarian method over the frames
observed. Velocities are differences over two frames (DDPAE's code), their cosine counts where both are above 1e-4 of
the image size. Numbers are means over the objects of a video, then over videos.

DDPAE's own measure takes a slot to be where its pose puts it (ddpae.md 7). So for models that say where their slots are
(`Decomposition.positions`) rows "by positions" stand beside those by boxes, which alone compare with other models; true
positions are those of boxes in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.metrics import velocity_similarity
from scenewise.metrics.arrays import mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from scenewise.data.contract import Source
    from scenewise.evaluation.rows import Values

SEEN, AHEAD = 10, 5
"""Frames that are observed and predicted, as in PROVIDE Fig. 6."""
COSINE, SPEED, COUNTED = "velocity cosine", "speed error", "velocities counted"
BY_POSITIONS = " by positions"
"""Stands in the names of what was measured at the positions that the model itself says."""
_MOTION = ("positions", "velocities")


def moves(source: Source) -> bool:
    """Return whether a source knows positions or velocities of its objects in the picture, shape (T, n, 2)."""
    extras = source.sample(0, 0, 1).extras
    return any(np.ndim(extras[key]) == 3 and np.shape(extras[key])[2] == 2 for key in _MOTION if key in extras)


def velocity_scores(
    labels: np.ndarray, ids: np.ndarray, background_ids: Collection[int], positions: np.ndarray | None = None
) -> Values:
    """Compare velocities of slots and objects, video by video.

    Args:
        labels: The slot that owns each pixel of 10 observed and 5 predicted frames, shape (N, 15, H, W).
        ids: The truth, same shape.
        background_ids: Ids that are background.
        positions: Where the model itself says its slots are, shape (N, 15, K, 2), None where it does not.

    Returns:
        By metric, shape (N,): the cosine at each predicted frame and over all five, |1 - speed / true speed| over all
        five, and the share of objects and frames that count; NaN where none does. The same by positions where given.
    """
    boxes = _scores_of(labels, ids, background_ids, [None] * len(ids), "")
    return boxes if positions is None else boxes | _scores_of(labels, ids, background_ids, positions, BY_POSITIONS)


def _scores_of(
    labels: np.ndarray,
    ids: np.ndarray,
    background_ids: Collection[int],
    positions: Sequence[np.ndarray | None] | np.ndarray,
    how: str,
) -> Values:
    """Compare velocities where slots are by boxes, or by positions."""
    each = [
        velocity_similarity(
            slots[None],
            truth[None],
            SEEN,
            background_ids=background_ids,
            slot_positions=None if place is None else place[None],
        )
        for slots, truth, place in zip(labels, ids, positions, strict=True)
    ]
    cosine, error = (np.stack([getattr(one, name) for one in each]) for name in ("cosine", "speed_error"))
    objects = np.array([len(set(np.unique(truth)) - {-1, *background_ids}) for truth in ids])
    counted = np.array([one.valid.sum() for one in each])
    return {
        **{f"{COSINE}{how} {j + 1}": cosine[:, j] for j in range(AHEAD)},
        f"{COSINE}{how} first {AHEAD}": mean(cosine, axis=1),
        f"{SPEED}{how} first {AHEAD}": mean(error, axis=1),
        COUNTED + how: counted / np.maximum(AHEAD * objects, 1),
    }
