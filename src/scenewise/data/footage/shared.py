"""One background picture for many videos of one camera.

What stands still in one video all the time is in that video's emptiest picture. Over many videos of one camera things
stand here and there, and every place is seen empty. Lamps may differ from video to video: frames are compared, and
brought together, under the light of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.footage.background import LEAST_FRAMES, emptiest
from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.data.contract import Source

_TURN = 0.6180339887  # of a video, from one to the next: such times lie evenly, however many there are
_kept: dict[tuple[str, int], np.ndarray] = {}


def shared_picture(source: Source, videos: int = 120) -> np.ndarray:
    """Return the emptiest picture of frames of many videos, uint8, shape (C, H, W).

    Videos are taken evenly over the source, of each one frame, earlier in some and later in others. The last picture
    of every source is remembered as long as the process lives.

    Args:
        source: Videos of one camera; their light may differ.
        videos: Number of videos looked at; all where there are fewer.

    Raises:
        InputError: The source has fewer than 20 videos, or they have several cameras.
    """
    count = min(videos, len(source))
    if count < LEAST_FRAMES:
        problem = f"of so many videos a picture of the empty scene is made; found {count}."
        raise InputError("training.picture", problem, f"Give {LEAST_FRAMES} videos or more, or leave it out.")
    key = (source.fingerprint(), count)
    if key not in _kept:
        chosen = np.linspace(0, len(source) - 1, count).round().astype(int).tolist()
        picture = emptiest(np.stack([_frame(source, index, place) for place, index in enumerate(chosen)]))
        if not picture.sound:
            problem = f"the videos have no background picture in common: {'; '.join(picture.reasons)}."
            raise InputError("training.picture", problem, "Leave it out; videos of several cameras have none.")
        _kept[key] = np.ascontiguousarray(np.moveaxis(picture.pixels, -1, 0))
    return _kept[key]


def _frame(source: Source, index: int, place: int) -> np.ndarray:
    """Return one frame of a video, (H, W, C): the later, the larger the fraction of `place` times `_TURN`."""
    time = int(place * _TURN % 1 * source.length(index))
    return np.moveaxis(source.batch([index], time, 1)[0][0, 0], 0, -1)
