"""A model over something it can explain, frame by frame in any order, with all that a closer look needs."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from scenewise.decompose.clip import clip_at, in_trained_part
from scenewise.decompose.result import Request
from scenewise.errors import InputError
from scenewise.explore.moment import Moment
from scenewise.explore.recording import LateDecodes, recording
from scenewise.models.contract import Decodes, Renders
from scenewise.observation import Observation
from scenewise.variational.gaussian import Gaussian

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenewise.decompose.clip import Clip, ClipFrame
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decomposition import Decomposition
    from scenewise.explore.recording import RecordedDecode
    from scenewise.models.contract import State

LONGEST_WAY = 96
"""Frames that a model with a memory goes through to reach a frame; from farther away its slots begin anew."""

LEAD = 8
"""Frames before a frame at which slots begin anew, so that they have settled."""

STATES, MOMENTS, FRAMES = 512, 48, 256
"""How many of each an exploration of a video keeps for a second look."""


class ModelStep(NamedTuple):
    """What one step of a model gave.

    Attributes:
        part: Its frames taken apart.
        after: The state for the next.
        state: With which the model draws what it drew.
        order: The model's own number of each slot, shape (K,); None where it is the same.
        decodes: What was recorded of models of iterative inference.
    """

    part: Decomposition
    after: State
    state: State
    order: torch.Tensor | None
    decodes: Sequence[RecordedDecode]


def look_at(decomposer: Decomposer, frames: torch.Tensor, before: State, refinements: int | None) -> ModelStep:
    """Let a model explain frames (1, t, C, H, W), and write down what a closer look needs.

    Another runtime than PyTorch shows no decodes: they are made where somebody asks for them.
    """
    model = decomposer.model
    decodes: Sequence[RecordedDecode]

    def recorded() -> tuple[Decomposition, State, list[RecordedDecode]]:
        with recording(model) as decodes:
            return *model.step(frames, before, refinements), decodes

    if model.runner is None:
        part, after, decodes = recorded()
    else:
        part, after = model.step(frames, before, refinements)
        decodes = LateDecodes(lambda: recorded()[-1])
    state = model.drawing_state(before, after) if isinstance(model, Decodes) else before
    return ModelStep(part, after, state, after["order"][0] if "order" in after else None, decodes)


class Exploration(ABC):
    """Frames of one video, or views of one scene, as a model explains them.

    Args:
        decomposer: The model.
        request: Slots, refinements and seed.

    Attributes:
        name: For titles.
        length: Number of frames, None where unknown.
    """

    name: str
    length: int | None

    def __init__(self, decomposer: Decomposer, request: Request) -> None:
        self.decomposer, self.request = decomposer, request

    @abstractmethod
    def moment(self, number: int) -> Moment:
        """Return a frame by its number, from 0.

        Raises:
            InputError: There is no such frame, or the model cannot take it.
        """

    @abstractmethod
    def anew(self, request: Request) -> Exploration:
        """Return an exploration of the same with other slots, refinements or seed."""


class VideoExploration(Exploration):
    """A video; models with a memory are led to the frame wanted, in memory that does not grow.

    Args:
        decomposer: The model.
        clip: What `clip_at` returned, at the model's own size.
        request: Slots, refinements and seed; size and prediction are not looked at.
        background: The empty scene, as in `Decomposer.decompose`.
    """

    def __init__(
        self, decomposer: Decomposer, clip: Clip, request: Request | None = None, background: Any = None
    ) -> None:
        super().__init__(decomposer, request or Request())
        self.clip, self.name, self.length, self._background = clip, clip.name, clip.length_hint, background
        self._frames: OrderedDict[int, ClipFrame] = OrderedDict()
        self._moments: OrderedDict[int, Moment] = OrderedDict()
        self._states: OrderedDict[int, State] = OrderedDict()  # by the number of the frame that comes next
        self._fresh: dict[int, int] = {}  # frames whose slots began anew, and where
        self._running: tuple[int, Iterator[ClipFrame]] | None = None

    @classmethod
    def of(
        cls,
        decomposer: Decomposer,
        video: Any,
        request: Request | None = None,
        *,
        name: str | None = None,
        background: Any = None,
        **reading: Any,
    ) -> VideoExploration:
        """Open a video as `Decomposer.decompose` does, cut to the part that its model was trained on.

        Args:
            decomposer: The model.
            video: A path, a reader, an array, a `Sample`, or frames one by one.
            request: Slots, refinements and seed.
            name: For titles, taken from the video where None.
            background: The empty scene, as in `Decomposer.decompose`.
            **reading: Options of `read_video` where `video` is a path.

        Raises:
            InputError: The video cannot be read.
        """
        video, reading = in_trained_part(video, reading, decomposer.card)
        clip = clip_at(video, decomposer.frame_shape, None, name=name, **reading)
        return cls(decomposer, clip, request, background)

    @property
    def window(self) -> int:
        """How many frames the model explains together."""
        return self.decomposer.model.window

    def moment(self, number: int) -> Moment:
        """Return a frame by its number, from 0; see `Exploration.moment`."""
        if number in self._moments:
            self._moments.move_to_end(number)
            return self._moments[number]
        if number < 0:
            raise InputError(self.name, f"has no frame {number}.", "Count from 0.")
        start = number - number % self.window
        for first in range(self._nearest(start), start + 1, self.window):
            self._explain(first)
        if number not in self._moments:
            raise InputError(self.name, f"has no frame {number}.", "Give a smaller number.")
        return self._moments[number]

    def anew(self, request: Request) -> VideoExploration:
        """Return an exploration of the same video; see `Exploration.anew`."""
        other = VideoExploration(self.decomposer, self.clip, request, self._background)
        other._frames = self._frames
        return other

    def alone(self, number: int) -> Moment:
        """Return a frame with no more frames before it than slots need to settle, whatever was explained before."""
        if number in self._moments:
            return self._moments[number]
        if self.decomposer.model.keeps_slots:
            self._states[max(0, number - LEAD)] = self._begin()
        return self.moment(number)

    def frame(self, number: int) -> ClipFrame:
        """Return a frame as it is given to the model.

        Raises:
            InputError: There is no such frame.
        """
        if number in self._frames:
            return self._frames[number]
        if number < 0:
            raise InputError(self.name, f"has no frame {number}.", "Count from 0.")
        if self._running is None or not 0 <= number - self._running[0] < LEAD:
            self._running = (number, self.clip.since(number))
        at, frames = self._running
        for position, frame in zip(range(at, number + 1), frames, strict=False):
            _remember(self._frames, position, frame, FRAMES)
            self._running = (position + 1, frames)
        if number not in self._frames:
            self._running = None
            raise InputError(self.name, f"has no frame {number}.", "Give a smaller number.")
        return self._frames[number]

    def state_after(self, number: int) -> State:
        """Return the model's state after a frame."""
        self.moment(number)
        return self._states[number - number % self.window + self.window]

    def _nearest(self, start: int) -> int:
        """Return from which frame on the model must go to explain the frames at `start`, and prepare its state."""
        if not self.decomposer.model.keeps_slots:
            nearest = max((n for n in self._states if n <= start), default=None)
            if nearest is None or start - nearest > 2 * self.window:  # linked to nothing that was shown before
                self._states[start] = self._begin()
                return start
            return nearest
        nearest = max((n for n in self._states if n <= start), default=0)
        if start - nearest <= LONGEST_WAY * self.window:
            if nearest not in self._states:
                self._states[nearest] = self._begin()
            return nearest
        first = max(0, start - LEAD * self.window)
        self._states[first] = self._begin()
        self._fresh[first] = first
        return first

    def _begin(self) -> State:
        return self.decomposer.start(self.clip, self.request, self._background)

    def _explain(self, first: int) -> None:
        """Explain the frames from `first` on that the model takes together."""
        clip = list(itertools.islice(self._block(first), self.window))
        if not clip:
            raise InputError(self.name, f"has no frame {first}.", "Give a smaller number.")
        images = torch.cat([self.decomposer.tensor(frame.given) for frame in clip], 1)
        look = look_at(self.decomposer, images, self._states[first], self.request.refinements)
        model, began = self.decomposer.model, self._fresh.get(first)
        note = f"Slots began anew at frame {began}: frames before it were not looked at." if began else ""
        for t, frame in enumerate(clip):
            part, decodes = look.part.frame(t), look.decodes if len(clip) == 1 else []
            facts = (frame.index, frame.time_s, np.asarray(frame.given))
            moment = Moment(model, *facts, part, look.state, look.order, decodes, frame.ids, note)
            _remember(self._moments, first + t, moment, max(MOMENTS, self.window))
        following = first + self.window
        _remember(self._states, following, look.after, STATES)
        if began is not None:
            self._fresh[following] = began
        else:
            self._fresh.pop(following, None)
        if len(self._fresh) > 4 * STATES:
            self._fresh = {n: began for n, began in self._fresh.items() if n in self._states}

    def _block(self, first: int) -> Iterator[ClipFrame]:
        for number in itertools.count(first):
            try:
                yield self.frame(number)
            except InputError:
                if number == first:
                    raise
                return


