"""Drawing of squares, ellipses and hearts like those of dSprites, many images at once.

At scale 1 all three shapes cover as much as a square of 17 pixels in an image of 64. Sizes, the ellipse's axes and the
heart (a square with two round-capped lobes on neighbouring sides) are fitted to real frames of textured multi-dSprites
videos (arXiv 2006.07034); the public dSprites files were not at hand. A sprite turns about its centre of mass.

Lengths below are in units of a sprite's size (the side of the square of equal area), before that in pixels. Edges are
softened by the distance of a pixel's centre to the outline; ids go by the centre alone. All arithmetic goes pixel by
pixel, so an image is the same bytes in any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    _Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
    _Fields = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

SHAPES = ("square", "ellipse", "heart")
"""Names of the shapes; their numbers are the places in this tuple."""

SIDE = 17 / 64
"""Side of a square of scale 1 as a share of the image's side."""

_ELLIPSE = (math.sqrt(1.7 / math.pi), math.sqrt(1 / 1.7 / math.pi))  # half axes: area 1, 1.7 times as wide as high
_LOBE = 0.35  # how far the caps of a heart lie outside its square, in half sides
_HEART = 1 / math.sqrt(4 + 4 * _LOBE + math.pi)  # half side of the heart's square: area 1
_CAP = math.pi / 2 * (1 + _LOBE + 4 / (3 * math.pi))  # moment of one cap, in half sides
_HEART_CENTRE = (2 * _LOBE * (1 + _LOBE / 2) + _CAP) / (4 + 4 * _LOBE + math.pi)

REACH = _ELLIPSE[0] * 1.02
"""Largest distance of an outline from its centre; the heart's and the square's are hardly smaller."""

_AT_ONCE = 64  # images drawn together; keeps what is worked on in the processor's cache


@dataclass(frozen=True)
class Sprites:
    """Sprites of N images, n at most in each, back to front.

    Attributes:
        shapes: Places in `SHAPES`, shape (N, n); -1 where there is none.
        centres: Column and row of the centres of mass in pixels, shape (N, n, 2); pixel k spans [k, k + 1].
        sizes: Sides of squares of equal area in pixels, shape (N, n).
        angles: Radians, counter-clockwise, shape (N, n); at 0 hearts stand upright and ellipses lie.
        colours: RGB, uint8, shape (N, n, 3).
        backgrounds: RGB, uint8, shape (N, 3).
    """

    shapes: np.ndarray
    centres: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    colours: np.ndarray
    backgrounds: np.ndarray


@dataclass(frozen=True)
class _SpritePixels:
    """Pixels that sprites touch.

    Attributes:
        images: Which image, shape (K,).
        pixels: Row * width + column, shape (K,).
        shares: How much of the pixel is covered, float32, shape (K,).
        inside: Whether the pixel's centre is covered, shape (K,).
    """

    images: np.ndarray
    pixels: np.ndarray
    shares: np.ndarray
    inside: np.ndarray


