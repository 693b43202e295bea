"""From the model's own size to the size of the results: what it found, drawn at any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from scenewise.decompose.frame_result import as_picture
from scenewise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.decomposition import Decomposition

SMALLEST_SIDE, LARGEST_SIDE = 8, 2048
"""Pixels that a side of the results may have."""


def checked_size(size: int | tuple[int, ...] | None, option: str = "size") -> tuple[int, int] | None:
    """Return (H, W) in pixels, or None where the model's own size is wanted.

    Args:
        size: (H, W), or one number for a square.
        option: Its name, for messages.

    Raises:
        InputError: It is not one or two whole numbers in [8, 2048].

    Examples:
        >>> checked_size(128), checked_size((96, 128)), checked_size(None)
        ((128, 128), (96, 128), None)
        >>> checked_size(4)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: size: height and width must be whole numbers in [8, 2048]; found 4. ...
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list, torch.Size)) else (size, size)
    whole = all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in sides)
    if len(sides) != 2 or not whole or not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        problem = f"height and width must be whole numbers in [{SMALLEST_SIDE}, {LARGEST_SIDE}]; found {size}."
        raise InputError(option, problem, "Leave it out for the model's own size.")
    return int(sides[0]), int(sides[1])


@dataclass(frozen=True)
class Drawing:
    """What a model found in one frame, as plain arrays of one size.

    Attributes:
        masks: Float32 in [0, 1], sums to 1 over K, shape (K, H, W).
        labels: The slot that owns each pixel, uint8, or uint16 beyond 256 slots, shape (H, W).
        appearance: uint8, shape (K, H, W, 3).
        reconstruction: Sum over slots of mask times appearance, float32, shape (H, W, C).
    """

    masks: np.ndarray
    labels: np.ndarray
    appearance: np.ndarray
    reconstruction: np.ndarray


def draw(part: Decomposition, size: tuple[int, int]) -> Drawing:
    """Return the first frame of the first video at any size (H, W); at the model's own it is what the model says."""
    kind = np.uint8 if part.slots <= 256 else np.uint16
    masks, appearance = part.masks[0, 0, :, 0], part.appearance[0, 0]  # (K, H, W), (K, C, H, W)
    if size == tuple(masks.shape[1:]):
        labels, whole = part.labels[0, 0], part.reconstruction[0, 0]
        pictures = as_picture(appearance.permute(0, 2, 3, 1).cpu().numpy())
    else:
        masks = scaled_masks(masks, size)
        labels = masks.argmax(0)
        whole, pictures = _scaled_appearance(appearance, masks, size)
    reconstruction = whole.permute(1, 2, 0).cpu().numpy()
    return Drawing(masks.cpu().numpy(), labels.cpu().numpy().astype(kind), pictures, reconstruction)


def scaled(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale planes (..., h, w) to (..., H, W) bilinearly, over all pixels that fall together where it shrinks.

    Examples:
        >>> scaled(torch.tensor([[0.0, 1.0]]), (1, 4)).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    height, width = planes.shape[-2:]
    if (height, width) == size:
        return planes
    shrinks = size[0] < height or size[1] < width
    flat = planes.reshape(1, -1, height, width)
    found = interpolate(flat, size, mode="bilinear", align_corners=False, antialias=shrinks)
    return found.reshape(*planes.shape[:-2], *size)


def scaled_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale probabilities (K, h, w) to (K, H, W); they still sum to 1 over K.

    Examples:
        >>> masks = scaled_masks(torch.eye(2)[:, None], (1, 4))  # two slots, one pixel each
        >>> masks.squeeze(1).tolist()
        [[1.0, 0.75, 0.25, 0.0], [0.0, 0.25, 0.75, 1.0]]
    """
    found = scaled(masks, size).clamp(0, 1)
    return found / found.sum(0, keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)


def _scaled_appearance(appearance: Tensor, masks: Tensor, size: tuple[int, int]) -> tuple[Tensor, np.ndarray]:
    """Return the reconstruction (C, H, W) and pictures (K, H, W, 3): slot by slot, as all at once may not fit."""
    channels = appearance.shape[1]
    whole = torch.zeros(channels, *size, dtype=appearance.dtype, device=appearance.device)
    pictures = np.empty((len(appearance), *size, 3), np.uint8)
    for k, image in enumerate(appearance):
        large = scaled(image, size)  # (C, H, W)
        whole += masks[k] * large
        pictures[k] = as_picture(large.permute(1, 2, 0).cpu().numpy())
    return whole, pictures
