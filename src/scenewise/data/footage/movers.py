"""What is before a background picture: how many parts, how large, how fast; also small and pale ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 64  # frames
_FLOOR = 4.0 / 255  # of [0, 1]; smaller differences, averaged over 3 x 3 pixels, are none on any footage
_NOISE_TIMES = 4.0  # the same, of the noise that is left in such averages
_CLEAR = 1.5  # times that limit; a part has pixels that differ by more
_LEAST_CONTRAST = 2.5  # times that limit; what a codec leaves where a thing went by is paler
_PALE, _SMALL = 0.35, 0.25  # of the usual contrast and area of parts; paler and smaller is a rest, too, or a ghost
_EDGE = 0.5  # of a part's median difference; its border lies there
_LEAST_PIXELS = 6
_CRUMB, _BESIDE = 0.25, 4  # a part with less than this share of the area of one so many pixels off is a piece of it
_HUES = (0.2, 0.3)  # steps of hue at which parts are taken apart; what the second does is clear
_LOOKS_AT_HUES = 20  # frames
_PIECE = 0.15  # of a part's area; what hues cut off is an object of its own if it is larger
_USUAL = 1.3  # times the median area of parts; those larger may be several things
_LONE, _LEAST_ALONE = 0.05, 5  # share of things, alone and all in the frame, that hues take apart at most; how many
_JOINED = 1 / 3  # of the larger parts that they clearly take apart at least
_NEAR, _ALIKE = 1.5, 0.4  # a part seen again lies within so many of its sides and keeps so much of its area


@dataclass(frozen=True)
class Movers:
    """Parts of frames that are not background; lengths are in pixels of these frames.

    Attributes:
        counts: Parts in every frame, shape (T,).
        sides: Square root of the area of each part, shape (N,).
        speeds: Distance from frame to frame of each part that moved, shape (M,).
        often: Share of the frames in which each pixel is in a part, shape (H, W).
        noise: Standard deviation of still pixels, of [0, 1].
        colourful: Of each part, the share of its difference from the background that no change of brightness makes,
            shape (N,).
        contrasts: Of each part, the length of its difference from the background over the channels, as a root mean
            square, shape (N,).
        limit: What noise leaves of such a difference, averaged over 3 x 3 pixels.
        pieces: What hues make of the parts of some twenty frames: a row of each part's frame, its area, whether it is
            all in the frame, and the number of objects at two steps of hue, shape (P, 5).
    """

    counts: np.ndarray
    sides: np.ndarray
    speeds: np.ndarray
    often: np.ndarray
    noise: float
    colourful: np.ndarray
    contrasts: np.ndarray
    limit: float
    pieces: np.ndarray


def objects_by_hues(pieces: np.ndarray) -> tuple[float, int]:
    """Return the step of hue at which things that touch are told apart, and how many there are at a time.

    It is 0 where it pays nothing or does harm: where no large part is of several hues, or things that are alone are.

    Args:
        pieces: See `Movers`.
    """
    frames, areas, inside, fine, coarse = pieces.reshape(-1, 5).T
    lone = (areas <= _USUAL * np.median(areas)) if len(areas) else areas > 0
    alone = fine[lone & (inside > 0)] > 1
    if len(alone) < _LEAST_ALONE or alone.mean() > _LONE or lone.all() or (coarse[~lone] > 1).mean() < _JOINED:
        return 0.0, 0
    return _HUES[0], int(np.bincount(frames.astype(int), fine).max())


def movers(runs: Sequence[np.ndarray], picture: np.ndarray) -> Movers:
    """Find what differs from the background in neighbouring frames.

    A difference counts where it is larger than what noise leaves in the mean of 3 x 3 pixels. A part must be seen in a
    frame beside too, near its place and about as large: flicker is no thing.

    Args:
        runs: Neighbouring frames, each uint8 (T, H, W, 3).
        picture: Their background, float32 in [0, 1], shape (H, W, 3).
    """
    noise, blur = _noise(runs, picture)
    limit = max(_FLOOR, _NOISE_TIMES * blur)
    speeds, colours, sizes, numbers, pieces = [], [], [], [], []
    often, frames, every = np.zeros(picture.shape[:2]), 0, max(1, sum(map(len, runs)) // _LOOKS_AT_HUES)
    for run in runs:
        differences = list(_differences(run, picture))
        parts = [_parts(difference, limit) for difference in differences]
        labels, places, areas = ([part[n] for part in parts] for n in range(3))
        for t in range(len(run)):
            beside = [_again(places[t], areas[t], places[u], areas[u]) for u in (t - 1, t + 1) if 0 <= u < len(run)]
            seen = (
                np.any([distance < np.inf for distance in beside], axis=0) if beside else np.ones(len(areas[t]), bool)
            )
            colours.append(_colours(differences[t], picture, labels[t], len(seen))[:, seen])
            sizes.append(areas[t][seen])
            numbers.append(np.full(int(seen.sum()), frames + t))
            often += np.isin(labels[t], 1 + np.flatnonzero(seen))
            if (frames + t) % every == 0:
                pieces.append(_pieces(run[t], labels[t], seen, frames + t))
            if t + 1 < len(run):
                speeds.append(beside[-1][beside[-1] < np.inf])
        frames += len(run)
    shares, contrasts = np.concatenate(colours, 1)
    area, when = np.concatenate(sizes), np.concatenate(numbers)
    things = contrasts >= _LEAST_CONTRAST * limit
    if things.any():
        pale = contrasts < _PALE * _usual(contrasts[things], area[things])
        small = area < _SMALL * _usual(area[things], area[things])
        things &= ~(pale & small)
    distances = np.concatenate(speeds) if speeds else np.zeros(0)
    return Movers(
        counts=np.bincount(when[things], minlength=frames),
        sides=np.sqrt(area[things]),
        speeds=distances[distances > 0.15],
        often=often / frames,
        noise=noise,
        colourful=shares[things],
        contrasts=contrasts[things],
        limit=limit,
        pieces=np.concatenate(pieces),
    )


def _usual(values: np.ndarray, areas: np.ndarray) -> float:
    """Return the median over pixels of what parts have: rests may be many, but they cover little."""
    order = np.argsort(values)
    covered = np.cumsum(areas[order])
    return float(values[order][np.searchsorted(covered, covered[-1] / 2)])


def _pieces(frame: np.ndarray, labels: np.ndarray, seen: np.ndarray, number: int) -> np.ndarray:
    """Return what hues make of the parts of a frame that are seen; see `Movers.pieces`."""
    from scenewise.nn.cores import of_like_hues  # reads torch, too

    image, rows = np.moveaxis(frame, -1, 0)[None] / np.float32(255), []
    hues = [of_like_hues(labels[None] > 0, image, step)[0] for step in _HUES]
    for part, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None and seen[part - 1]:
            inside = labels[box] == part
            least = max(_LEAST_PIXELS, _PIECE * inside.sum())
            counts = [max(1, int((np.bincount(each[box][inside]) >= least).sum())) for each in hues]
            whole = all(side.start > 0 and side.stop < n for side, n in zip(box, labels.shape, strict=True))
            rows.append([number, inside.sum(), whole, *counts])
    return np.array(rows, float).reshape(-1, 5)


def _colours(difference: np.ndarray, picture: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return what share of each part's mean difference is not along the colour of what it hides, and how strong it is.

    Strength is a root mean square over pixels: bodies and windows of a grey car cancel each other in a mean.

    Shape (2, N).
    """
    inside = labels > 0  # of which there are few
    numbers = labels[inside]
    areas = np.bincount(numbers, minlength=count + 1)[1:, None]
    change, hidden = (
        np.stack([np.bincount(numbers, image[inside, c], count + 1)[1:] for c in range(3)], -1) / areas
        for image in (difference, picture)
    )
    hidden = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-6)
    across = change - (change * hidden).sum(1, keepdims=True) * hidden
    shares = np.linalg.norm(across, axis=1) / np.maximum(np.linalg.norm(change, axis=1), 1e-6)
    squares = np.bincount(numbers, np.square(difference[inside]).sum(1), count + 1)[1:] / areas[:, 0]
    return np.stack([shares, np.sqrt(squares)])


