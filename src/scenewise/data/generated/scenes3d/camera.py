"""A pinhole camera: where it stands, the rays through its pixels, and where points of the world fall in its picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (-0.375, 0.125), (0.125, 0.375))
"""(right, down) of the four rays of a smoothed pixel from its centre: a rotated grid, best for level edges."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A camera that looks at a point and is held level.

    Attributes:
        place: Where it stands, world units.
        target: The point on its optical axis.
        focal: Focal length in pixels.
        centre: Column and row where the axis meets the picture, pixels; (0, 0) is the upper left corner.
        size: (H, W) of the picture.
    """

    place: Triple
    target: Triple
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    @cached_property
    def axes(self) -> np.ndarray:
        """Right, down and forward as unit vectors of the world, shape (3, 3)."""
        forward = np.subtract(self.target, self.place).astype(float)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def rays(self) -> np.ndarray:
        """Return directions through all pixel centres, one unit deep, shape (H * W, 3)."""
        return np.asarray(_grid(self.focal, self.centre, self.size) @ self.axes)

    def finer_rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return the four rays of each smoothed pixel.

        Args:
            pixels: Flat indices of pixels, shape (M,).

        Returns:
            Directions, shape (M * 4, 3).
        """
        inside = _grid(self.focal, self.centre, self.size)[pixels, None] + _offsets(self.focal)
        return np.asarray(inside.reshape(-1, 3) @ self.axes)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return column, row (pixels) and depth (world units) of points of shape (N, 3)."""
        local = (np.asarray(points, float) - self.place) @ self.axes.T
        depth = local[:, 2:]
        return np.concatenate([local[:, :2] / depth * self.focal + self.centre, depth], 1)

    def shows(self, points: np.ndarray) -> np.ndarray:
        """Return whether points of shape (N, 3) fall into the picture, shape (N,)."""
        column, row, depth = self.project(points).T
        height, width = self.size
        return np.asarray((depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height))


@lru_cache(maxsize=16)
def _grid(focal: float, centre: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Return right, down and 1 of every pixel centre, shape (H * W, 3)."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    right, down = (columns - centre[0]) / focal, (rows - centre[1]) / focal
    return np.stack([right, down, np.ones(size)], -1).reshape(-1, 3)


@lru_cache(maxsize=16)
def _offsets(focal: float) -> np.ndarray:
    return np.array([(right, down, 0.0) for right, down in SUBPIXELS]) / focal
