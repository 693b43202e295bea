"""Duplicate slots, found by taking one away: does another slot show the same in its place?

The LDS papers count duplicates by eye. The test here (lds.md 4.2) looks at masks and appearance only, never at
latents, which the LDS prior optimises directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

TAKE, DISTANCE, PIXELS = 0.7, 0.03, 20
"""Thresholds of lds.md 4.2: share taken over, squared RGB distance, and pixels at 64 x 64."""


@dataclass(frozen=True)
class Takeover:
    """What happens to the pixels of slot j of each of N frames when it is removed.

    Attributes:
        area: Pixels that slot j wins, shape (N, K).
        share: Share of them that slot h wins without j, by [h, j], shape (N, K, K); 0 where j wins none.
        distance: Mean over them of the squared RGB distance of the appearances of h and j, shape (N, K, K).
        pixels: H W.
    """

    area: np.ndarray
    share: np.ndarray
    distance: np.ndarray
    pixels: int


@dataclass(frozen=True)
class Duplicates:
    """Pairs of slots that show the same thing.

    Attributes:
        pairs: Whether h duplicates j, by [h, j], shape (N, K, K).
        objects: Whether a frame has a pair without the background winner, shape (N,).
        background: Whether it has a pair with the background winner, the slot that wins most pixels, shape (N,).
    """

    pairs: np.ndarray
    objects: np.ndarray
    background: np.ndarray

    @property
    def any(self) -> np.ndarray:
        """Whether a frame has any pair, shape (N,)."""
        return np.asarray(self.objects | self.background)


def takeover(scores: ArrayLike, appearance: ArrayLike) -> Takeover:
    """Remove every slot in turn and see who takes over.

    Args:
        scores: Masks, or better their logits or logarithms, which do not underflow; shape (N, K, H, W). Ties go to the
            lowest index. Masks that are carved one after another do not tell: give those of the decoder.
        appearance: Mean image of each slot, shape (N, K, C, H, W).

    Raises:
        InputError: Shapes do not fit, or values are not finite floats.

    Examples:
        Two pixels and three slots; slots 0 and 1 are black, slot 2 is white.

        >>> masks = np.array([[[[0.6, 0.1]], [[0.3, 0.1]], [[0.1, 0.8]]]])
        >>> colours = np.zeros((1, 3, 3, 1, 2))
        >>> colours[:, 2] = 1.0
        >>> effect = takeover(masks, colours)
        >>> effect.area.tolist()
        [[1, 0, 1]]
        >>> effect.share[0, :, 0].tolist()  # slot 1 takes the first pixel when slot 0 goes
        [0.0, 1.0, 0.0]
        >>> effect.distance[0, :, 0].tolist()
        [0.0, 0.0, 3.0]
    """
    soft, images = reals(scores, "scores"), reals(appearance, "appearance")
    if soft.ndim != 4 or images.ndim != 5 or images.shape[:2] + images.shape[3:] != soft.shape:
        problem = f"must be (N, K, H, W) with appearance (N, K, C, H, W); found {soft.shape} and {images.shape}."
        raise InputError("scores", problem)
    count, slots = soft.shape[:2]
    area = np.zeros((count, slots), int)
    share, distance = np.zeros((count, slots, slots)), np.full((count, slots, slots), np.inf)
    for n in range(count):
        flat = soft[n].reshape(slots, -1)  # (K, HW)
        first, rest = flat.argmax(0), flat.astype(np.float64)
        np.put_along_axis(rest, first[None], -np.inf, axis=0)
        second = rest.argmax(0)  # who wins a pixel without its winner
        area[n] = np.bincount(first, minlength=slots)
        colours = images[n].reshape(slots, images.shape[2], -1)  # (K, C, HW)
        for j in np.flatnonzero(area[n]):
            won = first == j
            if slots > 1:
                share[n, :, j] = np.bincount(second[won], minlength=slots) / area[n, j]
            difference = colours[:, :, won].astype(np.float64) - colours[j, :, won].T
            distance[n, :, j] = np.square(difference).sum(1).mean(1)
    return Takeover(area, share, distance, soft.shape[2] * soft.shape[3])


def duplicates(
    effect: Takeover, *, take: float = TAKE, distance: float = DISTANCE, least_area: float = PIXELS / 4096
) -> Duplicates:
    """Return the pairs (h, j) in which h takes over from j and looks the same there.

    Args:
        effect: Of `takeover`.
        take: Smallest share of j's pixels that h takes over.
        distance: Largest mean squared RGB distance, on [0, 1].
        least_area: Smallest share of the frame that j wins; 20 pixels of 64 x 64.

    Examples:
        Two slots show the same: slot 1 would fill in for slot 0, in the same colour.

        >>> masks = np.array([[[[0.6, 0.1, 0.1]], [[0.3, 0.1, 0.1]], [[0.1, 0.8, 0.8]]]])
        >>> colours = np.zeros((1, 3, 3, 1, 3))
        >>> colours[:, 2] = 1.0
        >>> same = duplicates(takeover(masks, colours))
        >>> np.argwhere(same.pairs[0]).tolist()
        [[1, 0]]
        >>> same.objects.tolist(), same.background.tolist()  # slot 2 wins most pixels, and has no double
        ([True], [False])
    """
    large = effect.area >= least_area * effect.pixels
    pairs = large[:, None, :] & (effect.share >= take) & (effect.distance <= distance)
    pairs &= ~np.eye(pairs.shape[-1], dtype=bool)
    background = np.zeros_like(pairs)
    rows = np.arange(len(pairs))
    winner = effect.area.argmax(1)
    background[rows, winner, :] = True
    background[rows, :, winner] = True
    objects, split = ((pairs & where).reshape(len(pairs), -1).any(1) for where in (~background, background))
    return Duplicates(pairs, np.asarray(objects), np.asarray(split))