def _differences(run: np.ndarray, picture: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, frame by frame, the difference from the picture under its light, averaged over 3 x 3, shape (H, W, 3)."""
    for first in range(0, len(run), _AT_ONCE):
        for signed in _under_light(run[first : first + _AT_ONCE], picture):
            yield ndimage.uniform_filter(signed, (3, 3, 1))


def _under_light(frames: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Return frames minus picture, light taken out, float32 (T, H, W, 3)."""
    import torch  # a second, which sources that are generated do without

    from scenewise.nn.light import light_between

    images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, 1))).float() / 255
    like = torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0)))[None]
    signed = light_between(images, like).on(images) - like
    return np.moveaxis(signed.numpy(), 1, -1)


def _noise(runs: Sequence[np.ndarray], picture: np.ndarray) -> tuple[float, float]:
    """Return the standard deviation of still pixels, and that of means over 3 x 3 of them."""
    few = np.concatenate([run[:: max(1, len(run) // 8)] for run in runs])
    signed = _under_light(few[:: max(1, len(few) // 48)], picture)
    means = ndimage.uniform_filter(signed, (0, 3, 3, 0))
    return tuple(1.4826 * float(np.median(np.abs(values))) for values in (signed, means))  # type: ignore[return-value]


def _parts(difference: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (H, W) of connected parts, and the centre (row, column) and area of each."""
    size = np.abs(difference).max(-1)
    labels, count = ndimage.label(ndimage.binary_opening(size > limit), np.ones((3, 3)))
    inside, numbers = labels > 0, np.arange(count + 1)  # few pixels are inside, and nothing is asked of the others
    values, part = size[inside], labels[inside]
    peaks, typical = np.zeros(count + 1), np.zeros(count + 1)
    if count:
        peaks[1:] = ndimage.maximum(values, part, numbers[1:])
        typical[1:] = ndimage.median(values, part, numbers[1:])
    labels[inside] = np.where(values > _EDGE * typical[part], part, 0)  # averaging has widened clear parts by a pixel
    rows, columns = np.nonzero(labels)
    part = labels[rows, columns]
    areas = np.bincount(part, minlength=count + 1)
    valid = (areas >= _LEAST_PIXELS) & (peaks > _CLEAR * limit)
    valid &= ~_crumbs(labels, np.where(valid, areas, 0))
    renumbered = np.where(valid, np.cumsum(valid), 0)
    places = np.stack([np.bincount(part, axis, count + 1)[valid] / areas[valid] for axis in (rows, columns)], -1)
    return renumbered[labels], places, areas[valid]


def _crumbs(labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return which parts are pieces of a larger one beside them: its shadow, a hand, a rim, bool, shape (N + 1,)."""
    crumbs = np.zeros(len(areas), bool)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None and areas[number]:
            around = tuple(slice(max(side.start - _BESIDE, 0), side.stop + _BESIDE) for side in box)
            beside = np.unique(labels[around])
            crumbs[number] = bool((areas[number] < _CRUMB * areas[beside[beside > 0]]).any())
    return crumbs


def _again(places: np.ndarray, areas: np.ndarray, others: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return how far each part is from the nearest that may be the same in another frame; infinite where none is."""
    if not len(places) or not len(others):
        return np.full(len(places), np.inf)
    apart = np.sqrt(((places[:, None] - others[None]) ** 2).sum(-1))
    ratio = np.minimum(areas[:, None], sizes[None]) / np.maximum(areas[:, None], sizes[None])
    same = (apart <= _NEAR * np.sqrt(areas)[:, None]) & (ratio >= _ALIKE)
    return np.where(same, apart, np.inf).min(1)
