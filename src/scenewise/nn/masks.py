"""Masks of objects: grown, without strays, with what lies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

SQUARE = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Eight neighbours in the same image of a batch."""

_STRAY = 0.25  # of the area of an object's largest piece, below which another piece is none of it


def neighbours(height: int, width: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Yield, for each of four directions, where pixels are that have a neighbour there, and where these neighbours are.

    The other four directions are those from the neighbours back. Both are indices of arrays (..., H, W).
    """
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left = max(-right, 0)
        columns = slice(left, width - max(right, 0))
        yield (..., slice(height - down), columns), (..., slice(down, None), slice(left + right, columns.stop + right))


def consecutive(labels: np.ndarray) -> np.ndarray:
    """Return the numbers of parts, 0 for none, in their order and without gaps; many times as quick as a sort."""
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    return present.cumsum()[labels]  # type: ignore[no-any-return]


def grown(masks: np.ndarray, steps: int = 1) -> np.ndarray:
    """Return masks (..., H, W) with the four neighbours of their pixels, and theirs, for so many steps.

    By shifts of whole images, several times as quick for small ones as a morphology that takes any shape.
    """
    for _ in range(steps):
        larger = masks.copy()
        larger[..., 1:, :] |= masks[..., :-1, :]
        larger[..., :-1, :] |= masks[..., 1:, :]
        larger[..., 1:] |= masks[..., :-1]
        larger[..., :-1] |= masks[..., 1:]
        masks = larger
    return masks


def disjoint(masks: Tensor) -> Tensor:
    """Return masks, bool, shape (B, K, H, W), in which a pixel of several is that of the first alone."""
    return masks & (masks.cumsum(1) == 1)


def without_strays(owner: Tensor) -> Tensor:
    """Return owners in which small pieces of an object, beside its largest one, are the background's.

    Args:
        owner: Slot of each pixel, 0 the background, int64, shape (B, H, W).
    """
    owners = owner.cpu().numpy().copy()
    for one in owners:
        for slot, box in enumerate(ndimage.find_objects(one), 1):
            if box is not None:
                pieces, count = ndimage.label(one[box] == slot, SQUARE[1])
                areas = np.bincount(pieces.ravel())[1:]
                if count > 1:
                    strays = 1 + np.flatnonzero(areas < _STRAY * areas.max())
                    one[box][np.isin(pieces, strays)] = 0
    return torch.from_numpy(owners).to(owner.device)


def adopted(owner: Tensor, clear: Tensor, reach: float) -> Tensor:
    """Return owners in which pixels that are clearly no background go to the object nearest to them.

    Args:
        owner: Slot of each pixel, 0 the background, int64, shape (B, H, W).
        clear: Which pixels are clearly no background, bool, shape (B, H, W).
        reach: Pixels up to which an object is near.
    """
    owners, holes = owner.cpu().numpy().copy(), (clear & (owner == 0)).cpu().numpy()
    for one, hole in zip(owners, holes, strict=True):
        if one.any() and hole.any():
            distance, nearest = ndimage.distance_transform_edt(one == 0, return_indices=True)
            near = hole & (distance <= reach)
            one[near] = one[tuple(index[near] for index in nearest)]
    return torch.from_numpy(owners).to(owner.device)


def main_pieces(masks: Tensor) -> Tensor:
    """Return of each mask its largest piece; pieces with a gap of two pixels at most are one.

    Args:
        masks: bool, shape (B, K, H, W).
    """
    values = masks.flatten(0, 1).cpu().numpy()
    labels, count = ndimage.label(grown(values), SQUARE)
    if not count:
        return masks
    areas = np.bincount(labels[values], minlength=count + 1)
    frames = np.array([box[0].start for box in ndimage.find_objects(labels)])
    largest = np.zeros(count + 1, bool)
    for frame in np.unique(frames):
        numbers = 1 + np.flatnonzero(frames == frame)
        largest[numbers[areas[numbers].argmax()]] = True
    return torch.from_numpy(values & largest[labels]).to(masks.device).unflatten(0, masks.shape[:2])
