"""Shapes that are no primitives, as triangle meshes made by formula: dolphin, duck, horse, mug, teapot, torus.

Each is drawn from round limbs: balls and tapered tubes along a line of points. They overlap and are not welded, which
rays do not mind. Every mesh stands on the floor at height -1 and is about 2 high or long.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scenewise.data.generated.scenes3d.solids import Mesh

Point = tuple[float, float, float]


@lru_cache(maxsize=1)
def animals() -> dict[str, Mesh]:
    """Return all meshes by name."""
    meshes = {"dolphin": _dolphin(), "duck": _duck(), "horse": _horse(), "mug": _mug(), "teapot": _teapot()}
    return {name: _standing(mesh) for name, mesh in {**meshes, "torus": _torus()}.items()}


def limb(points: list[Point], radii: list[float], flat: float = 1.0, sides: int = 9) -> Mesh:
    """Return a tube with round ends.

    Args:
        points: Along its middle, smoothed between.
        radii: At the points.
        flat: Width along y over width across; 1 is round.
        sides: Of the tube.
    """
    middle, width = _smoothed(np.array(points, float)), _smoothed(np.array(radii, float)[:, None])[:, 0]
    along = np.gradient(middle, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, (0.0, 1.0, 0.0))
    weak = np.linalg.norm(side, axis=1) < 0.2  # the tube runs along y
    side[weak] = np.cross(along[weak], (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(along, side)
    angles = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(angles)[:, None] * side[:, None] + flat * np.sin(angles)[:, None] * other[:, None]
    rings = middle[:, None] + width[:, None, None] * ring
    caps = [_cap(middle[0], -along[0], rings[0], width[0]), _cap(middle[-1], along[-1], rings[-1], width[-1])]
    rings = np.concatenate([caps[0][::-1], rings, caps[1]])
    return _skin(rings)


def ball(centre: Point, radii: Point) -> Mesh:
    """Return an ellipsoid."""
    up = np.linspace(-np.pi / 2, np.pi / 2, 9)
    angles = np.arange(12) * 2 * np.pi / 12
    across = np.stack([np.cos(angles), np.sin(angles)], 1)
    flat = np.cos(up)[:, None, None] * across
    high = np.broadcast_to(np.sin(up)[:, None, None], (*flat.shape[:2], 1))
    return _skin(np.concatenate([flat, high], 2) * radii + centre)


def joined(*parts: Mesh) -> Mesh:
    """Return several meshes as one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return a smooth curve through values, three steps between two."""
    if len(values) < 3:
        return np.linspace(values[0], values[-1], 3)
    from scipy.interpolate import PchipInterpolator

    steps = np.arange(len(values))
    return np.asarray(PchipInterpolator(steps, values)(np.linspace(0, len(values) - 1, 3 * len(values) - 2)))


def _cap(centre: np.ndarray, outwards: np.ndarray, ring: np.ndarray, width: float) -> np.ndarray:
    """Return the rings of a round end, from wide to a point, shape (3, sides, 3)."""
    angles = np.array([0.6, 1.15, 1.5])[:, None, None]
    return np.asarray(centre + (ring - centre) * np.cos(angles) + 0.8 * width * outwards * np.sin(angles))


def _skin(rings: np.ndarray) -> Mesh:
    """Return the surface through rings of equally many points, shape (R, S, 3), closed at both ends."""
    count, sides = rings.shape[:2]
    at = np.arange(count * sides).reshape(count, sides)
    lower, upper = at[:-1], at[1:]
    beside, across = np.roll(lower, -1, 1), np.roll(upper, -1, 1)
    quads = np.concatenate([np.stack([lower, beside, upper], -1), np.stack([beside, across, upper], -1)])
    fan = np.arange(1, sides - 1)
    first = np.stack([at[0][0] + 0 * fan, at[0][fan + 1], at[0][fan]], -1)
    last = np.stack([at[-1][0] + 0 * fan, at[-1][fan], at[-1][fan + 1]], -1)
    faces = np.concatenate([quads.reshape(-1, 3), first, last])
    vertices = rings.reshape(-1, 3)
    return vertices, faces if _volume(vertices, faces) > 0 else faces[:, ::-1]


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Return six times the volume within a surface, negative where its faces are turned inwards."""
    centred = vertices - vertices.mean(0)
    a, b, c = (centred[faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum())


def _turned_profile(profile: list[tuple[float, float]], sides: int = 20) -> Mesh:
    """Return the solid that a profile of (radius, height) sweeps about the vertical."""
    angles = np.arange(sides) * 2 * np.pi / sides
    radii, heights = np.array(profile, float).T
    flat = radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    high = np.broadcast_to(heights[:, None, None], (*flat.shape[:2], 1))
    return _skin(np.concatenate([flat, high], 2))


def _standing(mesh: Mesh) -> Mesh:
    """Return a mesh in the middle of its box, with its largest extent scaled to 2 and its feet at -1."""
    vertices, faces = mesh
    low, high = vertices.min(0), vertices.max(0)
    scaled = (vertices - (low + high) / 2) * (2 / (high - low).max())
    scaled[:, 2] -= scaled[:, 2].min() + 1
    return scaled, faces.astype(np.int32)


def _torus() -> Mesh:
    """Return a ring that stands upright."""
    around = np.arange(28) * 2 * np.pi / 28
    across = np.arange(12) * 2 * np.pi / 12
    radii = 1 + 0.38 * np.cos(across)
    rings = np.stack(
        [
            np.cos(around)[:, None] * radii,
            np.broadcast_to(0.38 * np.sin(across), (28, 12)),
            np.sin(around)[:, None] * radii,
        ],
        -1,
    )
    at = np.arange(28 * 12).reshape(28, 12)
    after, beside = np.roll(at, -1, 0), np.roll(at, -1, 1)
    across_both = np.roll(after, -1, 1)
    faces = np.concatenate([np.stack([at, beside, after], -1), np.stack([beside, across_both, after], -1)])
    vertices, faces = rings.reshape(-1, 3), faces.reshape(-1, 3)
    return vertices, faces if _volume(vertices, faces) > 0 else faces[:, ::-1]


def _mug() -> Mesh:
    """Return a cup with a hollow and a handle."""
    cup = _turned_profile([(0.0, 0.0), (0.6, 0.0), (0.66, 0.05), (0.66, 1.4), (0.58, 1.4), (0.56, 0.2), (0.0, 0.15)])
    handle = limb([(0.6, 0, 1.15), (0.98, 0, 1.1), (1.08, 0, 0.7), (0.98, 0, 0.35), (0.6, 0, 0.28)], [0.1] * 5)
    return joined(cup, handle)


def _teapot() -> Mesh:
    """Return a pot with spout, handle and lid."""
    profile = [(0.0, 0.0), (0.55, 0.02), (0.85, 0.3), (0.9, 0.55), (0.75, 0.9), (0.5, 1.08), (0.3, 1.16), (0.0, 1.2)]
    spout = limb([(0.75, 0, 0.45), (1.1, 0, 0.55), (1.25, 0, 0.85), (1.5, 0, 1.05)], [0.2, 0.16, 0.11, 0.09])
    handle = limb([(-0.7, 0, 0.9), (-1.15, 0, 0.95), (-1.3, 0, 0.65), (-1.1, 0, 0.4), (-0.8, 0, 0.3)], [0.08] * 5)
    return joined(_turned_profile(profile), spout, handle, ball((0, 0, 1.25), (0.13, 0.13, 0.13)))


def _dolphin() -> Mesh:
    """Return a dolphin in its leap, nose towards +x."""
    body = limb(
        [
            (1.5, 0, 0.45),
            (1.2, 0, 0.62),
            (0.75, 0, 0.85),
            (0.1, 0, 0.95),
            (-0.6, 0, 0.72),
            (-1.2, 0, 0.2),
            (-1.5, 0, -0.2),
        ],
        [0.06, 0.14, 0.42, 0.5, 0.39, 0.19, 0.1],
        0.85,
    )
    fin = limb([(0.05, 0, 1.25), (-0.15, 0, 1.6), (-0.42, 0, 1.8)], [0.27, 0.17, 0.04], 0.25)
    flukes = [
        limb([(-1.42, 0, -0.15), (-1.65, s * 0.3, -0.3), (-1.8, s * 0.62, -0.35)], [0.14, 0.15, 0.04]) for s in (1, -1)
    ]
    arms = [
        limb([(0.6, s * 0.25, 0.65), (0.4, s * 0.5, 0.35), (0.2, s * 0.65, 0.12)], [0.17, 0.14, 0.04]) for s in (1, -1)
    ]
    return joined(body, fin, *flukes, *arms)


def _duck() -> Mesh:
    """Return a bath duck, beak towards +x."""
    body = ball((0, 0, 0.5), (0.85, 0.6, 0.5))
    tail = limb([(-0.55, 0, 0.65), (-0.85, 0, 0.85), (-1.0, 0, 1.08)], [0.3, 0.18, 0.04])
    neck = limb([(0.4, 0, 0.7), (0.45, 0, 1.15)], [0.34, 0.3])
    beak = limb([(0.8, 0, 1.27), (1.15, 0, 1.2)], [0.16, 0.1], 1.3)
    wings = [ball((-0.1, s * 0.55, 0.6), (0.45, 0.13, 0.26)) for s in (1, -1)]
    return joined(body, tail, neck, ball((0.5, 0, 1.35), (0.42, 0.38, 0.4)), beak, *wings)


def _horse() -> Mesh:
    """Return a horse that stands, head towards +x."""
    body = limb([(-0.75, 0, 1.35), (-0.3, 0, 1.32), (0.3, 0, 1.32), (0.65, 0, 1.42)], [0.37, 0.4, 0.4, 0.38])
    neck = limb([(0.7, 0, 1.5), (0.95, 0, 1.9), (1.1, 0, 2.2)], [0.32, 0.24, 0.18], 0.7)
    head = limb([(1.05, 0, 2.28), (1.3, 0, 2.12), (1.55, 0, 1.88)], [0.2, 0.18, 0.11])
    ears = [limb([(1.02, s * 0.09, 2.38), (1.0, s * 0.1, 2.58)], [0.06, 0.02]) for s in (1, -1)]
    tail = limb([(-0.95, 0, 1.5), (-1.2, 0, 1.25), (-1.25, 0, 0.7)], [0.11, 0.15, 0.06])
    legs = [
        limb([(x, s * 0.18, 1.2), (x + bend, s * 0.18, 0.6), (x, s * 0.18, 0.06)], [0.21, 0.12, 0.1])
        for x, bend in ((0.6, 0.05), (-0.75, -0.08))
        for s in (1, -1)
    ]
    return joined(body, neck, head, *ears, tail, *legs)
