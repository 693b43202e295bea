"""Settings to train on footage with, from what a look at it found, each with the reason why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.splits import SPLITS, time_block

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROWS = (24, 32, 40, 48)  # pixels of the shorter side
_MULTIPLE = 8  # of which both sides are
_OBJECT_PIXELS = 4.0  # side that the smallest object should have in a training frame
_LONGEST_CLIP, _LONGEST_STEP = 20, 4
_SLOTS, _MOST_SLOTS = 5, 10  # where nothing is known of objects, and at most
_WORTHWHILE = 0.5  # of the frame; a crop that leaves more is none
_MARGIN = 0.1  # of a crop's sides, about what moves
_MOST_UNEVEN = 2.0  # ratio of a crop's sides


@dataclass(frozen=True)
class Proposal:
    """One setting and why.

    Attributes:
        name: The setting.
        value: What it should be.
        reason: A sentence that says why.
    """

    name: str
    value: Any
    reason: str


@dataclass(frozen=True)
class FootageSize:
    """How large a file is, in space and time.

    Attributes:
        size: (H, W) in pixels.
        frames: Number of frames.
        region: Where anything moves: top, left, height, width, or None.
    """

    size: tuple[int, int]
    frames: int
    region: tuple[int, int, int, int] | None


def propose(
    files: Sequence[FootageSize], objects: int, side: float, smallest: float, speed: float
) -> tuple[Proposal, ...]:
    """Return settings for footage.

    Args:
        files: How large each file is.
        objects: Objects at a time in a busy frame.
        side: Side of a typical one in source pixels, 0 for none.
        smallest: Side of a small one.
        speed: Source pixels per frame of a typical one.

    Examples:
        >>> proposals = propose([FootageSize((360, 640), 1000, None)], objects=3, side=80.0, smallest=70.0, speed=2.0)
        >>> for proposal in proposals[:2]:
        ...     print(proposal.name, proposal.value, proposal.reason)
        size [24, 40] the frame's aspect, and the smallest objects are about 5 pixels wide.
        slots 5 3 objects at a time; one slot more for the background and one spare.
    """
    crop = _crop(files)
    seen = files[0].size if crop is None else crop[2:]
    size, scale, reason = _fit_size(seen, smallest)
    advance = speed * scale
    step = min(max(round(1 / advance), 1), _LONGEST_STEP) if advance else 1
    shortest = min(file.frames for file in files)
    shares, step, length = _fit_clips(shortest, step)
    proposals = [
        Proposal("size", list(size), reason),
        Proposal(
            "slots",
            min(objects + 2, _MOST_SLOTS) if objects else _SLOTS,
            f"{objects} objects at a time; one slot more for the background and one spare."
            if objects
            else "nothing is known of how many objects there are.",
        ),
        Proposal(
            "frame_step",
            step,
            f"a typical object then moves about {advance * step:.1f} pixels per frame."
            if advance
            else "nothing is known of how fast objects move.",
        ),
        Proposal("clip_length", length, f"the smallest part of the shortest file ({shortest} frames) has room for it."),
    ]
    if crop is not None:
        proposals.insert(1, Proposal("crop", list(crop), "nothing moves in the rest of the frame."))
    if shares != (0.8, 0.1, 0.1):
        proposals.append(Proposal("shares", list(shares), "the footage is short; validation and test need room."))
    return tuple(proposals)


def _fit_size(seen: tuple[int, ...], smallest: float) -> tuple[tuple[int, int], float, str]:
    """Return (H, W) of training frames, their scale and the reason: the least in which small objects can be seen."""
    short = min(seen)
    rows = next((n for n in _ROWS if smallest * n / short >= _OBJECT_PIXELS), _ROWS[-1] if smallest else _ROWS[1])
    height, width = (max(_MULTIPLE, round(side * rows / short / _MULTIPLE) * _MULTIPLE) for side in seen)
    scale = float(np.sqrt(height * width / (seen[0] * seen[1])))
    if not smallest:
        return (height, width), scale, "the frame's aspect; nothing is known of how large objects are."
    pixels = smallest * scale
    if pixels < _OBJECT_PIXELS - 0.5:
        reason = f"the smallest objects are only {pixels:.1f} pixels wide all the same; crop, or set a larger size."
    else:
        reason = f"the frame's aspect, and the smallest objects are about {pixels:.0f} pixels wide."
    return (height, width), scale, reason


def _crop(files: Sequence[FootageSize]) -> tuple[int, int, int, int] | None:
    """Return a box around all that moves, with a margin, where it leaves less than half of the frame."""
    height, width = files[0].size
    regions = [file.region for file in files if file.region is not None]
    if not regions or any(file.size != files[0].size for file in files):
        return None
    low = np.min([region[:2] for region in regions], axis=0).astype(float)
    high = np.max([(region[0] + region[2], region[1] + region[3]) for region in regions], axis=0).astype(float)
    sides = (high - low) * (1 + 2 * _MARGIN)
    sides = np.minimum(np.maximum(sides, sides.max() / _MOST_UNEVEN), (height, width))
    if sides.prod() > _WORTHWHILE * height * width:
        return None
    corner = np.clip((low + high - sides) / 2, 0, np.array([height, width]) - sides).round().astype(int)
    extent = np.minimum(np.ceil(sides).astype(int), np.array([height, width]) - corner)
    return int(corner[0]), int(corner[1]), int(extent[0]), int(extent[1])


def _fit_clips(frames: int, step: int) -> tuple[tuple[float, float, float], int, int]:
    """Return shares, frame step and clip length with which every split of a file has room for a clip."""
    options = [((0.8, 0.1, 0.1), s) for s in range(step, 0, -1)] + [((0.5, 0.25, 0.25), 1)]
    for shares, each in options:
        blocks = [time_block(split, frames, shares, int(0.02 * frames)) for split in SPLITS]
        room = min(stop - first for first, stop in blocks)  # of the shortest part, the gap before it taken off
        length = min(_LONGEST_CLIP, (room - 1) // each + 1)
        if length >= _LONGEST_CLIP // 2:
            return shares, each, length
    return shares, 1, max(1, min(_LONGEST_CLIP, room))
