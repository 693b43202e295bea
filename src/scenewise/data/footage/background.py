"""The background picture: what a still camera shows where nothing stands in the way.

It is the emptiest picture and not the most frequent one: things that stand still for most of a file are in the median
over time. From the median on, a region is taken over from other frames wherever enough of them agree on another look
of it that has clearly fewer edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.nn.light import Lighting

__all__ = ["Background", "ShortVideoError", "emptiest"]

LEAST_FRAMES = 20
_FRAMES = 120  # evenly spaced frames that are looked at
_SIDE = 80  # longest side at which regions are compared, pixels
_ROUNDS = 4
_DIFFERENCE = 0.05  # of [0, 1]; where the local mean differs by more, a frame shows something else
_LEAST_REGION = 6  # pixels
_AGREEMENT = 0.04  # of [0, 1]; frames agree on a pixel up to here
_AGREEING_PIXELS = 0.85  # of a region
_LEAST_SUPPORT = 0.04  # of the frames
_FEWER, _LEAST_GAIN = 0.9, 0.05  # a new look has less than this share of the edges, and this much less
_NEAR = 0.03  # of [0, 1]; frames this near to the picture make up its last version
_LEAST_STEP = 0.02  # of [0, 1]; smaller steps between neighbours are no edges
_WELL_LIT = 0.5  # of the pixels a typical frame shares with the picture; with fewer, the light cannot be told
_MOST_UNSUPPORTED = 0.05  # of the pixels of a sound picture
_STILL_SUPPORT = 0.25  # of the frames; below it in half of the pixels nothing stands still


class ShortVideoError(InputError):
    """A video is too short to have a background picture."""


@dataclass(frozen=True)
class Background:
    """The background picture of a video.

    Attributes:
        picture: float32 in [0, 1], shape (H, W, C).
        support: Share of the frames looked at that show it, float32, shape (H, W): how sure it is.
        noise: Standard deviation of a pixel about it, of [0, 1], light taken out.
        reasons: Why it is not sound, sentence by sentence; empty where it is.
    """

    picture: np.ndarray
    support: np.ndarray
    noise: float
    reasons: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether every place was seen empty often enough."""
        return not self.reasons

    @property
    def pixels(self) -> np.ndarray:
        """The picture as uint8, shape (H, W, C)."""
        return (self.picture * 255).round().astype(np.uint8)