def draw(
    sprites: Sprites, size: int, channels: int = 3, soft: bool = True, masks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw sprites, later ones in front.

    Args:
        sprites: What to draw.
        size: Height and width in pixels.
        channels: 3, or 1 for the first channel of the colours alone.
        soft: Soften the edges.
        masks: Where to lay the whole masks of all sprites, hidden parts included, in place: bool, all false, shape
            (N, n, size, size).

    Returns:
        Frames, uint8, shape (N, channels, size, size), and ids, uint8, shape (N, size, size): 0 background, place of
        the sprite + 1.
    """
    number, most = sprites.shapes.shape
    frames = np.empty((number, channels, size * size), np.uint8)
    ids = np.zeros((number, size * size), np.uint8)
    whole = None if masks is None else masks.reshape(number, most, size * size)
    for first in range(0, number, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, number))
        planes = np.empty((channels, part.stop - first, size * size), np.float32)
        planes[:] = sprites.backgrounds[part].T[:channels, :, None]
        for at in range(most):
            touched = _touch(sprites, part, at, size)
            _paint(planes, touched, sprites.colours[part, at], soft)
            images, pixels = touched.images[touched.inside], touched.pixels[touched.inside]
            ids[part][images, pixels] = at + 1
            if whole is not None:
                whole[part][images, at, pixels] = True
        frames[part] = np.rint(planes, out=planes).transpose(1, 0, 2)
    return frames.reshape(number, channels, size, size), ids.reshape(number, size, size)


def seen(ids: np.ndarray, most: int) -> np.ndarray:
    """Return how many pixels of every sprite are seen, shape (N, n), in ids of shape (N, H, W)."""
    offsets = np.arange(len(ids))[:, None] * (most + 1)
    flat = (ids.reshape(len(ids), math.prod(ids.shape[1:])) + offsets).ravel()
    return np.bincount(flat, minlength=len(ids) * (most + 1)).reshape(-1, most + 1)[:, 1:]


def _paint(planes: np.ndarray, touched: _SpritePixels, colours: np.ndarray, soft: bool) -> None:
    """Lay colours (N, 3) over pixels of planes (C, N, H * W), in place."""
    rows = slice(None) if soft else touched.inside
    images, pixels = touched.images[rows], touched.pixels[rows]
    for plane, colour in zip(planes, colours.T.astype(np.float32), strict=False):
        new = colour[images]
        if soft:
            old = plane[images, pixels]
            new = old + (new - old) * touched.shares
        plane[images, pixels] = new


def _touch(sprites: Sprites, part: slice, at: int, size: int) -> _SpritePixels:
    """Return the pixels that sprite `at` of some images touches; images are counted from the part's first."""
    shapes, centres = sprites.shapes[part, at], sprites.centres[part, at]
    sizes, turns = sprites.sizes[part, at], sprites.angles[part, at]
    runs = []
    for number, distance in enumerate((_square, _ellipse, _heart)):
        images = np.flatnonzero(shapes == number)
        if len(images):
            which, *rest = _outline(centres[images], sizes[images], turns[images], size, distance)
            runs.append((images[which], *rest))
    if not runs:
        nothing = np.zeros(0, np.intp)
        return _SpritePixels(nothing, nothing, np.zeros(0, np.float32), np.zeros(0, bool))
    return _SpritePixels(*(np.concatenate(parts) for parts in zip(*runs, strict=True)))


def _outline(centres: np.ndarray, sizes: np.ndarray, turns: np.ndarray, size: int, distance: _Distance) -> _Fields:
    """Return the fields of `_SpritePixels` for M sprites of one shape; images are the places of the sprites.

    Args:
        centres: Column and row in pixels, shape (M, 2).
        sizes: Pixels, shape (M,).
        turns: Radians, shape (M,).
        size: Height and width of the image in pixels.
        distance: Signed distance to the outline of a sprite of size 1.
    """
    side = math.ceil(2 * REACH * float(sizes.max()) + 2)
    corners = np.floor(centres - side / 2 + 0.5).astype(np.intp)  # (M, 2) of patches that hold the sprites
    # Whole pixels first: where a patch begins must not change how its numbers are rounded.
    away = (corners[..., None] + np.arange(side) + 0.5 - centres[..., None]) / sizes[:, None, None]  # (M, 2, side)
    across, up = away[:, 0, None, :].astype(np.float32), -away[:, 1, :, None].astype(np.float32)
    cosine, sine = (f(turns).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    far = distance(cosine * across + sine * up, cosine * up - sine * across)
    far *= sizes.astype(np.float32)[:, None, None]
    which, rows, columns = np.nonzero(far < 0.5)
    far = far[which, rows, columns]
    rows, columns = rows + corners[which, 1], columns + corners[which, 0]
    if corners.min() < 0 or corners.max() + side > size:
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
        which, rows, columns, far = which[inside], rows[inside], columns[inside], far[inside]
    return which, rows * size + columns, np.minimum(0.5 - far, np.float32(1)), far < 0


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return signed distances to a square's outline, negative inside, for x to the right and y up."""
    return np.asarray(np.maximum(np.abs(x), np.abs(y)) - np.float32(0.5))


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return signed distances to an ellipse's outline, right to first order near it; see `_square`."""
    a, b = (np.float32(axis) for axis in _ELLIPSE)
    p, q = x / a, y / b
    radius = np.sqrt(p * p + q * q)
    p, q = p / a, q / b
    slope = np.sqrt(p * p + q * q)
    return np.asarray(radius * (radius - 1) / np.maximum(slope, np.float32(1e-6)))


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return signed distances to a heart's outline; see `_square`."""
    half, centre = np.float32(_HEART), np.float32(_HEART * _HEART_CENTRE)
    diagonal = np.float32(math.sqrt(0.5))
    x, y = x * diagonal, y * diagonal
    p, q = centre + (y + np.abs(x)), centre + (y - np.abs(x))  # along the nearer lobe and across it
    p -= half * np.float32(1 + _LOBE)  # from where the lobe's cap begins
    cap = np.sqrt(p * p + q * q)
    bar = np.maximum(np.abs(q), -p - half * np.float32(1 + _LOBE))
    return np.asarray(np.where(p > 0, cap, bar) - half)
