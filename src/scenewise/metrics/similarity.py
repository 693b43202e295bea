"""How alike the latents of a frame's slots are: cosines of all pairs, and the LDS prior of them.

Source: LDS papers (BMVC 2021, ICLR 2021 submission), `Sim`; lds.md 4.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_LEAST = 1e-6


@dataclass(frozen=True)
class Similarity:
    """Likeness of the slots of each frame; NaN where fewer than two slots are left.

    Attributes:
        signed: Mean of the cosines of all pairs h != j, shape (...): the papers' Sim.
        absolute: Mean of their absolute values, shape (...).
        prior: Sum over ordered pairs of log N(S; 0, sigma²) in nats, shape (...).
        left_out: Slots that were too short to have a direction, shape (...).
    """

    signed: np.ndarray
    absolute: np.ndarray
    prior: np.ndarray
    left_out: np.ndarray


def cosines(latents: ArrayLike) -> np.ndarray:
    """Return the cosines of all pairs of slots.

    Args:
        latents: Shape (..., K, Z).

    Returns:
        Shape (..., K, K), float64; the length of a latent counts at least 1e-6.

    Raises:
        InputError: The values are not finite floats, or there are too few axes.

    Examples:
        >>> cosines([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]]).tolist()
        [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    values = reals(latents, "latents").astype(np.float64)
    if values.ndim < 2:
        raise InputError("latents", f"must have shape (..., K, Z); found {values.shape}.")
    unit = values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), _LEAST)
    return np.asarray(unit @ unit.swapaxes(-1, -2))


def similarity(latents: ArrayLike, *, least: float = 0.0, sigma: float = 0.1) -> Similarity:
    """Measure how alike the slots of each frame are.

    Args:
        latents: Samples or means of the posterior, shape (..., K, Z).
        least: Slots shorter than this have no direction and are left out; lds.md 4.1: 1e-3 for means.
        sigma: Standard deviation of the prior over cosines.

    Raises:
        InputError: The values are not finite floats, or there are too few axes.

    Examples:
        >>> opposite = similarity([[1.0, 0.0], [-1.0, 0.0]])
        >>> float(opposite.signed), float(opposite.absolute)
        (-1.0, 1.0)
        >>> orthogonal = similarity([[1.0, 0.0], [0.0, 1.0]], sigma=0.1)
        >>> float(orthogonal.prior.round(3))  # two ordered pairs: 2 (-ln 0.1 - ln(2 pi) / 2)
        2.767
    """
    cosine = cosines(latents)  # (..., K, K)
    short = np.linalg.norm(reals(latents, "latents").astype(np.float64), axis=-1) < least  # (..., K)
    pair = ~(short[..., :, None] | short[..., None, :]) & ~np.eye(cosine.shape[-1], dtype=bool)
    count = pair.sum((-2, -1))
    constant = -math.log(sigma) - 0.5 * math.log(2 * math.pi)

    def total(values: np.ndarray) -> np.ndarray:
        return np.where(pair, values, 0.0).sum((-2, -1))

    def over_pairs(values: np.ndarray) -> np.ndarray:
        return np.divide(total(values), count, out=np.full(count.shape, np.nan), where=count > 0)

    prior = np.where(count > 0, total(constant - 0.5 * (cosine / sigma) ** 2), np.nan)
    return Similarity(over_pairs(cosine), over_pairs(np.abs(cosine)), prior, short.sum(-1))
