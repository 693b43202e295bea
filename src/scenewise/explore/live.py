"""A camera or a stream under a model, as it comes: always the newest frame, in memory that does not grow."""

from __future__ import annotations

import itertools
import re
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.decompose.clip import as_image
from scenewise.errors import InputError
from scenewise.explore.exploration import Exploration
from scenewise.explore.moment import Moment
from scenewise.explore.recording import recording
from scenewise.models.contract import Decodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decompose.request import Request
    from scenewise.models.contract import State

PATIENCE = 10.0
"""Seconds that a frame is waited for."""

MOMENTS = 48
"""Frames that can be looked at again."""

_ADDRESS = re.compile(r"(rtsp|rtsps|rtmp|udp|tcp|srt|http|https)://", re.IGNORECASE)
_CAMERA = re.compile(r"camera:(\d{1,3})")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}"), "win32": ("dshow", "video={}")}


def is_live(text: str) -> bool:
    """Return whether a text names a camera or a stream.

    Examples:
        >>> [is_live(text) for text in ("camera:0", "rtsp://host/1", "clip.mp4", "balls-colour#3")]
        [True, True, False, False]
    """
    return bool(_ADDRESS.match(text) or _CAMERA.fullmatch(text))


def live_frames(text: str) -> Iterator[np.ndarray]:
    """Yield the frames of a camera or a stream, uint8, shape (H, W, 3), as they come.

    Args:
        text: "camera:N", or an address such as "rtsp://host/path".

    Raises:
        InputError: It cannot be opened, or breaks off.
    """
    import av

    camera = _CAMERA.fullmatch(text)
    kind, name = _CAMERAS.get(sys.platform, (None, "{}")) if camera else (None, text)
    options = {"rtsp_transport": "tcp"} if text.lower().startswith("rtsp") else {}
    try:
        file = name.format(camera.group(1)) if camera else name
        with av.open(file, format=kind, options=options, timeout=(PATIENCE, PATIENCE)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError, IndexError) as error:
        remedy = "Check that it is connected, and that no other program has it."
        raise InputError(text, f"cannot be read: {error}.", remedy) from error


class LiveExploration(Exploration):
    """Frames as they come: each that is asked for is the newest, and those that came meanwhile are dropped.

    Args:
        decomposer: The model.
        name: For titles.
        frames: Yields frames, uint8, shape (H, W, 3); read in a thread of its own.
        request: Slots, refinements and seed.

    Attributes:
        dropped: Frames that nobody looked at so far.
    """

    def __init__(
        self, decomposer: Decomposer, name: str, frames: Callable[[], Iterator[np.ndarray]], request: Request
    ) -> None:
        super().__init__(decomposer, request)
        if decomposer.model.window > 1:
            raise InputError(decomposer.name, "explains clips as wholes.", "Use a model that goes frame by frame.")
        self.name, self.length, self.dropped = name, None, 0
        self._newest: tuple[int, np.ndarray] | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._came = threading.Condition()
        self._state: State | None = None
        self._taken = -1
        self._count = 0
        self._moments: OrderedDict[int, Moment] = OrderedDict()
        threading.Thread(target=self._read, args=(frames,), name="live", daemon=True).start()

    def moment(self, number: int) -> Moment:
        """Return a frame that was looked at before, or, as the next number, the newest.

        Raises:
            InputError: The stream has ended or breaks off, or the frame is no longer there.
        """
        if number in self._moments:
            return self._moments[number]
        if number < self._count:
            raise InputError(self.name, f"frame {number} is no longer there.", f"The last {MOMENTS} are.")
        index, image = self._wait()
        missed, self._taken = index - self._taken - 1, index
        self.dropped += missed
        moment = self._explain(index, image, missed)
        self._moments[self._count] = moment
        self._count += 1
        while len(self._moments) > MOMENTS:
            self._moments.popitem(last=False)
        return moment

    def anew(self, request: Request) -> Exploration:
        """Return the frame that was looked at last as a video of its own."""
        from scenewise.decompose.clip import open_clip
        from scenewise.explore.exploration import VideoExploration

        frames = np.stack([moment.image for moment in self._moments.values()][-1:])
        return VideoExploration(self.decomposer, open_clip(frames, self.decomposer.frame_shape), request)

    def _explain(self, index: int, image: np.ndarray, missed: int) -> Moment:
        model, request = self.decomposer.model, self.request
        own = as_image(image, self.decomposer.frame_shape, resize=True)
        tensor = torch.from_numpy(np.require(own, requirements=["W", "C"])).permute(2, 0, 1)[None]
        before = self._state or self.decomposer.initial_state(1, request.slots, request.seed)
        with recording(model) as decodes:
            part, self._state = model.step(tensor.to(self.decomposer.device).float() / 255, before, request.refinements)
        context = decodes[-1].context if decodes else None
        state = model.drawing_state(before, self._state, context) if isinstance(model, Decodes) else before
        order = self._state["order"][0] if "order" in self._state else None
        note = f"{missed} frames came meanwhile and were dropped, {self.dropped} in all." if missed else ""
        return Moment(model, index, None, own, part, state, order, decodes, None, note)

    def _wait(self) -> tuple[int, np.ndarray]:
        with self._came:
            self._came.wait_for(lambda: self._newest is not None or self._ended, PATIENCE)
            newest, self._newest = self._newest, None
        if newest is not None:
            return newest
        if isinstance(self._error, InputError):
            raise self._error
        problem = "has ended." if self._ended else f"gave no frame for {PATIENCE:g} seconds."
        raise InputError(self.name, problem, "Start it again.")

    def _read(self, frames: Callable[[], Iterator[np.ndarray]]) -> None:
        try:
            for index, image in zip(itertools.count(), frames(), strict=False):
                with self._came:
                    self._newest = (index, image)
                    self._came.notify()
        except Exception as error:  # told to whoever asks for the next frame
            self._error = error
        finally:
            with self._came:
                self._ended = True
                self._came.notify()


def open_live(decomposer: Decomposer, text: str, request: Request) -> Any:
    """Return a camera or a stream under a model, once its first frame has come.

    Raises:
        InputError: It cannot be opened.
    """
    exploration = LiveExploration(decomposer, text, lambda: live_frames(text), request)
    exploration.moment(0)
    return exploration
