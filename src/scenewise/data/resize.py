"""Frames and ids at another size: frames antialiased, ids by nearest pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scenewise.media.reader import Selection


def fit_images(images: np.ndarray, selection: Selection, scaling: str = "bilinear") -> np.ndarray:
    """Crop and scale frames.

    Args:
        images: uint8, shape (T, H, W, C).
        selection: Crop and size.
        scaling: "bilinear", "area" or "bicubic", all antialiased.

    Returns:
        uint8, shape (T, H', W', C).
    """
    if selection.crop is not None:
        top, left, height, width = selection.crop
        images = images[:, top : top + height, left : left + width]
    if selection.size in (None, images.shape[1:3]):
        return images
    from PIL import Image

    kind = {"bilinear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}
    height, width = selection.size or (0, 0)
    scaled = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for frame, image in enumerate(images):
        whole = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[2] == 1 else image))
        scaled[frame] = np.asarray(whole.resize((width, height), kind[scaling])).reshape(scaled.shape[1:])
    return scaled


def fit_ids(ids: np.ndarray, selection: Selection) -> np.ndarray:
    """Crop, and scale by nearest pixel; no id comes into being.

    Args:
        ids: Integers, shape (..., H, W).
        selection: Crop and size.

    Returns:
        int64, shape (..., H', W').
    """
    if selection.crop is not None:
        top, left, height, width = selection.crop
        ids = ids[..., top : top + height, left : left + width]
    if selection.size is not None:
        ids = nearest_pixels(ids, selection.size)
    return np.ascontiguousarray(ids, np.int64)


def nearest_pixels(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale by nearest pixel: each pixel of the result has the id at its middle, so no id comes into being.

    Args:
        ids: Shape (..., H, W).
        size: H', W'.

    Returns:
        The same type, shape (..., H', W').
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, ids.shape[-2:], strict=True)
    )
    return np.asarray(ids[..., rows[:, None], columns])
