"""Parts of objects that touch, told apart by their colours: each has a core in which its hue is even."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scenewise.nn.masks import SQUARE, consecutive, neighbours

_DARK = 0.05  # of [0, 1], added to the brightness that hues are measured by: black has none
_ALIKE = 0.15  # hues of two cores near each other that are of one object differ by less
_FLAT = 1 / 3  # of the step of colours, by which the colours of such cores differ at most where brightness counts
_LEAST_CORE = 4  # pixels
_NEAR = 0.5  # sides of the smaller that lie between two cores of one object at most
_EDGE = 2  # pixels from a core to where its hue ends
_CROSS = np.array([np.zeros((3, 3)), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3))])


def hues(images: np.ndarray) -> np.ndarray:
    """Return the colours of images (B, C, H, W) in [0, 1] with brightness left out, the same shape, about 1."""
    return images / (images.mean(1, keepdims=True) + _DARK)  # type: ignore[no-any-return]


def of_like_hues(masks: np.ndarray, images: np.ndarray, step: float, colours: float = 0.0) -> np.ndarray:
    """Return the number of each pixel's part in its frame, 0 for none: connected, and of one hue.

    Pixels at an edge mix the colours of both sides, so that neighbours lead from any object to the next. Therefore an
    object is known by its core, pixels whose hue is that of their neighbours; the rest of a connected part goes to the
    nearest core, and cores near each other of about one hue are one object's. Light and shade on an object, and the
    faces of a cube, differ in brightness alone.

    Args:
        masks: Which pixels are of parts at all, bool, shape (B, H, W).
        images: Shape (B, C, H, W), in [0, 1].
        step: Difference of hue, of the channel that differs most, at which no core goes on.
        colours: The same of colours, where objects are flat, without light and shade; 0 where brightness says nothing.

    Returns:
        int, shape (B, H, W), numbered from 1 in every frame.
    """
    shades = hues(images)
    parts, count = ndimage.label(masks, SQUARE)
    even = masks & (_largest_step(shades, masks) < step)
    if colours:
        even &= _largest_step(images, masks) < colours
        shades = np.concatenate([shades, images * (_ALIKE / (_FLAT * colours))], 1)  # so that one limit is for both
    cores, _ = ndimage.label(even, _CROSS)
    areas = np.bincount(cores.ravel())
    cores[areas[cores] < _LEAST_CORE] = 0
    means = _means(cores, shades)
    labels = parts.copy()
    for part, box in enumerate(ndimage.find_objects(parts), 1):
        inside = parts[box] == part
        own = _joined(np.where(inside, cores[box], 0), means)
        if own.max() > own[own > 0].min(initial=own.max()):  # several
            nearest = ndimage.distance_transform_edt(own == 0, return_distances=False, return_indices=True)
            labels[box][inside] = count + own[tuple(nearest)][inside]
    for number, frame in enumerate(labels):
        labels[number] = consecutive(frame)
    return labels  # type: ignore[no-any-return]


def _largest_step(values: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return by how much the neighbours of a pixel within the masks differ from it at most, shape (B, H, W)."""
    steps = np.zeros(masks.shape, values.dtype)
    for one, other in neighbours(*masks.shape[1:]):
        step = np.abs(values[one] - values[other]).max(1) * (masks[one] & masks[other])
        for side in (one, other):  # they overlap
            steps[side] = np.maximum(steps[side], step)
    return steps


def _means(cores: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """Return the mean hue of every core by its number, shape (cores + 1, C)."""
    areas = np.maximum(np.bincount(cores.ravel()), 1)
    channels = (np.bincount(cores.ravel(), shades[:, c].ravel()) / areas for c in range(shades.shape[1]))
    return np.stack([*channels], 1)


def _joined(cores: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the cores of one part in which those of about one hue that lie near each other have one number.

    Near: a gap, without edges, of half the side of the smaller, as a highlight on it leaves.

    Args:
        cores: Numbers, 0 for none, shape (1, h, w).
        means: Hues by number, shape (N, C).
    """
    numbers = np.unique(cores[cores > 0])
    if len(numbers) < 2:
        return cores
    spans = ndimage.find_objects(np.searchsorted(numbers, cores) * (cores > 0) + (cores > 0))
    first = np.array([[side.start for side in span[1:]] for span in spans])  # (N, 2)
    last = np.array([[side.stop for side in span[1:]] for span in spans])
    gaps = np.maximum(first[:, None] - last[None], first[None] - last[:, None]).max(2)  # (N, N)
    sides = (last - first).max(1)
    near = gaps - 2 * _EDGE <= _NEAR * np.minimum(sides[:, None], sides[None])
    alike = near & (np.abs(means[numbers][:, None] - means[numbers][None]).max(2) < _ALIKE)
    while not np.array_equal(further := alike @ alike, alike):
        alike = further
    names = np.unique(alike.argmax(1), return_inverse=True)[1]
    return np.where(cores > 0, numbers[names[np.searchsorted(numbers, cores)]], 0)
