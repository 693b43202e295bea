"""How far a model has come with a video: where another process can go on, what went by, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenewise.decompose.clip import ClipFrame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scenewise.models.contract import State


@dataclass
class Course:
    """Where a stream over a video is; whoever runs the stream moves it along.

    Attributes:
        frames: Frames explained so far.
        state: What the model carries on after them; None where it cannot be told: within frames that are explained
            together, and while frames are predicted.
    """

    frames: int = 0
    state: State | None = None


class Past:
    """Frames as they go by, counted.

    Args:
        frames: The frames.

    Attributes:
        count: How many there were so far.
        last: Up to two, the newest last.
    """

    def __init__(self, frames: Iterable[ClipFrame]) -> None:
        self._frames = frames
        self.count, self.last = 0, list[ClipFrame]()

    def __iter__(self) -> Iterator[ClipFrame]:
        """Yield them in order."""
        for frame in self._frames:
            self.count, self.last = self.count + 1, [*self.last, frame][-2:]
            yield frame


def following(last: list[ClipFrame]) -> ClipFrame:
    """Return a frame that nobody saw: index and time go on as before."""
    newest = last[-1]
    step = newest.index - last[0].index or 1
    times = [frame.time_s for frame in last]
    known = len(times) == 2 and None not in times
    time_s = 2 * times[1] - times[0] if known else None  # type: ignore[operator]
    return ClipFrame(newest.index + step, time_s, np.zeros_like(newest.image))
