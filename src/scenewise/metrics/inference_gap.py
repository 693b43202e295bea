"""The inference gap: how far the evidence lower bound lies below an importance-sampled estimate of log p(x).

Source: LDS (BMVC 2021) section 3.3, eq. 6; lds.md 4.4. Once log w varies by more than about 3 nats, the estimate of
B = 500 samples saturates and mostly shows that variation: look at `spread` and `effective` beside it.
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


@dataclass(frozen=True)
class InferenceGap:
    """The gap of N frames, in nats; everything of shape (N,).

    Attributes:
        gap: `evidence` - `bound`, at least 0.
        evidence: logsumexp(log w) - log B, an estimate of log p(x) that is too low on average.
        bound: Mean of log w, the evidence lower bound.
        spread: Standard deviation of log w.
        effective: Effective sample size (sum w)² / sum w², in [1, B].
    """

    gap: np.ndarray
    evidence: np.ndarray
    bound: np.ndarray
    spread: np.ndarray
    effective: np.ndarray


def inference_gap(log_weights: ArrayLike, samples: int | None = None) -> InferenceGap:
    """Return the gap of each frame, in float64.

    Args:
        log_weights: log p(x | z_b) + log p(z_b) - log q(z_b | x) in nats, z_b from q, shape (N, B).
        samples: Use the first that many; all where None.

    Raises:
        InputError: There are fewer than two samples, or values are not finite.

    Examples:
        Weights that do not vary leave no gap. Of weights 1 and 3, log p is about log(4 / 2), and the bound is
        (log 1 + log 3) / 2.

        >>> inference_gap([[-100.0, -100.0]]).gap.tolist()
        [0.0]
        >>> estimate = inference_gap([np.log([1.0, 3.0])])
        >>> estimate.evidence.round(3).tolist(), estimate.bound.round(3).tolist(), estimate.gap.round(3).tolist()
        ([0.693], [0.549], [0.144])
        >>> estimate.effective.round(3).tolist()  # 4² / (1² + 3²)
        [1.6]
    """
    weights = reals(log_weights, "log_weights").astype(np.float64)
    if weights.ndim != 2:
        raise InputError("log_weights", f"must have shape (N, B); found {weights.shape}.")
    used = weights.shape[1] if samples is None else samples
    if not 2 <= used <= weights.shape[1]:
        raise InputError("samples", f"must lie in [2, {weights.shape[1]}]; found {used}.")
    weights = weights[:, :used]
    total = _log_sum(weights)
    evidence, bound = total - math.log(used), weights.mean(1)
    effective = np.exp(2 * total - _log_sum(2 * weights))
    return InferenceGap(evidence - bound, evidence, bound, weights.std(1, ddof=1), effective)


def _log_sum(values: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the last axis."""
    peak = values.max(1, keepdims=True)
    return np.asarray(peak[:, 0] + np.log(np.exp(values - peak).sum(1)))
