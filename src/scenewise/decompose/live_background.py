"""The picture of what a camera shows where nothing stands in the way, learned and renewed as its frames come.

A file can be looked through before its first frame is explained; of a camera the past is all there is. Its emptiest
picture is made of frames of the last minutes, at first often, since each new one may have seen a place empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.data.footage.background import LEAST_FRAMES, emptiest
from scenewise.decompose.background import emptier, frame_as_tensor, shows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scenewise.decompose.background import Origin
    from scenewise.models.contract import SceneModel, State

MOST_FRAMES = 120
"""Frames that are kept."""

LONGEST_STRIDE = 64
"""Frames from one that is kept to the next, at most: 120 of them reach over five minutes at 25 a second."""

_GROWTH = 2  # frames seen when the picture is made anew over those when it was made last
_RENEWALS = 2  # while all that is kept changes once


class LiveBackground:
    """The picture a camera is drawn over.

    Until 20 frames have come it is the model's own, where that shows the scene, or else the first frame. From then on
    it is the emptiest of what was seen (or the model's, while that shows the same and is as empty), made anew each time
    as many frames again have come, and twice in 7,680 frames later on. Light that changes is the model's
    affair; a chair that was moved is in the picture once most of the frames that are kept show it so.

    Args:
        kept: The picture kept with the model, shape (C, h, w).

    Attributes:
        count: Frames seen so far.
        origin: Whose the picture of the moment is: "model", or "live" where it is of the frames that came.
        reasons: Why it is not sound, sentence by sentence.
    """

    @classmethod
    def over(cls, model: SceneModel, start: State, given: Any = None) -> LiveBackground | None:
        """Return what learns the background of frames that come one by one; None where one is given, or none is drawn.

        Args:
            model: Who explains them.
            start: The state before the first frame.
            given: The empty scene, as in `Decomposer.decompose`.
        """
        return cls(start["background"][0]) if model.takes_background and given is None else None

    def __init__(self, kept: Tensor) -> None:
        self.count = 0
        self.origin: Origin = "model"
        self.reasons: tuple[str, ...] = ()
        self._foreign = False
        self._kept = kept
        self._frames: list[np.ndarray] = []
        self._stride = 1
        self._next = LEAST_FRAMES

    def see(self, frame: np.ndarray) -> Tensor | None:
        """Take in the next frame, and return the picture to draw it over where that is another than for the one before.

        Args:
            frame: uint8, shape (h, w, C).

        Returns:
            Shape (1, C, h, w), of [0, 1]; None where the picture stays.
        """
        if self.count % self._stride == 0:
            self._keep(frame)
        self.count += 1
        if self.count == 1:
            first = frame_as_tensor(frame, self._kept)
            self._foreign = not shows(self._kept, first)
            self.origin = "live" if self._foreign else "model"
            return first if self._foreign else self._kept[None]
        if self.count < self._next:
            return None
        self._next = min(int(_GROWTH * self.count), self.count + MOST_FRAMES * LONGEST_STRIDE // _RENEWALS)
        picture = emptiest(np.stack(self._frames))
        self.reasons = picture.reasons
        own = frame_as_tensor(np.rint(255 * picture.picture).astype(np.uint8), self._kept)
        self.origin = "live" if self._foreign or not emptier(self._kept, own[0]) else "model"
        return own if self.origin == "live" else self._kept[None]

    def behind(self, state: State, frames: Sequence[np.ndarray]) -> State:
        """Take in the next frames, each as `see` does, and return a model's state with the picture behind them."""
        for frame in frames:
            picture = self.see(frame)
            if picture is not None:
                state = state | {"background": picture}
        return state

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the picture, sentence by sentence."""
        learned = "drawn over a background picture that was learned as frames came, the first of them over the first"
        unsound = (
            f"that picture is not sound: {reason}; give a better one with --background" for reason in self.reasons
        )
        return (learned, *unsound) if self.origin == "live" else ()

    def _keep(self, frame: np.ndarray) -> None:
        """Keep a frame; the frames kept lie evenly over what was seen, and later over the last of it."""
        self._frames.append(frame)
        if len(self._frames) <= MOST_FRAMES:
            return
        if self._stride < LONGEST_STRIDE:
            self._stride *= 2
            self._frames = self._frames[::2]
        else:
            self._frames.pop(0)
