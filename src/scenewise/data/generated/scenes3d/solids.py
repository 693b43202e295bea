"""Plain solids that MuJoCo has no geom for, as vertices and faces."""

from __future__ import annotations

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]


def icosahedron() -> Mesh:
    """Return the solid of twenty triangles with vertices on the unit sphere."""
    golden = (1 + 5**0.5) / 2
    corners = [(0, a, b) for a in (-1, 1) for b in (-golden, golden)]
    vertices = np.array([np.roll(corner, turn) for turn in range(3) for corner in corners], float)
    return hull(vertices / np.linalg.norm(vertices[0]))


def cone(sides: int = 24) -> Mesh:
    """Return a cone of radius 1 from height -1 to 1."""
    angles = np.arange(sides) * 2 * np.pi / sides
    rim = np.stack([np.cos(angles), np.sin(angles), np.full(sides, -1.0)], 1)
    return hull(np.concatenate([rim, [(0.0, 0.0, 1.0)]]))


def hull(points: np.ndarray) -> Mesh:
    """Return the convex hull of points of shape (N, 3), faces turned outwards."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = (normals * hull.equations[:, :3]).sum(1) < 0
    faces[inwards] = faces[inwards, ::-1]
    return points, faces
