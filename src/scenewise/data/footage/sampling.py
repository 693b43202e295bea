"""Which clips of footage training sees, and how they are varied: most frames of a still camera are the same picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.config import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOMINAL = 100_000
"""Length of a source whose clips are drawn."""

_THUMBNAIL = 4  # frames are compared at 1 / this of their size
_MOST_COMPARED = 2000  # frames of a file
_ALIKE = 0.03  # of [0, 1]: mean difference of the channel that differs most


@dataclass(frozen=True)
class Variation:
    """How training clips are drawn and varied; validation and test see clips one after the other, as they are."""

    clusters: bool = setting(False, "Draw clips so that unlike frames are as frequent as frequent ones")
    steps: int = setting(1, "frame_step is drawn from 1 to this for every clip drawn", minimum=1, maximum=64)
    flips: bool = setting(False, "Mirror half of the clips drawn, left to right")
    shift: tuple[int, int] = setting((0, 0), "Largest shift of a clip drawn, down and across, pixels", minimum=0)


@dataclass(frozen=True)
class Draw:
    """A clip that was drawn.

    Attributes:
        file: Its file.
        begin: Its first frame there.
        step: Frames of the file from one frame to the next.
        flip: Whether it is mirrored.
        shift: By how much it is shifted down and to the right, pixels.
    """

    file: int
    begin: int
    step: int
    flip: bool
    shift: tuple[int, int]

    def varied(self, images: np.ndarray) -> np.ndarray:
        """Return images (..., H, W, C) mirrored and shifted; what comes in at a border repeats it."""
        if self.flip:
            images = images[..., ::-1, :]
        for axis, shift in zip((-3, -2), self.shift, strict=True):
            side = images.shape[axis]
            images = images.take(np.clip(np.arange(side) - shift, 0, side - 1), axis)
        return images


def clusters(frames: np.ndarray) -> list[np.ndarray]:
    """Return frames that look alike, together: one array of frame numbers for each cluster.

    Thumbnails join the nearest of the clusters before them, or begin one of their own. Of long files evenly spaced
    frames are looked at.

    Args:
        frames: uint8, shape (T, H, W, C); may be a memory map.
    """
    stride = -(-len(frames) // _MOST_COMPARED)
    looks = np.stack([_thumbnail(frames[number]) for number in range(0, len(frames), stride)])
    first: list[int] = []
    members: list[list[int]] = []
    for number, look in enumerate(looks):
        apart = np.abs(looks[first] - look).max(-1).mean((1, 2)) if first else np.array([np.inf])
        nearest = int(apart.argmin())
        if apart[nearest] < _ALIKE:
            members[nearest].append(number * stride)
        else:
            first.append(number)
            members.append([number * stride])
    return [np.array(numbers) for numbers in members]


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) averaged over blocks, float32 in [0, 1]."""
    height, width, channels = image.shape
    side = min(_THUMBNAIL, height, width)
    whole = image[: height // side * side, : width // side * side]
    blocks = whole.reshape(height // side, side, width // side, side, channels)
    return blocks.mean((1, 3), dtype=np.float32) / np.float32(255)


class ClipSampler:
    """Draws clips from parts of files, each by its number alone.

    Args:
        variation: How.
        parts: By file, first frame, and frame after the last, of what may be seen; each has room for a clip.
        frames: Gives the frames of a file, uint8, shape (T, H, W, C).
        length: Frames of a clip.
    """

    def __init__(
        self,
        variation: Variation,
        parts: Mapping[int, tuple[int, int]],
        frames: Callable[[int], np.ndarray],
        length: int,
    ) -> None:
        self.variation, self.parts, self.length = variation, dict(parts), length
        self._places: list[tuple[int, np.ndarray]] = []
        for file, (first, stop) in parts.items():
            alike = clusters(frames(file)[first:stop]) if variation.clusters else [np.arange(stop - first)]
            self._places += [(file, first + numbers) for numbers in alike]

    def draw(self, index: int) -> Draw:
        """Return the clip of a number: it begins, or ends, at a frame of a cluster, each cluster as likely."""
        random = np.random.Generator(np.random.Philox(key=index))
        file, numbers = self._places[random.integers(len(self._places))]
        first, stop = self.parts[file]
        steps = self.variation.steps
        step = int(random.integers(1, min(steps, max(1, (stop - first - 1) // max(self.length - 1, 1))) + 1))
        span = (self.length - 1) * step
        begin = int(random.choice(numbers)) - span * int(random.integers(2))
        down, across = self.variation.shift
        return Draw(
            file,
            min(max(begin, first), stop - 1 - span),
            step,
            self.variation.flips and bool(random.integers(2)),
            (int(random.integers(-down, down + 1)), int(random.integers(-across, across + 1))),
        )