def emptiest(frames: np.ndarray) -> Background:
    """Return the emptiest picture of a video with a still camera.

    120 frames at most are looked at, evenly over the video. Light may change: frames are compared under the light of
    the picture, a gain and an offset per channel. Regions are compared at a longest side of 80 pixels; the picture is
    then, at every pixel of the full size, the median of the frames that show it.

    Args:
        frames: uint8, shape (T, H, W, C), T at least 20; of a memory map only the frames looked at are read.

    Raises:
        ShortVideoError: There are fewer.
        InputError: They have another shape or type.
    """
    if frames.ndim != 4 or frames.dtype != np.uint8:
        raise InputError("frames", f"expected uint8 (T, H, W, C); found {frames.dtype} {frames.shape}.")
    if len(frames) < LEAST_FRAMES:
        problem = f"a background picture needs at least {LEAST_FRAMES}; found {len(frames)}."
        raise ShortVideoError("frames", problem, "Give a longer video, or the picture itself.")
    index = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int))
    chosen = np.stack([frames[i] for i in index])
    factor = max(1, round(max(chosen.shape[1:3]) / _SIDE))
    small = _pooled(chosen, factor)
    picture = np.median(small, axis=0)
    light, seen = _under_light_of(picture, small)
    for _ in range(_ROUNDS):
        picture, pasted = _emptied(picture, _well_lit(picture, seen))
        light, seen = _under_light_of(picture, small)
        if not pasted:
            break
    near = np.abs(seen - picture).max(-1) < _NEAR  # (T, h, w)
    support = near.mean(0, dtype=np.float32)
    deviations = np.abs(seen - picture)[near]
    noise = float(np.sqrt(np.square(deviations).mean())) if len(deviations) else 0.0
    rows, columns = (np.minimum(np.arange(n) // factor, n // factor - 1) for n in chosen.shape[1:3])
    full = np.stack(
        [_line(chosen[:, y], light, near[:, row][:, columns], picture[row][columns]) for y, row in enumerate(rows)]
    )
    return Background(full, support[rows][:, columns], noise, _reasons(support))


def _pooled(frames: np.ndarray, factor: int) -> np.ndarray:
    """Return frames as float32 in [0, 1], averaged over blocks; a rest at the border is left out."""
    count, height, width, channels = frames.shape
    whole = frames[:, : height // factor * factor, : width // factor * factor]
    blocks = whole.reshape(count, height // factor, factor, width // factor, factor, channels)
    return blocks.mean((2, 4), dtype=np.float32) / np.float32(255)


def _under_light_of(picture: np.ndarray, frames: np.ndarray) -> tuple[Lighting, np.ndarray]:
    """Return what brings frames (T, h, w, C) under the light of a picture, and the frames so."""
    import torch  # a second, which sources that are generated do without

    from scenewise.nn.light import light_between

    images, like = (torch.from_numpy(np.moveaxis(a, -1, -3).copy()) for a in (frames, picture[None]))
    light = light_between(images, like)
    return light, np.moveaxis(light.on(images).numpy(), -3, -1)


def _well_lit(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the frames whose light could be told: they share about as many pixels with the picture as others do.

    What fills most of a frame, an arm before the lens, is taken for a light under which everything looks pale, and
    pale places have few edges.
    """
    shared = (np.abs(seen - picture).max(-1) < _NEAR).mean((1, 2))
    return seen[shared >= _WELL_LIT * np.median(shared)]


def _emptied(picture: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, int]:
    """Take over what other frames show in a region wherever that has clearly fewer edges; also count such regions."""
    pasted = 0
    for frame in seen:
        difference = ndimage.uniform_filter(np.abs(frame - picture), (3, 3, 1)).max(-1)
        regions, _ = ndimage.label(ndimage.binary_dilation(difference > _DIFFERENCE))
        for number, box in enumerate(ndimage.find_objects(regions), 1):
            inside = regions[box] == number
            if inside.sum() < _LEAST_REGION:
                continue
            agreement = (np.abs(seen[:, *box] - frame[box]).max(-1) < _AGREEMENT)[:, inside].mean(1)
            agree = agreement > _AGREEING_PIXELS
            if agree.mean() < _LEAST_SUPPORT:
                continue
            other = picture.copy()
            other[box][inside] = np.median(seen[agree][:, *box][:, inside], axis=0)
            if _edges(other, box) < _FEWER * _edges(picture, box) - _LEAST_GAIN:
                picture, pasted = other, pasted + 1
    return picture, pasted


def _edges(picture: np.ndarray, box: tuple[slice, slice]) -> float:
    """Return the sum of steps between neighbours in a box and two pixels about it: seams count."""
    rows, columns = (slice(max(side.start - 2, 0), side.stop + 2) for side in box)
    part = picture[rows, columns]
    return sum(float(np.maximum(np.abs(np.diff(part, axis=axis)) - _LEAST_STEP, 0).sum()) for axis in (0, 1))


def _line(frames: np.ndarray, light: Lighting, near: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Return one line of the picture: at each pixel the median of the frames that show it, light taken out.

    Args:
        frames: The line in all frames, uint8 (T, W, C).
        light: What brings them under the light of the picture.
        near: Which frames show the picture, (T, W).
        instead: The reduced picture, (W, C), where none does.
    """
    import torch

    gain, offset = (values[:, :, 0, 0].unsqueeze(1) for values in (light.gain, light.offset))  # (T, 1, C)
    values = torch.from_numpy(frames) * (gain / 255) + offset
    values[~torch.from_numpy(near)] = torch.nan
    median = values.nanmedian(0).values.numpy()
    return np.where(np.isnan(median), instead, median).clip(0, 1)


def _reasons(support: np.ndarray) -> tuple[str, ...]:
    """Return why a picture with this support is not sound."""
    if np.median(support) < _STILL_SUPPORT:
        return (f"half of the picture is seen in less than {_STILL_SUPPORT:.0%} of the frames: the camera moves",)
    rare = float((support < _LEAST_SUPPORT).mean())
    if rare > _MOST_UNSUPPORTED:
        return (f"{rare:.0%} of it is seen empty in less than {_LEAST_SUPPORT:.0%} of the frames",)
    return ()
