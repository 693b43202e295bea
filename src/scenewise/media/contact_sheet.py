"""Many small pictures side by side in one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP, _SCALE = 2, 2


def contact_sheet(rows: Sequence[Sequence[np.ndarray | None]]) -> np.ndarray:
    """Return pictures in rows and columns on white, each pixel drawn as 2 x 2; uint8, shape (height, width, 3).

    Args:
        rows: Pictures of one size, floats in [0, 1], shape (H, W, C): three channels, or the first as grey; None leaves
            the place white.

    Examples:
        >>> black, white = np.zeros((8, 8, 3)), np.ones((8, 8, 3))
        >>> contact_sheet([[black, white], [white, None], [black, black]]).shape  # 2 * 3 * (8 + 2), 2 * 2 * (8 + 2)
        (60, 40, 3)
    """
    height, width = next(image.shape[:2] for row in rows for image in row if image is not None)
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + _GAP), columns * (width + _GAP), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            if image is not None:
                sheet[y * (height + _GAP) :, x * (width + _GAP) :][:height, :width] = tile(image)
    return np.kron(sheet, np.ones((_SCALE, _SCALE, 1), np.uint8))


def tile(image: np.ndarray) -> np.ndarray:
    """Turn floats in [0, 1] of shape (H, W, C) into uint8 of shape (H, W, 3).

    Examples:
        >>> tile(np.array([[[0.0], [0.2], [1.5]]])).tolist()
        [[[0, 0, 0], [51, 51, 51], [255, 255, 255]]]
    """
    rgb = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, -1)
    return np.rint(rgb.clip(0, 1) * 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """Encode a picture of uint8, shape (H, W, 3)."""
    from PIL import Image

    with io.BytesIO() as buffer:
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()
