"""A camera or a stream under a model, as it comes: always the newest frame, in memory that does not grow."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.decompose.clip import as_image, open_clip
from scenewise.decompose.live_background import LiveBackground
from scenewise.errors import InputError
from scenewise.explore.exploration import Exploration, VideoExploration, look_at
from scenewise.explore.moment import Moment
from scenewise.media.live import Newest, live_frames, names_of
from scenewise.media.reading import is_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenewise.decompose.clip import Clip
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decompose.result import Request
    from scenewise.media.reader import MediaFrame

PATIENCE = 10.0
"""Seconds that a frame is waited for."""

MOMENTS = 48
"""Frames that can be looked at again."""


def is_stream(text: str) -> bool:
    """Return whether a text names a camera or a stream, those of web servers among them.

    Examples:
        >>> [is_stream(text) for text in ("camera:0", "rtsp://host/1", "http://host/1", "clip.mp4", "balls-colour#3")]
        [True, True, True, False, False]
    """
    return is_live(text) or text.lower().startswith(("http://", "https://"))


class LiveExploration(Exploration):
    """Frames as they come: each that is asked for is the newest, and those that came meanwhile are dropped.

    Args:
        decomposer: The model.
        name: For titles.
        frames: Yields frames; read in a thread of its own.
        request: Slots, refinements and seed.
        background: The empty scene, as in `Decomposer.decompose`; learned as frames come where None.

    Attributes:
        dropped: Frames that nobody looked at so far.
        newest: Hands out the newest frame.
    """

    def __init__(
        self,
        decomposer: Decomposer,
        name: str,
        frames: Callable[[], Iterator[MediaFrame]],
        request: Request,
        background: Any = None,
    ) -> None:
        super().__init__(decomposer, request)
        if decomposer.model.window > 1:
            raise InputError(decomposer.name, "explains clips as wholes.", "Use a model that goes frame by frame.")
        self.name, self.length, self.dropped = name, None, 0
        self.newest = Newest(frames)
        self._state = decomposer.initial_state(1, request.slots, request.seed, background)
        self._background = LiveBackground.over(decomposer.model, self._state, background)
        self._taken = -1
        self._count = 0
        self._moments: OrderedDict[int, Moment] = OrderedDict()

    def moment(self, number: int) -> Moment:
        """Return a frame that was looked at before, or, as the next number, the newest.

        Raises:
            InputError: The stream has ended or breaks off, or the frame is no longer there.
        """
        if number in self._moments:
            return self._moments[number]
        if number < self._count:
            raise InputError(self.name, f"frame {number} is no longer there.", f"The last {MOMENTS} are.")
        frame = self.newest.take(PATIENCE)
        if frame is None:
            if isinstance(self.newest.error, InputError):
                raise self.newest.error
            problem = "has ended." if self.newest.over else f"gave no frame for {PATIENCE:g} seconds."
            raise InputError(self.name, problem, "Start it again.")
        missed, self._taken = frame.index - self._taken - 1, frame.index
        self.dropped += missed
        own, model = as_image(frame.image, self.decomposer.frame_shape, resize=True), self.decomposer.model
        before = self._state if self._background is None else self._background.behind(self._state, [own])
        look = look_at(self.decomposer, self.decomposer.tensor(own), before, self.request.refinements)
        self._state = look.after
        note = f"{missed} frames came meanwhile and were dropped, {self.dropped} in all." if missed else ""
        moment = Moment(model, frame.index, None, own, look.part, look.state, look.order, look.decodes, None, note)
        self._moments[self._count] = moment
        self._count += 1
        while len(self._moments) > MOMENTS:
            self._moments.popitem(last=False)
        return moment

    def anew(self, request: Request) -> VideoExploration:
        """Return the frames that can be looked at again, as a video in which they have the numbers they have here."""
        frames = np.stack([moment.image for moment in self._moments.values()])
        clip = open_clip(frames, self.decomposer.frame_shape, name=self.name)
        return _LastFrames(self.decomposer, clip, request, first=next(iter(self._moments)))


class _LastFrames(VideoExploration):
    """A video that is numbered from where those before it are no longer there."""

    def __init__(self, decomposer: Decomposer, clip: Clip, request: Request, first: int) -> None:
        super().__init__(decomposer, clip, request)
        self._first = first

    def alone(self, number: int) -> Moment:
        """Return a frame by its number in the stream; see `VideoExploration.alone`."""
        return super().alone(number - self._first)


def open_live(decomposer: Decomposer, text: str, request: Request, background: Any = None) -> Any:
    """Return a camera or a stream under a model, once its first frame has come.

    Args:
        decomposer: The model.
        text: What names it, see `is_stream`.
        request: Slots, refinements and seed.
        background: The empty scene, learned as frames come where None.

    Raises:
        InputError: It cannot be opened.
    """
    exploration = LiveExploration(decomposer, names_of(text)[0], lambda: live_frames(text), request, background)
    exploration.moment(0)
    return exploration
