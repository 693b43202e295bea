"""Moving MNIST: handwritten digits that bounce off the frame's border and pass through one another, made on the fly.

Trajectories after Srivastava et al. (2015), the same in DDPAE (moving_mnist.md 2): a digit moves at constant speed in
unit coordinates of its top-left corner, moves first, then bounces, then is shown; a wall stops it for one frame
(`bounce=clamp`), what it overshot is dropped.

- `moving-mnist`: two grey digits, the brighter pixel wins (DDPAE);
- `moving-mnist-colour`: one red and one green digit, each on a channel of its own (DVIP).

What differs from the sources: the splits share no digit (DDPAE validates on training digits); masks and ids come along,
a pixel belongs to a digit where its own ink is above one half, to the brighter one where two are (ties: the first).
`digit=14` with `size=32` is the same video at half the size.

Digits are read from MNIST's files (`images=... labels=...`); without these scikit-learn's small digits are enlarged,
and the origin says so. A video is determined by (digits, seed, split, index), whatever batch or span it is made in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scenewise.config import setting
from scenewise.data.contract import Description, Facts, ObjectKeys, Sample, register_source
from scenewise.data.generated.base import GeneratedSource, joined
from scenewise.data.generated.mnist.digits import LICENCE, MOST, OBTAIN, SIDE, DigitSettings, draw_digits, load
from scenewise.data.splits import uniform
from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LENGTHS = {"train": 100_000, "validation": 10_000, "test": 10_000}
_HALF = 127  # ink above which a pixel belongs to a digit
_AT_ONCE = 32  # videos drawn together; bounds the memory


@dataclass(frozen=True)
class MovingMnistConfig(DigitSettings):
    """Settings of the generator of moving digits."""

    compose: Literal["max", "channels", "painter"] = setting(
        "max", "max: the brighter pixel (DDPAE); channels: digit i on channel i (DVIP); painter: the later digit's ink",
    )  # fmt: skip
    overlap: Literal["top", "ignore"] = setting("top", "ids where digits overlap: top: the brighter's; ignore: -1")
    frames: int = setting(20, "frames of a video", minimum=1, maximum=100_000)
    speed: float = setting(0.1, "share of the free range per frame; 0.1 is 3.6 pixels", minimum=0.0, maximum=1.0)
    bounce: Literal["clamp", "reflect"] = setting(
        "clamp", "clamp: what oversteps a wall is dropped; reflect: it is mirrored"
    )
    digit: int = setting(SIDE, "height and width of a digit in pixels", choices=(7, 14, SIDE))
    size: int = setting(64, "height and width in pixels", minimum=8, maximum=512)
    seed: int = setting(0, "seed of all videos", minimum=0, maximum=2**63 - 1)

    def __post_init__(self) -> None:
        """Check what no single field can know; raises InputError."""
        super().__post_init__()
        if self.compose == "channels" and self.max_digits > 3:
            raise InputError("max_digits", f"is {self.max_digits}; compose=channels has a channel for each of 3.")
        if self.size < self.digit:
            raise InputError("size", f"is {self.size}, less than a digit of {self.digit} pixels.", "Set digit=14 or 7.")

    @property
    def channels(self) -> int:
        """C of the frames."""
        return 3 if self.compose == "channels" else 1


@dataclass(frozen=True)
class MovingMnistVideos:
    """N videos of T frames with all that is known of them; n is the largest number of digits.

    Attributes:
        frames: uint8, shape (N, T, C, H, W).
        ids: Of eight bits, shape (N, T, H, W): 0 background, place of the digit + 1, -1 where `overlap` says so.
        masks: Whole digits, bool, shape (N, T, n, H, W).
        corners: Column and row of a digit's top-left corner in the free range, in [0, 1], shape (N, T, n, 2).
        velocities: What a corner moves by from its frame on, same unit, shape (N, T, n, 2).
        labels: Digits 0 to 9, shape (N, n); -1 for absent ones.
        chosen: Places in the split's digits, shape (N, n).
    """

    frames: np.ndarray
    ids: np.ndarray
    masks: np.ndarray
    corners: np.ndarray
    velocities: np.ndarray
    labels: np.ndarray
    chosen: np.ndarray


class MovingMnistSource(GeneratedSource[MovingMnistVideos]):
    """Moving digits, made when asked for.

    Extras hold, of every digit: labels, digits (place in the split's digits); per frame: positions (column and row
    of the centre as shares of the side, as drawn), exact_positions (before they are cut to whole pixels),
    velocities (shares of the side per frame, from that frame on), amodal (whole masks, shape (T, n, H, W)); and
    overlap (share of the digits' pixels that more than one covers, shape (T,)).

    Args:
        config: What to make.
        split: Which random streams and digits to use; splits share neither.
        name: Name of the source, for messages.

    Raises:
        InputError: The digits' files are wrong, or there are neither files nor scikit-learn.
    """

    config_class = MovingMnistConfig
    kind = "moving-mnist"
    lengths = _LENGTHS
    object_keys = ObjectKeys(
        label="labels",
        position="positions",
        velocity="velocities",
        amodal="amodal",
    )

    def __init__(self, config: MovingMnistConfig, split: str = "train", name: str = "moving-mnist") -> None:
        super().__init__(config, split, name)
        load(config.files, split)  # now, so that a wrong file is told at once
        self.facts = Facts(
            channels=config.channels,
            size=(config.size, config.size),
            frames=config.frames,
            max_objects=config.max_digits,
            background_ids=(0,),
            overlap=config.overlap,
            origin=f"{name}, generated with seed {config.seed}, from {config.files.origin}",
        )

    def fingerprint(self) -> str:
        """Return a hash of settings, split, generator version and the contents of the digits' files."""
        return str(self.config.fingerprint(self.kind, self.version, self.split))

    def _samples(self, videos: MovingMnistVideos) -> list[Sample]:
        return [self._known(videos, row) for row in range(len(videos.ids))]

    def _known(self, videos: MovingMnistVideos, row: int) -> Sample:
        """Return one of many videos; extras are of the digits that are there."""
        config, present = self.config, videos.labels[row] >= 0
        masks, corners = videos.masks[row][:, present], videos.corners[row][:, present]
        free, middle = config.size - config.digit, config.digit / 2
        covers = masks.sum(1)
        extras = {
            "labels": videos.labels[row, present],
            "digits": videos.chosen[row, present],
            "positions": (np.trunc(free * corners) + middle) / config.size,
            "exact_positions": (free * corners + middle) / config.size,
            "velocities": videos.velocities[row][:, present] * free / config.size,
            "amodal": masks,
            "overlap": (covers > 1).sum((1, 2)) / np.maximum((covers > 0).sum((1, 2)), 1),
        }
        return Sample(videos.frames[row], videos.ids[row].astype(np.int64), extras)

    def _make(self, indices: Sequence[int], first: int, stop: int, whole: bool) -> MovingMnistVideos:
        starts = range(0, max(len(indices), 1), _AT_ONCE)
        return joined([self._part(indices[at : at + _AT_ONCE], first, stop) for at in starts])

    def _part(self, indices: Sequence[int], first: int, stop: int) -> MovingMnistVideos:
        config = self.config
        draws = uniform(config.seed, self.split, indices, 1 + 4 * MOST)
        each = draws[:, 1:].reshape(-1, 4, MOST)[:, :, : config.max_digits]
        digits = draw_digits(config, self.split, draws[:, 0], each[:, 0])
        angles = 2 * math.pi * each[:, 3]
        velocity = config.speed * np.stack([np.cos(angles), np.sin(angles)], -1)
        corners, velocities = move(each[:, 1:3].swapaxes(1, 2), velocity, first, stop, config.bounce)
        inks, factor = digits.inks, SIDE // config.digit
        if factor > 1:  # (N, n, 28, 28) averaged over blocks
            blocks = inks.reshape(*inks.shape[:2], config.digit, factor, config.digit, factor)
            inks = np.rint(blocks.mean((3, 5), dtype=np.float32)).astype(np.uint8)
        planes = _placed(inks, corners, config.size)
        images, ids = compose(planes, config)
        return MovingMnistVideos(
            frames=images,
            ids=ids,
            masks=planes > _HALF,
            corners=corners,
            velocities=velocities,
            labels=digits.labels,
            chosen=digits.chosen,
        )


def move(
    start: np.ndarray, velocity: np.ndarray, first: int, stop: int, bounce: str = "clamp"
) -> tuple[np.ndarray, np.ndarray]:
    """Return where points of the unit square are in frames `first` to `stop` - 1 (moving_mnist.md 2).

    Args:
        start: Where they are before the first frame, shape (..., n, 2).
        velocity: What they move by per frame, same shape.
        first: First frame.
        stop: The frame after the last.
        bounce: "clamp" or "reflect".

    Returns:
        Places and, of the same shape, velocities after each frame's bounce: (..., T, n, 2).
    """
    places, steps = [], []
    for frame in range(stop):
        start = start + velocity
        turned = (start <= 0) | (start >= 1)
        mirrored = np.where(start <= 0, -start, 2 - start)
        start = np.where(turned, mirrored, start) if bounce == "reflect" else start.clip(0, 1)
        velocity = np.where(turned, -velocity, velocity)
        if frame >= first:
            places.append(start)
            steps.append(velocity)
    return np.stack(places, -3), np.stack(steps, -3)


def _placed(digits: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Return digits (N, n, d, d) laid at corners (N, T, n, 2) of the unit range, each on a plane: (N, T, n, H, W)."""
    side = digits.shape[-1]
    offsets = ((size - side) * corners).astype(np.int64)
    planes = np.zeros((*corners.shape[:-1], size, size), np.uint8)
    videos, frames, places = np.indices(corners.shape[:-1])[..., None, None]
    along = np.arange(side)
    rows = offsets[..., 1, None, None] + along[:, None]
    columns = offsets[..., 0, None, None] + along
    planes[videos, frames, places, rows, columns] = digits[:, None]
    return planes


def compose(planes: np.ndarray, config: MovingMnistConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (N, T, C, H, W) and ids (N, T, H, W) of planes (N, T, n, H, W)."""
    brightest = planes.max(2)
    if config.compose == "channels":
        frames = np.zeros((*planes.shape[:2], 3, *planes.shape[3:]), np.uint8)
        frames[:, :, : planes.shape[2]] = planes
    elif config.compose == "max":
        frames = brightest[:, :, None]
    else:
        frames = planes[:, :, :1].copy()
        for at in range(1, planes.shape[2]):
            np.copyto(frames[:, :, 0], planes[:, :, at], where=planes[:, :, at] > 0)
    ids = np.where(brightest > _HALF, planes.argmax(2) + 1, 0).astype(np.int8)
    if config.overlap == "ignore":
        ids[(planes > _HALF).sum(2) > 1] = -1
    return frames, ids


READY: dict[str, dict[str, Any]] = {"moving-mnist": {}, "moving-mnist-colour": {"compose": "channels"}}
"""Ready settings by the name of the source."""

_WHAT = {
    "moving-mnist": "two grey digits that bounce off the border and pass through one another, with ids and positions",
    "moving-mnist-colour": "a red and a green digit that bounce off the border, each on a channel of its own",
}
_PAPERS = {
    "moving-mnist": "Srivastava et al. 2015; DDPAE (Hsieh et al. 2018)",
    "moving-mnist-colour": "DVIP (Whitney and Fergus, Disentangling Video with Independent Prediction)",
}


for _name, _what in _WHAT.items():
    register_source(
        _name,
        Description(
            what=_what,
            kind="generated",
            paper=_PAPERS[_name],
            size="20 frames of 64 x 64, or any number of 8 to 512",
            factors=("label", "position", "velocity", "whole mask", "overlap"),
            licence=LICENCE,
            obtain=OBTAIN,
        ),
        READY[_name],
    )(MovingMnistSource)
