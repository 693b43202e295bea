"""A first look at footage: what moves, how large, how fast; and the settings that follow from it.

The background is the median over time; what differs from it by more than the noise is moving. This needs a camera that
stands still, which is checked and reported.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.splits import SPLITS, time_block
from scenewise.errors import InputError
from scenewise.media.reading import read_videos

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.media.reader import VideoReader

_LOOK_SIDE = 160  # longest side of the frames looked at, in pixels
_LOOK_FRAMES = 600  # most frames looked at in all
_MOST_FILES = 8  # files looked at when there are more
_WINDOWS = 3  # places in a long file where runs of frames are looked at
_FOR_BACKGROUND = 60  # frames the median is taken of
_LEAST_CONTRAST = 15.0  # of 255; smaller differences from the background are taken for noise or shadow
_MEDIAN_OF_LARGEST = 1.264  # of the absolute values of three standard normal numbers
_STILL_NOISE = 15.0  # of 255; above it the background itself changes
_LEAST_AREA = 1.5e-3  # of the frame; smaller parts are specks
_SIZES = (64, 96, 128)
_OBJECT_PIXELS = 8.0  # side an object should have in a training frame
_LONGEST_CLIP, _LONGEST_STEP = 20, 8


@dataclass(frozen=True)
class Proposal:
    """One setting and the sentence that says why."""

    name: str
    value: Any
    reason: str


@dataclass(frozen=True)
class FileLook:
    """What one file shows.

    Attributes:
        name: Its name.
        size: (H, W) in pixels.
        frames: Number of frames as far as known.
        frame_rate: Frames per second, or None.
        noise: Standard deviation of still pixels, of 255.
        residual: Mean difference from the median background, of 255.
        changing: Mean share of a frame that differs from the background by more than noise.
        stationary: Whether the camera seems to stand still.
        counts: Number of moving parts in every frame looked at.
        sides: Square root of the area of each moving part, in source pixels; parts much smaller than most are left out.
        speeds: Source pixels per frame that moving parts advance.
        region: Where anything moves: top, left, height, width in source pixels, or None.
    """

    name: str
    size: tuple[int, int]
    frames: int
    frame_rate: float | None
    noise: float
    residual: float
    changing: float
    stationary: bool
    counts: np.ndarray
    sides: np.ndarray
    speeds: np.ndarray
    region: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class FootageReport:
    """What footage shows and how to train on it.

    Attributes:
        files: What every file shows.
        objects: Moving parts in a busy frame (the 90th percentile over frames).
        side: Side of a typical one in source pixels (half of all moving pixels lie in larger ones); 0 where nothing
            moves.
        speed: Source pixels per frame of a typical one; 0 where nothing moves.
        proposals: Settings, each with its reason.
        warnings: What speaks against training on this footage.
    """

    files: tuple[FileLook, ...]
    objects: int
    side: float
    speed: float
    proposals: tuple[Proposal, ...]
    warnings: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The proposed values by name: size, crop, slots, frame_step, shares, clip_length."""
        return {proposal.name: proposal.value for proposal in self.proposals}

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        told = []
        for look in self.files:
            rate = f" at {look.frame_rate:.3g} frames/s" if look.frame_rate else ""
            camera = "camera still" if look.stationary else "camera moves"
            told.append(
                f"{look.name}: {look.size[1]}x{look.size[0]}, {look.frames} frames{rate}; {camera}, "
                f"{look.changing:.1%} of a frame changes, residual {look.residual:.1f}/255, noise {look.noise:.1f}/255"
            )
        told.append(f"about {self.objects} moving objects, {self.side:.0f} px wide, {self.speed:.1f} px per frame")
        told += [f"{proposal.name} = {proposal.value}: {proposal.reason}" for proposal in self.proposals]
        return told + [f"warning: {text}" for text in self.warnings]


