"""Parts that are two objects of one colour which touch: narrow between them, or too large for one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse

from scenewise.nn.masks import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable

_ACROSS = np.array([[1, 0], [0, 1], [1, 1], [1, -1]]) / np.sqrt([[1], [1], [2], [2]])  # directions that cuts cross
_GAP = 1.5  # pixels between two places of one cut at most


def apart_at_necks(labels: np.ndarray, share: float, least: float) -> np.ndarray:
    """Return the number of each pixel's part in its frame, 0 for none: no part has a neck.

    The width of a part at a pixel is how far it is to the nearest pixel outside. Two places of a part are of two
    objects if every way from one to the other leads through widths of at most a share of both; the rest of the part
    goes to the nearer of them. Bodies that touch meet where their common outline turns inwards, as the minima rule says
    (Hoffman and Richards 1984).

    Args:
        labels: Numbers of parts, 0 for none, shape (B, H, W).
        share: Of the widths on both sides of a neck, at which it parts them.
        least: Pixels that each of the objects has.

    Returns:
        int, shape (B, H, W), numbered from 1 in every frame.
    """
    return _divide(labels, lambda part: _bodies(part, share, least))


def _bodies(part: np.ndarray, share: float, least: float) -> list[np.ndarray]:
    """Return what the narrowest neck of a part (h, w) has on its sides, two masks or more; without a neck nothing."""
    if np.count_nonzero(part) < 2 * least:
        return []
    widths = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    for width in np.unique(widths[part])[:-1]:
        wider, count = ndimage.label(widths > width)
        if count > 1:
            largest = ndimage.maximum(widths, wider, np.arange(1, count + 1))
            sides = 1 + np.flatnonzero(width <= share * largest)
            middles = np.where(np.isin(wider, sides), wider, 0)
            nearest = ndimage.distance_transform_edt(middles == 0, return_distances=False, return_indices=True)
            bodies = [part & (middles[tuple(nearest)] == side) for side in sides]
            if len(bodies) > 1 and min(map(np.count_nonzero, bodies)) >= least:
                return bodies
    return []


def cut_to_size(labels: np.ndarray, most: float, least: float) -> np.ndarray:
    """Return the number of each pixel's part in its frame, 0 for none: parts too large for one object are cut.

    A part holds as many objects as it must, n. Of the straight cuts in four directions that leave one of lawful area on
    one side, and n - 1 on the other, it is the one that is shortest for the area: whose length / min(area, area of the
    part / n) is least, an isoperimetric ratio as Cheeger's. Where objects meet along a bend they are cut straight too.

    Args:
        labels: Numbers of parts, 0 for none, shape (B, H, W).
        most: Pixels that an object has at most.
        least: Pixels that an object has at least.

    Returns:
        int, shape (B, H, W), numbered from 1 in every frame.
    """
    return _divide(labels, lambda part: _sides(part, most, least))


def _divide(labels: np.ndarray, pieces: Callable[[np.ndarray], list[np.ndarray]]) -> np.ndarray:
    """Return numbers of parts, from 1 in every frame, each divided into its pieces (h, w) until it has none."""
    divisions = np.zeros_like(labels)
    for frame, numbers in zip(divisions, labels, strict=True):
        count = 0
        for number, box in enumerate(ndimage.find_objects(numbers), 1):
            waiting = [] if box is None else [numbers[box] == number]
            while waiting:
                part = waiting.pop()
                smaller = pieces(part)
                waiting += smaller
                if not smaller:
                    count += 1
                    frame[box][part] = count
    return divisions


def _sides(part: np.ndarray, most: float, least: float) -> list[np.ndarray]:
    """Return both sides of the best cut through a part (h, w), or nothing where it needs none or there is none."""
    places = np.argwhere(part)
    area = len(places)
    if area <= most or area < 2 * least:
        return []
    numbers = np.full(part.shape, -1)
    numbers[part] = np.arange(area)
    pairs = [np.stack([numbers[one], numbers[other]]) for one, other in neighbours(*part.shape)]
    first, second = np.concatenate([pair.reshape(2, -1) for pair in pairs], 1)
    first, second = (ends[(first >= 0) & (second >= 0)] for ends in (first, second))
    middles, beside = (places[first] + places[second]) / 2, np.abs(places[first] - places[second]).sum(1) == 1
    objects, best, sides = math.ceil(area / most), np.inf, np.zeros(area, bool)
    lawful = (max(least, area - (objects - 1) * most), most)
    for across in _ACROSS:
        heights, along = places @ across, middles @ np.array([-across[1], across[0]])
        for level in np.arange(heights.min() + 0.5, heights.max()):
            crossing = np.flatnonzero((heights[first] < level) != (heights[second] < level))
            crossing = crossing[along[crossing].argsort()]
            for seam in np.split(crossing, 1 + np.flatnonzero(np.diff(along[crossing]) > _GAP)):
                length = np.count_nonzero(beside[seam]) / np.abs(across).sum()
                if len(seam) and length * objects / area < best:
                    rest = np.delete(np.stack([first, second]), seam, 1)
                    graph = sparse.coo_array((np.ones(rest.shape[1], bool), tuple(rest)), shape=(area, area))
                    count, names = sparse.csgraph.connected_components(graph, directed=False)
                    smaller = np.bincount(names).min()
                    ratio = length / min(smaller, area / objects)
                    if count == 2 and lawful[0] <= smaller <= lawful[1] and ratio < best:
                        best, sides = ratio, names > 0
    return [np.where(part, sides[numbers] == side, False) for side in (False, True)] if sides.any() else []