class SceneExploration(Exploration):
    """Views of one scene under one posterior, of a model that draws scenes from viewpoints.

    Args:
        decomposer: The model.
        name: For titles.
        frames: uint8, shape (V, h, w, C), of the model's size.
        viewpoints: Float32, shape (V, D).
        request: Slots, refinements and seed.
        ids: Shape (V, h, w), or None.
        observed: Views to observe, in their order; all where None.
    """

    def __init__(
        self,
        decomposer: Decomposer,
        name: str,
        frames: np.ndarray,
        viewpoints: np.ndarray,
        request: Request | None = None,
        ids: np.ndarray | None = None,
        observed: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(decomposer, request or Request())
        if not isinstance(decomposer.model, Renders):
            raise InputError(decomposer.name, "does not draw scenes from viewpoints.", "Use a model that does.")
        self.name, self.length = name, len(frames)
        self.images, self.viewpoints, self.ids = frames, viewpoints, ids
        self.observed = tuple(range(len(frames))) if observed is None else observed
        self._moments: dict[int, Moment] = {}

    def moment(self, number: int) -> Moment:
        """Return a view by its number, from 0; see `Exploration.moment`."""
        if not 0 <= number < len(self.images):
            raise InputError(self.name, f"has no view {number}.", f"Give one of 0 to {len(self.images) - 1}.")
        if not self._moments:
            self._explain()
        return self._moments[number]

    @torch.no_grad()
    def _explain(self) -> None:
        device, model, request = self.decomposer.device, self.decomposer.model, self.request
        frames = torch.from_numpy(self.images).movedim(-1, 1)[None].to(device).float() / 255
        cameras = torch.from_numpy(self.viewpoints)[None].to(device)
        observed = list(self.observed)
        observation = Observation(frames[:, observed], None, cameras[:, observed])
        with recording(model) as decodes:
            output = model(observation, request.slots, request.refinements, request.seed)
            refining = list(decodes)
            parts = output.decomposition
        rest = [v for v in range(len(self.images)) if v not in observed]
        for rank, v in enumerate(observed):
            own = [decode for decode in refining if decode.look == rank]
            self._moments[v] = self._view(v, parts.frame(rank), cameras, own)
        if rest:
            q = parts.frame(0)
            posterior = Gaussian(q.mean[:, 0], q.log_variance[:, 0])
            views = model.render(posterior, cameras[:, rest], request.seed)  # type: ignore[operator]
            for place, v in enumerate(rest):
                self._moments[v] = self._view(v, views.frame(place), cameras, [])

    def anew(self, request: Request) -> SceneExploration:
        """Return an exploration of the same scene; see `Exploration.anew`."""
        return SceneExploration(
            self.decomposer, self.name, self.images, self.viewpoints, request, self.ids, self.observed
        )

    def _view(self, view: int, part: Any, cameras: torch.Tensor, decodes: list[Any]) -> Moment:
        ids = None if self.ids is None else self.ids[view]
        note = "" if view in self.observed else "The model has not seen this view."
        state = {"viewpoint": cameras[:, view]}
        model = self.decomposer.model
        return Moment(model, view, None, self.images[view], part, state, None, decodes, ids, note)


def _remember(known: OrderedDict[int, Any], number: int, value: Any, most: int) -> None:
    """Enter a value, and let go of what was entered longest ago where there are too many."""
    known[number] = value
    known.move_to_end(number)
    while len(known) > most:
        known.popitem(last=False)
