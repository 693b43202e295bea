"""Colours of sprites and backgrounds, made from numbers uniform in [0, 1)."""

from __future__ import annotations

import numpy as np

NAMED = {
    "red": (230, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (240, 220, 50),
    "magenta": (215, 60, 205),
    "cyan": (60, 210, 215),
    "orange": (245, 140, 30),
    "purple": (125, 60, 190),
}
"""RGB by name, for palettes of few colours and for combinations that are held out."""

LEVELS = (0, 63, 127, 191, 255)
"""The five values of a channel in GENESIS's set."""


def hsv(draws: np.ndarray, saturation: tuple[float, float], value: tuple[float, float]) -> np.ndarray:
    """Return colours of uniform hue, saturation and value.

    Args:
        draws: Uniform in [0, 1), shape (..., 3).
        saturation: Smallest and largest saturation.
        value: Smallest and largest value.

    Returns:
        RGB, uint8, shape (..., 3).
    """
    hue, s, v = draws[..., 0], _between(draws[..., 1], saturation), _between(draws[..., 2], value)
    channels = []
    for offset in (5, 3, 1):
        place = (offset + 6 * hue) % 6
        channels.append(v - v * s * np.clip(np.minimum(place, 4 - place), 0, 1))
    return np.rint(255 * np.stack(channels, -1)).astype(np.uint8)


def rgb(draws: np.ndarray) -> np.ndarray:
    """Return colours uniform in the colour cube, uint8, from draws of the same shape (..., 3)."""
    return np.asarray((draws * 256).astype(np.uint8))


def levels(places: np.ndarray) -> np.ndarray:
    """Return colours of five levels per channel, uint8, shape (..., 3), by places 0 to 124 of shape (...)."""
    digits = np.stack([places // 25, places // 5 % 5, places % 5], -1)
    return np.array(LEVELS, np.uint8)[digits]


def pick(draws: np.ndarray, number: int, distinct: bool) -> np.ndarray:
    """Return places 0 to number - 1.

    Args:
        draws: Uniform in [0, 1), shape (N, n); n is at most `number` where they must differ.
        number: How many there are to pick from.
        distinct: Let no two of a row be equal.

    Returns:
        Shape (N, n).
    """
    if not distinct:
        return np.asarray((draws * number).astype(np.int64))
    picked = np.empty(draws.shape, np.int64)
    for at in range(draws.shape[1]):
        place = (draws[:, at] * (number - at)).astype(np.int64)
        for rank in np.sort(picked[:, :at], 1).T:  # counts only places that are still free
            place += place >= rank
        picked[:, at] = place
    return picked


def _between(draws: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return np.asarray(bounds[0] + draws * (bounds[1] - bounds[0]))
