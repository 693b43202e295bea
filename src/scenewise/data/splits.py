"""The three splits every source knows, and how one long recording is divided among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS = ("train", "validation", "test")
"""Names of the splits, in the order in which one recording is divided."""


def check_split(split: str) -> str:
    """Return `split` if it is one of `SPLITS`.

    Raises:
        InputError: It is not; the message names the nearest spelling.
    """
    if split not in SPLITS:
        raise InputError(split, "is not a split.", nearest(str(split), SPLITS))
    return split


def stream(seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random stream of one generated video; no other seed, split or index has it.

    Args:
        seed: Seed of the generator, below 2 ** 63.
        split: One of `SPLITS`.
        index: Number of the video.
    """
    key = np.array([seed, (SPLITS.index(split) << 56) | index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def uniform(seed: int, split: str, indices: Sequence[int], width: int, skip: int = 0) -> np.ndarray:
    """Return numbers in [0, 1) from the streams of generated videos, shape (N, width).

    Args:
        seed: As of `stream`, like `split`.
        split: One of `SPLITS`.
        indices: Numbers of N videos.
        width: Numbers per video.
        skip: Numbers at the start of each stream that are passed over, such as those of earlier attempts.
    """
    draws = np.empty((len(indices), width))
    for row, index in enumerate(indices):
        numbers = stream(seed, split, index)
        if skip:
            numbers.random(skip)
        numbers.random(out=draws[row])
    return draws


def check_index(index: int, length: int, origin: str) -> int:
    """Return `index` if a source of `length` videos has it.

    Raises:
        IndexError: It does not, so that iterating over a source ends.
    """
    if not 0 <= index < length:
        raise IndexError(f"{origin}: video {index} asked for, it has {length}")
    return int(index)


def check_span(start: int, frames: int | None, length: int, origin: str) -> tuple[int, int]:
    """Return the first frame and the frame after the last one of a span inside a video.

    Args:
        start: First frame.
        frames: Number of frames, or None for all that follow.
        length: Number of frames of the video.
        origin: What is read, for the message.

    Raises:
        InputError: The span does not lie inside the video or is empty.
    """
    stop = length if frames is None else start + frames
    if not 0 <= start < stop <= length:
        span = f"frames {start} to {stop - 1}" if stop > start else f"{stop - start} frames from {start}"
        raise InputError(origin, f"{span} asked for, a video has frames 0 to {length - 1}.", "Ask for a shorter span.")
    return start, stop


def shared_span(present: np.ndarray) -> tuple[int, int]:
    """Return the first run of frames in which all objects are present: its first frame, and the one after its last.

    PROVIDE's authors cut CLEVRER's videos to this run for their tests.

    Args:
        present: Whether an object is present in a frame, shape (T, n).

    Returns:
        (0, 0) where the objects are never all present at once.
    """
    whole = np.asarray(np.all(present, 1))
    if not whole.any():
        return 0, 0
    first = int(whole.argmax())
    return first, first + int(np.append(whole[first:], False).argmin())


def time_block(split: str, length: int, shares: tuple[float, float, float], gap: int = 0) -> tuple[int, int]:
    """Return the block of time (first frame, frame after the last) that one recording gives to a split.

    Args:
        split: One of `SPLITS`.
        length: Number of frames of the recording.
        shares: Part of the recording that each split gets, in the order of `SPLITS`; they sum to 1.
        gap: Frames left out between two blocks.
    """
    place = SPLITS.index(check_split(split))
    first = round(length * sum(shares[:place]))
    last = round(length * sum(shares[: place + 1]))
    return first + (gap if place else 0), max(last, first)