def inspect(
    files: Sequence[str | Path], layout: str | None = None, key: str | None = None, stream: int | None = None
) -> FootageReport:
    """Look at footage and propose how to train on it.

    Args:
        files: Video files, folders of frames, folders of these, or array files.
        layout: Axes of array files.
        key: Name of the array in npz and h5 files.
        stream: Which video of files with several.

    Raises:
        InputError: There is nothing to look at, or a file cannot be read.
    """
    readers = [reader for file in files for reader in read_videos(file, layout=layout, key=key, stream=stream)]
    if not readers:
        raise InputError("files", "no footage was given.", "Name video files or folders of frames.")
    few = readers[:: -(-len(readers) // _MOST_FILES)]
    looks = tuple(_look(reader, *_runs(reader, max(_LOOK_FRAMES // len(few), 60), layout, key)) for reader in few)
    counts, sides, speeds = (
        np.concatenate([getattr(look, name) for look in looks]) for name in ("counts", "sides", "speeds")
    )
    objects = round(float(np.percentile(counts, 90))) if sides.size else 0
    side = _typical(sides)
    speed = float(np.median(speeds)) if speeds.size else 0.0
    return FootageReport(looks, objects, side, speed, _propose(looks, objects, side, speed), _warn(looks, sides.size))


def _runs(reader: VideoReader, most: int, layout: str | None, key: str | None) -> tuple[list[np.ndarray], int]:
    """Read runs of neighbouring frames, small; returns arrays (T, h, w, 3) and the number of frames known of."""
    expected = reader.length_hint
    scale = min(1.0, _LOOK_SIDE / max(reader.source_size))
    size = (max(8, round(reader.source_size[0] * scale)), max(8, round(reader.source_size[1] * scale)))
    length = most if expected is None or expected <= most else most // _WINDOWS
    starts = [0] if length == most else [(expected - length) * i // (_WINDOWS - 1) for i in range(_WINDOWS)]  # type: ignore[operator]
    runs: list[np.ndarray] = []
    for start in starts:
        again = read_videos(reader.path, size=size, start=start, stop=start + length, **reader.choices)  # type: ignore[arg-type]
        small = next(r for r in again if r.name == reader.name)
        images = []
        with suppress(InputError) if runs else nullcontext():  # a header may promise more frames than there are
            images = [frame.image for frame in small]
        runs += [np.stack(images)] if images else []
    return runs, max(expected or 0, len(runs[0]))


def _look(reader: VideoReader, runs: list[np.ndarray], known: int) -> FileLook:
    """Measure one video."""
    scale = reader.source_size[0] / runs[0].shape[1]
    frames = np.concatenate(runs)
    difference = _difference(frames)
    noise = float(np.median(difference[:, ::2, ::2])) / _MEDIAN_OF_LARGEST
    moving = _without_specks(difference > max(_LEAST_CONTRAST, 6 * noise))
    places, areas, times = _without_fragments(*_parts(moving))
    changing = float(moving.mean())
    return FileLook(
        name=reader.name,
        size=reader.source_size,
        frames=known,
        frame_rate=reader.frame_rate,
        noise=noise,
        residual=float(difference.mean()),
        changing=changing,
        stationary=changing < 0.35 and noise < _STILL_NOISE and not (changing > 0.1 and _shifted(frames)),
        counts=np.bincount(times, minlength=len(frames)),
        sides=np.sqrt(areas) * scale,
        speeds=_speeds(places, areas, times, np.cumsum([len(run) for run in runs])) * scale,
        region=_region(moving, scale),
    )


def _difference(frames: np.ndarray) -> np.ndarray:
    """Return how far every pixel is from the median over time, uint8 (T, h, w); changes of all light are taken out."""
    few = frames[:: -(-len(frames) // _FOR_BACKGROUND)]
    background = np.median(few, axis=0).astype(np.int16)
    result = np.empty(frames.shape[:3], np.uint8)
    for frame, out in zip(frames, result, strict=True):
        signed = frame.astype(np.int16) - background
        signed -= np.median(signed[::4, ::4], axis=(0, 1)).astype(np.int16)
        out[:] = np.minimum(np.abs(signed).max(-1), 255)
    return result


def _without_specks(moving: np.ndarray) -> np.ndarray:
    """Drop single pixels and close small holes, frame by frame."""
    from scipy import ndimage

    cross = ndimage.generate_binary_structure(2, 1)[None]
    opened = ndimage.binary_opening(moving, cross)
    return ndimage.binary_closing(opened, np.ones((1, 5, 5), bool))


def _parts(moving: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centre (row, column), area and frame of every connected part of every frame, specks left out."""
    from scipy import ndimage

    within_frame = np.zeros((3, 3, 3), bool)
    within_frame[1] = True
    labels, count = ndimage.label(moving, within_frame)
    times, rows, columns = np.nonzero(labels)
    owners = labels[times, rows, columns]
    areas = np.bincount(owners, minlength=count + 1)
    sums = [np.bincount(owners, weights=values, minlength=count + 1) for values in (rows, columns, times)]
    keep = np.flatnonzero(areas >= max(_LEAST_AREA * moving[0].size, 4))
    keep = keep[keep > 0]
    places = np.stack([total[keep] / areas[keep] for total in sums[:2]], -1)
    return places, areas[keep], np.rint(sums[2][keep] / areas[keep]).astype(int)


def _without_fragments(
    places: np.ndarray, areas: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop parts whose side is less than a quarter of the typical one."""
    keep = np.sqrt(areas) >= _typical(np.sqrt(areas)) / 4
    return places[keep], areas[keep], times[keep]


def _typical(sides: np.ndarray) -> float:
    """Return the side for which half of all moving pixels lie in larger parts; 0 for none."""
    order = np.sort(sides)
    covered = np.cumsum(order**2)
    return float(order[np.searchsorted(covered, covered[-1] / 2)]) if len(order) else 0.0


def _speeds(places: np.ndarray, areas: np.ndarray, times: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return how far parts move from frame to frame, in pixels looked at; those that rest are left out."""
    found = []
    for time in np.setdiff1d(np.arange(ends[-1]), ends - 1):
        here, there = np.flatnonzero(times == time), np.flatnonzero(times == time + 1)
        for one in here if len(there) else ():
            apart = np.sqrt(((places[there] - places[one]) ** 2).sum(-1))
            nearest = apart.argmin()
            ratio = areas[there[nearest]] / areas[one]
            if 0.5 < ratio < 2 and 0.15 < apart[nearest] < np.sqrt(areas[one]):
                found.append(apart[nearest])
    return np.array(found)


def _region(moving: np.ndarray, scale: float) -> tuple[int, int, int, int] | None:
    """Return the box in which anything moves in at least one frame of a hundred."""
    often = moving.mean(0) >= 0.01
    if not often.any():
        return None
    rows, columns = np.flatnonzero(often.any(1)), np.flatnonzero(often.any(0))
    top, left, bottom, right = (round(v * scale) for v in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    return top, left, bottom - top, right - left


def _shifted(frames: np.ndarray) -> bool:
    """Return whether whole frames move: frames some way apart differ much less when one is shifted onto the other."""
    grey = frames[..., 1].astype(np.float32)
    lag = max(1, min(10, len(grey) // 4))
    moved = [_explained(grey[t], grey[t + lag]) for t in np.linspace(0, len(grey) - 1 - lag, 9).astype(int)]
    return bool(np.median(moved) > 0.5)


def _explained(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether a shift, found by phase correlation, takes away a third of the difference of two frames."""
    spectrum = np.fft.rfft2(other) * np.conj(np.fft.rfft2(one))
    peak = np.fft.irfft2(spectrum / (np.abs(spectrum) + 1e-6), one.shape).argmax()
    shift = [int(v) for v in np.unravel_index(peak, one.shape)]
    shifted = np.roll(one, shift, (0, 1))
    return float(np.abs(other - shifted).mean()) < 2 / 3 * float(np.abs(other - one).mean())


def _propose(looks: tuple[FileLook, ...], objects: int, side: float, speed: float) -> tuple[Proposal, ...]:
    crop, seen = _crop(looks)
    shrink = 1 / np.sqrt(seen[0] * seen[1])  # frames become square
    size = next((size for size in _SIZES if side * size * shrink >= _OBJECT_PIXELS), _SIZES[-1] if side else _SIZES[0])
    advance = float(speed * size * shrink)
    step = min(max(round(1 / advance), 1), _LONGEST_STEP) if advance else 1
    shortest = min(look.frames for look in looks)
    shares, step, length = _fit_clips(shortest, step)
    slots = min(max(objects + 2, 3), 10)
    proposals = [
        Proposal("size", [size, size], f"a typical object is then about {side * size * shrink:.0f} pixels wide.")
        if side
        else Proposal("size", [size, size], "nothing moves that would need more."),
        Proposal("slots", slots, f"{objects} objects move at a time; one slot more for the background and one spare."),
        Proposal("frame_step", step, f"a typical object then moves about {advance * step:.1f} pixels per frame."),
        Proposal("clip_length", length, f"the smallest part of the shortest file ({shortest} frames) has room for it."),
    ]
    if crop is not None:
        proposals.insert(1, Proposal("crop", list(crop), "the largest square that holds what moves."))
    if shares != (0.8, 0.1, 0.1):
        proposals.append(Proposal("shares", list(shares), "the footage is short; validation and test need room."))
    return tuple(proposals)


def _crop(looks: tuple[FileLook, ...]) -> tuple[tuple[int, int, int, int] | None, tuple[int, int]]:
    """Return a square around all motion where one fits into all frames, and the (H, W) that is then seen."""
    height, width = looks[0].size
    regions = [look.region for look in looks if look.region is not None]
    short = min(height, width)
    if height == width or not regions or any(look.size != looks[0].size for look in looks):
        return None, (height, width)
    low = np.min([region[:2] for region in regions], axis=0)
    high = np.max([(region[0] + region[2], region[1] + region[3]) for region in regions], axis=0)
    if (high - low).max() > short:
        return None, (height, width)
    corner = np.clip((low + high - short) // 2, 0, np.array([height, width]) - short)
    return (int(corner[0]), int(corner[1]), short, short), (short, short)


def _fit_clips(frames: int, step: int) -> tuple[tuple[float, float, float], int, int]:
    """Return shares, frame step and clip length with which every split of a file has room for a clip."""
    options = [((0.8, 0.1, 0.1), s) for s in range(step, 0, -1)] + [((0.5, 0.25, 0.25), 1)]
    for shares, each in options:
        room = _least_room(frames, shares)
        length = min(_LONGEST_CLIP, (room - 1) // each + 1)
        if length >= _LONGEST_CLIP // 2:
            return shares, each, length
    return shares, 1, max(1, min(_LONGEST_CLIP, room))


def _least_room(frames: int, shares: tuple[float, float, float]) -> int:
    """Return the length of the shortest part of a file, the gap before it taken off."""
    blocks = [time_block(split, frames, shares, int(0.02 * frames)) for split in SPLITS]
    return min(stop - first for first, stop in blocks)


def _warn(looks: tuple[FileLook, ...], parts: int) -> tuple[str, ...]:
    told = []
    for look in looks:
        if not look.stationary:
            told.append(f"{look.name}: the camera seems to move; the numbers above are guesses.")
        if look.frames < 100:
            told.append(f"{look.name}: only {look.frames} frames; a model needs hundreds at least.")
    if not parts:
        told.append("nothing moves that could be told from noise; objects are learned from motion and appearance.")
    return tuple(told)
