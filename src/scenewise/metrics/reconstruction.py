"""Error of reconstructed or predicted frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError
from scenewise.metrics.arrays import one_of, reals, same_shape
from scenewise.metrics.horizon import HORIZONS, Horizons, check_observed, over_horizons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

BLOCK_VALUES = 1 << 20
_BCE_CLIP = 1e-4


def squared_error(reconstruction: ArrayLike, frames: ArrayLike, reduction: str = "element") -> np.ndarray:
    """Return the squared error of each frame, float64, shape (...).

    Args:
        reconstruction: Sum over slots of SOFT mask times appearance, shape (..., C, H, W).
        frames: The truth in [0, 1], same shape.
        reduction: "element" averages over C, H, W (PROVIDE's MSE); "vector" averages the squared RGB distance over
            H, W, which is C times as much (LDS); "sum" adds everything up (DDPAE).

    Raises:
        InputError: Shapes differ, frames leave [0, 1], values are not finite, or the reduction is unknown.

    Examples:
        >>> black, grey = np.zeros((3, 1, 2)), np.full((3, 1, 2), 0.5)  # two pixels, three channels
        >>> {name: float(squared_error(black, grey, name)) for name in ("element", "vector", "sum")}
        {'element': 0.25, 'vector': 0.75, 'sum': 1.5}
        >>> squared_error(black, 255 * grey)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: frames: must lie in [0, 1]; found [127.5, 127.5]. Divide 8-bit images by 255.
    """
    one_of(reduction, "reduction", ("element", "vector", "sum"))
    predicted, truth = _images(reconstruction, frames)
    channels, height, width = truth.shape[-3:]
    share = {"element": channels * height * width, "vector": height * width, "sum": 1}[reduction]
    return _sums(lambda p, x: np.square(p - x), predicted, truth) / share


def mse(reconstruction: ArrayLike, frames: ArrayLike, reduction: str = "element") -> float:
    """Return the mean of `squared_error` over all frames, equal weight each. Source: PROVIDE 4.2, LDS, DDPAE.

    Examples:
        >>> frames = np.zeros((2, 1, 8, 8))
        >>> frames[1] = 1.0
        >>> mse(np.zeros_like(frames), frames)  # one frame right, one wrong everywhere
        0.5
    """
    return float(squared_error(reconstruction, frames, reduction).mean())


def binary_cross_entropy(reconstruction: ArrayLike, frames: ArrayLike) -> np.ndarray:
    """Return the binary cross-entropy of each frame in nats, summed over C, H, W, shape (...).

    Source: DDPAE's evaluation, which clips the prediction to [1e-4, 1 - 1e-4]; its figure is the mean over frames.

    Args:
        reconstruction: Probabilities, shape (..., C, H, W).
        frames: The truth in [0, 1], same shape.

    Raises:
        InputError: As `squared_error`.

    Examples:
        >>> image = np.ones((1, 1, 1))
        >>> float(binary_cross_entropy(np.full_like(image, 0.5), image).round(4))  # ln 2
        0.6931
        >>> float(binary_cross_entropy(np.zeros_like(image), image).round(4))  # clipped: -ln 1e-4
        9.2103
    """

    def nats(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        p = np.clip(p, _BCE_CLIP, 1 - _BCE_CLIP)
        return -(x * np.log(p) + (1 - x) * np.log1p(-p))

    return _sums(nats, *_images(reconstruction, frames))


def prediction_mse(
    reconstruction: ArrayLike,
    frames: ArrayLike,
    observed: int,
    *,
    reduction: str = "element",
    include_observed: bool = False,
    at: Sequence[int] = HORIZONS,
) -> Horizons:
    """Return the squared error of predicted frames by horizon.

    Args:
        reconstruction: T_0 reconstructed frames followed by T' predicted ones, shape (N, T_0 + T', C, H, W).
        frames: The truth in [0, 1], same shape.
        observed: T_0; 0 where only predicted frames are given.
        reduction: As in `squared_error`.
        include_observed: Average the cumulative errors over observed frames too.
        at: The numbers of predicted frames to report.

    Raises:
        InputError: Shapes do not fit, or nothing is left to predict.

    Examples:
        >>> frames = np.zeros((1, 4, 1, 2, 2))
        >>> drawn = np.array([0.0, 0.0, 0.5, 1.0]).reshape(1, 4, 1, 1, 1) + frames
        >>> ahead = prediction_mse(drawn, frames, observed=2, at=(1, 2))
        >>> ahead.per_horizon.tolist(), ahead.cumulative
        ([0.25, 1.0], {1: 0.25, 2: 0.625})
    """
    errors = squared_error(reconstruction, frames, reduction)
    return over_horizons(errors, observed, include_observed=include_observed, at=at)


def copy_last_mse(
    frames: ArrayLike, observed: int, *, reduction: str = "element", at: Sequence[int] = HORIZONS
) -> Horizons:
    """Return the error of the prediction that nothing moves: the baseline to print next to `prediction_mse`.

    Args:
        frames: T_0 observed frames and the T' that follow, in [0, 1], shape (N, T_0 + T', C, H, W).
        observed: T_0, at least 1.
        reduction: As in `squared_error`.
        at: The numbers of predicted frames to report.

    Raises:
        InputError: The shape does not fit, nothing was observed, or nothing is left to predict.

    Examples:
        A frame that becomes brighter by 0.25 a step, from 0.25 in the last frame observed:

        >>> frames = np.array([0.0, 0.25, 0.5, 0.75]).reshape(1, 4, 1, 1, 1)
        >>> copy_last_mse(frames, observed=2).per_horizon.tolist()
        [0.0625, 0.25]
    """
    truth = reals(frames, "frames")
    if truth.ndim != 5:
        raise InputError("frames", f"must have shape (N, T, C, H, W); found {truth.shape}.")
    check_observed(observed, truth.shape[1], minimum=1)
    future = truth[:, observed:]
    copied = np.broadcast_to(truth[:, observed - 1 : observed], future.shape)
    return over_horizons(squared_error(copied, future, reduction), 0, at=at)


def _images(reconstruction: ArrayLike, frames: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    predicted, truth = reals(reconstruction, "reconstruction"), reals(frames, "frames")
    same_shape(predicted, truth, ("reconstruction", "frames"), "(..., C, H, W)", rank=3)
    if truth.size == 0:
        raise InputError("frames", f"hold no pixel; found shape {truth.shape}.")
    low, high = float(truth.min()), float(truth.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise InputError("frames", f"must lie in [0, 1]; found [{low:g}, {high:g}].", "Divide 8-bit images by 255.")
    return predicted, truth


def _sums(
    error: Callable[[np.ndarray, np.ndarray], np.ndarray], predicted: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Sum an error over each frame in float64; blocks of frames bound the memory."""
    shape, values = truth.shape[:-3], int(np.prod(truth.shape[-3:]))
    flat = predicted.reshape(-1, values), truth.reshape(-1, values)  # (frames, C*H*W)
    sums, rows = np.empty(len(flat[0])), max(1, BLOCK_VALUES // values)
    for start in range(0, len(sums), rows):
        p, x = (a[start : start + rows].astype(np.float64) for a in flat)
        sums[start : start + rows] = error(p, x).sum(axis=1)
    return sums.reshape(shape)
