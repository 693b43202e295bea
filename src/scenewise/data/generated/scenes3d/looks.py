"""Lights and the colours of what they fall on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """A small square lamp that faces a point, or with `steady` one whose strength does not fall with distance.

    Attributes:
        place: Its centre.
        strength: Linear RGB.
        side: Length of its sides, world units; sets how soft shadows are.
        samples: Along each side, points from which shadow is cast; 0 for no shadow.
        target: What it faces.
        steady: Whether it lights all distances and sides alike, as a sun does.
    """

    place: Triple
    strength: Triple
    side: float = 0.0
    samples: int = 1
    target: Triple = (0.0, 0.0, 0.0)
    steady: bool = False

    @cached_property
    def axis(self) -> np.ndarray:
        """Where it faces, a unit vector."""
        way = np.subtract(self.target, self.place).astype(float)
        return np.asarray(way / np.linalg.norm(way))

    @cached_property
    def points(self) -> np.ndarray:
        """Points from which shadow is cast, shape (samples ** 2, 3)."""
        across = np.cross(self.axis, (0.0, 0.0, 1.0) if abs(self.axis[2]) < 0.99 else (1.0, 0.0, 0.0))
        across /= np.linalg.norm(across)
        up = np.cross(across, self.axis)
        at = ((np.arange(self.samples) + 0.5) / max(self.samples, 1) - 0.5) * self.side
        grid = at[:, None, None] * across + at[None, :, None] * up
        return np.asarray(grid.reshape(-1, 3) + self.place)

    @property
    def spread(self) -> float:
        """How far from its centre the farthest point lies from which shadow is cast."""
        return self.side * (1 - 1 / self.samples) / 2**0.5 if self.samples else 0.0


@dataclass(frozen=True)
class Look:
    """How a scene is lit and shaded; all colours are linear RGB.

    Attributes:
        lights: Its lamps.
        ambient: Light from everywhere.
        sky: What rays meet that meet nothing, straight ahead.
        zenith: The same straight up.
        rubber: Share of light that rubber throws back diffusely, relative to the floor.
        metal: Share of its surroundings that metal mirrors.
        shine: Strength of highlights on rubber, metal.
        polish: Exponent of the highlights on rubber, metal; larger is smaller.
        rounding: Share of a body's half size over which its edges are rounded.
        occlusion: How much bodies keep ambient light from what is near them, 0 to 1.
    """

    lights: tuple[Light, ...]
    ambient: Triple
    sky: Triple = (0.05, 0.05, 0.05)
    zenith: Triple = (0.05, 0.05, 0.05)
    rubber: float = 1.0
    metal: float = 1.0
    shine: tuple[float, float] = (0.1, 1.0)
    polish: tuple[float, float] = (12.0, 200.0)
    rounding: float = 0.1
    occlusion: float = 1.0
