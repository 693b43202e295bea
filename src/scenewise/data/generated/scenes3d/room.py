"""The room of Objects Room: a square with four walls under the sky, objects near its middle, a camera on a ring."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np

from scenewise.data.generated.scenes3d.camera import Camera
from scenewise.data.generated.scenes3d.looks import Light, Look
from scenewise.data.generated.scenes3d.solids import Mesh, cone, icosahedron
from scenewise.data.generated.scenes3d.stage import MATTE, Body

SKY, FLOOR, WALL, OTHER_WALL = 0, 1, 2, 3
"""Ids of the background; facing walls share one, so that walls that meet in a corner differ."""
FIRST_OBJECT = 4

SHAPES = ("box", "sphere", "cylinder", "capsule", "cone", "icosahedron")
SIDE = 7.0  # of the room, as in the rooms of GQN
WALL_HEIGHT = 2.4
RING = 2.9  # radius of the camera's path
EYE = 1.1  # height of the camera
_VIEW = np.deg2rad(62.0)  # angle of view
_DISC = 1.75  # radius of the disc in which objects stand

Colour = tuple[float, float, float]


@lru_cache(maxsize=1)
def meshes() -> dict[str, Mesh]:
    """Return the shapes that are meshes."""
    return {"cone": cone(), "icosahedron": icosahedron()}


def vivid(rng: np.random.Generator) -> Colour:
    """Return a saturated colour of any hue, linear RGB."""
    hue, saturation, value = rng.random(), rng.uniform(0.55, 1.0), rng.uniform(0.55, 1.0)
    red, green, blue = (linear(channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def linear(srgb: float) -> float:
    """Return the linear value of a display value from 0 to 1."""
    return srgb / 12.92 if srgb <= 0.04045 else ((srgb + 0.055) / 1.055) ** 2.4


def backdrop(floor: Colour, wall: Colour) -> list[Body]:
    """Return floor and walls."""
    half, thick = SIDE / 2, 0.05
    bodies = [Body("box", (half, half, thick), floor, MATTE, FLOOR, (0.0, 0.0, -thick), background=True)]
    for sign in (-1.0, 1.0):
        along, across = (thick, half + 2 * thick, WALL_HEIGHT / 2), (half, thick, WALL_HEIGHT / 2)
        at = sign * (half + thick)
        bodies.append(Body("box", along, wall, MATTE, WALL, (at, 0.0, WALL_HEIGHT / 2), background=True))
        bodies.append(Body("box", across, wall, MATTE, OTHER_WALL, (0.0, at, WALL_HEIGHT / 2), background=True))
    return bodies


def extents(shape: str, size: float) -> tuple[float, float, float]:
    """Return the half extents of an object; it is about as wide as high."""
    if shape == "capsule":
        return (0.6 * size, 0.6 * size, 0.6 * size)
    if shape == "box":
        return (0.8 * size,) * 3
    return (size,) * 3


def rest(shape: str, size: float) -> float:
    """Return the height at which the centre of an object lies on the floor."""
    if shape == "capsule":
        return 1.2 * size
    if shape == "icosahedron":
        return float(size * 0.95)
    return extents(shape, size)[2]


def spots(rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Return places on the floor for objects that do not meet, shape (n, 2)."""
    while True:
        places = np.empty((len(sizes), 2))
        for row in range(len(sizes)):
            angle, radius = rng.uniform(0, 2 * np.pi, 40), _DISC * np.sqrt(rng.random(40))
            tries = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
            gaps = np.linalg.norm(tries[:, None] - places[:row], axis=2) - 1.25 * (sizes[:row] + sizes[row])
            good = np.flatnonzero((gaps > 0).all(1))
            if not len(good):
                break
            places[row] = tries[good[0]]
        else:
            return places


def path(rng: np.random.Generator, frames: int, size: int) -> list[Camera]:
    """Return the cameras of a sequence: on the ring, facing its middle, turning and nodding at constant speed."""
    azimuth, turn = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(-6, 6))
    nods = np.deg2rad(rng.uniform(-25, 22, 2))  # first and last vertical angle, both within the published range
    focal = size / 2 / np.tan(_VIEW / 2)
    cameras = []
    for time in range(frames):
        angle, nod = azimuth + turn * time, nods[0] + (nods[1] - nods[0]) * time / 15
        nod = float(np.clip(nod, np.deg2rad(-25), np.deg2rad(22)))
        place = (RING * np.cos(angle), RING * np.sin(angle), EYE)
        level = np.cos(nod)
        way = (-np.cos(angle) * level, -np.sin(angle) * level, np.sin(nod))
        target = tuple(float(a + b) for a, b in zip(place, way, strict=True))
        cameras.append(Camera(place, target, focal, (size / 2, size / 2), (size, size)))  # type: ignore[arg-type]
    return cameras


def lamps(rng: np.random.Generator) -> Look:
    """Return the light of a room: a sun overhead that casts shadow, and light from everywhere."""
    angle = rng.uniform(0, 2 * np.pi)
    sun = (6.0 * float(np.cos(angle)), 6.0 * float(np.sin(angle)), 14.0)
    return Look(
        (Light(sun, (0.62, 0.62, 0.62), side=1.2, samples=2, steady=True),),
        ambient=(0.42, 0.42, 0.42),
        sky=(linear(0.45), linear(0.65), linear(0.85)),
        zenith=(linear(0.1), linear(0.15), linear(0.2)),
        rounding=0.0,
        occlusion=0.6,
    )
