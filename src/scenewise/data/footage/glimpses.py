"""Some frames of a video, read before the whole of it is: neighbours from several places, or frames spread evenly."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenewise.media.reader import VideoReader


_AT_ONCE = 3000  # frames


def small_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (H, W) scaled down so that the longer side is `side` pixels at most; never below 8.

    Examples:
        >>> small_size((360, 640), 160), small_size((24, 32), 160)
        ((90, 160), (24, 32))
    """
    scale = min(1.0, side / max(size))
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def neighbours(
    reader: VideoReader, places: int, length: int, size: tuple[int, int], once: bool = False
) -> list[np.ndarray]:
    """Return runs of neighbouring frames from several places of a video.

    Args:
        reader: The video.
        places: How many runs, evenly from the first frame to the last; one where a header does not say how many
            frames there are, or where they would touch.
        length: Frames of each.
        size: (H, W) to read them at.
        once: Read a video of up to 3,000 frames in one go: seeking 20 times takes longer in files without an index.

    Returns:
        Each uint8 (T, H, W, 3), T at most `length`; at least one.

    Raises:
        InputError: The first run cannot be read.
    """
    total = reader.length_hint
    if total is None or total <= places * length:
        starts, length = [0], places * length
    else:
        starts = [(total - length) * place // max(1, places - 1) for place in range(places)]
    if once and total is not None and total <= _AT_ONCE and len(starts) > 1:
        wanted = {start + step for start in starts for step in range(length)}
        images = [frame.image for n, frame in enumerate(reader.part(0, total, size)) if n in wanted]
        return [np.stack(images[n : n + length]) for n in range(0, len(images), length)]
    runs: list[np.ndarray] = []
    for start in starts:
        with suppress(InputError) if runs else nullcontext():  # a header may promise more frames than there are
            runs.append(np.stack([frame.image for frame in reader.part(start, length, size)]))
    return runs


def spread(
    reader: VideoReader,
    most: int,
    size: tuple[int, int],
    progress: Callable[[str, int, int | None], None] | None = None,
) -> np.ndarray:
    """Return frames evenly over a whole video: between `most` and twice as many where it has them.

    Args:
        reader: The video.
        most: See above.
        size: (H, W) to read them at.
        progress: Called with name, frames done and frames expected.

    Returns:
        uint8, shape (T, H, W, C).

    Raises:
        InputError: The video cannot be read.
    """
    step = 1 if reader.length_hint is None else max(1, reader.length_hint // most)
    frames: list[np.ndarray] = []
    whole = reader.part(0, reader.length_hint or 1 << 40, size)
    for number, frame in enumerate(whole):
        if number % step == 0:
            frames.append(frame.image)
        if len(frames) > 2 * most:
            frames, step = frames[::2], 2 * step
        if progress is not None:
            progress(reader.name, number + 1, reader.length_hint)
    reader.problems += [problem for problem in whole.problems if problem not in reader.problems]
    return np.stack(frames)
