"""The world of CLEVR (arXiv 1612.06890): its eight colours, three shapes, two sizes, two materials, camera and lamps.

Numbers are those of the public generator (facebookresearch/clevr-dataset-gen) where it gives them. Camera and lamps lie
in a Blender file; their places are those of Kubric's copy of it, and the strengths of the lamps were fitted to the
floor of eight published pictures (root mean square 0.009 of full brightness).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.generated.scenes3d.camera import Camera
from scenewise.data.generated.scenes3d.looks import Light, Look
from scenewise.data.generated.scenes3d.stage import MATTE, METAL, RUBBER, Body, about_z

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""RGB by name, the values of the public generator; it uses them as linear light, so they show brighter."""

SHAPES = ("cube", "sphere", "cylinder")
SIZES = {"large": 0.7, "small": 0.35}
"""Radius of spheres and cylinders by name, half the diagonal of a cube's face; world units."""
MATERIALS = {"rubber": RUBBER, "metal": METAL}

CAMERA = (7.48113, -6.50764, 5.34367)
FOCAL = 35 / 32  # widths of the full picture
_FULL = (240, 320)  # height and width of the full picture, in which IODINE's crop is rows 29:221 and columns 64:256
_CROP = (29, 64, 192)

_BACK = ((-1.1685, 2.64602, 5.81574), (2.67, 2.67, 2.55), 1.0)
_KEY = ((6.44671, -2.90517, 4.2584), (4.93, 4.53, 3.90), 0.5)
_FILL = ((-4.67112, -4.0136, 3.01122), (0.84, 0.94, 1.21), 0.5)


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    Attributes:
        shape: One of `SHAPES`, or the name of a mesh.
        size: A key of `SIZES`.
        material: A key of `MATERIALS`.
        colour: A key of `COLOURS`.
        place: Its centre, world units.
        rotation: About the vertical, radians.
    """

    shape: str
    size: str
    material: str
    colour: str
    place: tuple[float, float, float]
    rotation: float


def cropped_camera(place: Sequence[float] | np.ndarray, side: int) -> Camera:
    """Return the camera of IODINE's crop of 192 x 192 pixels, scaled to `side` pixels (arXiv 1903.00450)."""
    top, left, crop = _CROP
    scale = side / crop
    centre = ((_FULL[1] / 2 - left) * scale, (_FULL[0] / 2 - top) * scale)
    return Camera(_three(place), (0.0, 0.0, 0.0), FOCAL * _FULL[1] * scale, centre, (side, side))


def full_camera(place: Sequence[float] | np.ndarray, size: tuple[int, int]) -> Camera:
    """Return the camera of the whole picture, H x W pixels, with CLEVR's angle of view across its width."""
    return Camera(_three(place), (0.0, 0.0, 0.0), FOCAL * size[1], (size[1] / 2, size[0] / 2), size)


def lamps(jitter: np.ndarray, samples: tuple[int, int, int] = (2, 2, 1), scale: float = 1.0) -> Look:
    """Return CLEVR's lamps, moved.

    Args:
        jitter: By how much key, back and fill lamp are moved, shape (3, 3).
        samples: Of the shadows of each, along a side.
        scale: How large the world is, 1 for CLEVR's; the light on the floor stays.
    """
    lights = tuple(
        Light(_three(np.add(place, by) * scale), _three(np.multiply(strength, scale**2)), 2.0 * side * scale, count)
        for (place, strength, side), by, count in zip((_KEY, _BACK, _FILL), jitter, samples, strict=True)
    )
    return Look(
        lights,
        ambient=(0.1357, 0.1354, 0.1355),
        sky=(0.12, 0.12, 0.12),
        zenith=(0.07, 0.07, 0.07),
        rubber=1.35,
        metal=1.3,
        shine=(0.2, 6.0),
        polish=(10.0, 90.0),
        rounding=0.15,
    )


def floor() -> Body:
    """Return the floor; its colour is 1 because the lamps were fitted to what it throws back."""
    return Body("plane", (60.0, 60.0, 1.0), (1.0, 1.0, 1.0), MATTE, 0, background=True)


def height(shape: str, size: str) -> float:
    """Return the height of the centre above the floor."""
    return half(shape, size)


def half(shape: str, size: str) -> float:
    """Return half the side of a cube, the radius of others."""
    return SIZES[size] / (np.sqrt(2) if shape == "cube" else 1.0)


def body(thing: Thing, owner: int) -> Body:
    """Return the body of an object."""
    extent = half(thing.shape, thing.size)
    colour = _three(np.array(COLOURS[thing.colour]) / 255)
    surface = MATERIALS[thing.material]
    return Body(thing.shape, (extent,) * 3, colour, surface, owner, thing.place, about_z(thing.rotation))


def _three(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
