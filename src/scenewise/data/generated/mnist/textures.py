"""Procedural textures, many at once, from numbers uniform in [0, 1).

All arithmetic goes texture by texture, so a texture is the same bytes in any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

KINDS = ("waves", "stripes", "checks", "noise", "gradient")
"""Names of the textures; their numbers are the places in this tuple."""

WAVES = [(row, 4 * step + place) for place, row in enumerate((4, 10, 21, 32, 37)) for step in range(4)]
"""Row and column frequency, in cycles per 38 pixels, of the 20 textures of Tagger's set."""

GRID = 12
"""Knots of noise per side."""

_WAVE_SIDE = 38
_PERIODS = (3.5, 8.0)  # pixels
_DARK, _LIGHT = (0.0, 0.35), (0.65, 1.0)


@dataclass(frozen=True)
class Textures:
    """M textures.

    Attributes:
        kinds: Places in `KINDS`, shape (M,).
        waves: Places in `WAVES`, shape (M,).
        angles: Turns of the pattern, 0 to 1 for what brings it back to itself, shape (M,).
        draws: Uniform in [0, 1): period, two phases, dark and light, shape (M, 5).
        knots: Uniform in [0, 1): noise, shape (M, GRID, GRID).
    """

    kinds: np.ndarray
    waves: np.ndarray
    angles: np.ndarray
    draws: np.ndarray
    knots: np.ndarray


def paint(textures: Textures, size: int) -> np.ndarray:
    """Return textures in 0 to 1, float32, shape (M, size, size)."""
    painted = np.empty((len(textures.kinds), size, size), np.float32)
    for kind, fill in enumerate((_waves, _stripes, _checks, _noise, _gradient)):
        rows = np.flatnonzero(textures.kinds == kind)
        if not len(rows):
            continue
        few = Textures(**{name: values[rows] for name, values in vars(textures).items()})
        pattern = fill(few, size)
        if kind:  # waves use all the greys, as Tagger's do
            dark, light = (_between(few.draws[:, at], span) for at, span in ((3, _DARK), (4, _LIGHT)))
            pattern = dark[:, None, None] + (light - dark)[:, None, None] * pattern
        painted[rows] = pattern
    return painted


def _waves(textures: Textures, size: int) -> np.ndarray:
    frequencies = np.array(WAVES)[textures.waves] / _WAVE_SIDE
    return np.float32(0.5) + np.float32(0.5) * _sine(frequencies, textures.draws[:, 1], size)


def _stripes(textures: Textures, size: int) -> np.ndarray:
    period, angle = _period(textures), math.pi * textures.angles
    soft = (period / (2 * math.pi))[:, None, None].astype(np.float32)  # edges one pixel wide
    sine = _sine(_direction(angle) / period[:, None], textures.draws[:, 1], size)
    return np.clip(np.float32(0.5) + soft * sine, 0, 1)


def _checks(textures: Textures, size: int) -> np.ndarray:
    period, angle = _period(textures) * 1.4, math.pi / 2 * textures.angles
    soft = (period / math.pi)[:, None, None].astype(np.float32)
    product = np.ones((), np.float32)
    for turn, phase in ((0.0, 1), (math.pi / 2, 2)):
        sine = _sine(_direction(angle + turn) / period[:, None], textures.draws[:, phase], size)
        product = product * np.clip(soft * sine, -1, 1)
    return np.float32(0.5) + np.float32(0.5) * product


def _noise(textures: Textures, size: int) -> np.ndarray:
    place = (np.arange(size) + 0.5) * (GRID - 1) / size
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    knots = textures.knots.astype(np.float32)
    rows = knots[:, low] + part[:, None] * (knots[:, low + 1] - knots[:, low])
    smooth = rows[:, :, low] + part * (rows[:, :, low + 1] - rows[:, :, low])
    return np.clip(np.float32(0.5) + np.float32(1.7) * (smooth - np.float32(0.5)), 0, 1)


def _gradient(textures: Textures, size: int) -> np.ndarray:
    direction = _direction(2 * math.pi * textures.angles)
    direction = direction / np.abs(direction).sum(1, keepdims=True)
    place = ((np.arange(size) + 0.5) / size - 0.5) * direction[..., None]  # (M, 2, size)
    place = place.astype(np.float32)
    return np.asarray(np.float32(0.5) + place[:, 0, :, None] + place[:, 1, None, :])


def _sine(frequencies: np.ndarray, phases: np.ndarray, size: int) -> np.ndarray:
    """Return sine waves, float32, shape (M, size, size), of row and column cycles per pixel (M, 2) and turns (M,)."""
    angles = 2 * math.pi * frequencies[..., None] * (np.arange(size) + 0.5)  # (M, 2, size)
    angles[:, 0] += 2 * math.pi * phases[:, None]
    sines, cosines = np.sin(angles).astype(np.float32), np.cos(angles).astype(np.float32)
    # sin(a + b): far fewer sines than one for every pixel.
    return np.asarray(sines[:, 0, :, None] * cosines[:, 1, None, :] + cosines[:, 0, :, None] * sines[:, 1, None, :])


def _direction(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(angles), np.cos(angles)], -1)


def _period(textures: Textures) -> np.ndarray:
    return _between(textures.draws[:, 0], _PERIODS)


def _between(draws: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return np.asarray(bounds[0] + (bounds[1] - bounds[0]) * draws)
