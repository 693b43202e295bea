"""Several videos in lock-step: the model explains a frame of each in one call, which costs less than calls for each."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from scenewise.variational.gaussian import same_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from scenewise.batch.job import FrameCount, Outcome, Task
    from scenewise.batch.worker import Worker
    from scenewise.decompose.clip import Clip
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decompose.result import Request
    from scenewise.decomposition import Decomposition, FrameResult
    from scenewise.models.contract import State

Step = tuple["Decomposition", "State", "State"]
"""What a model says of a frame of one video, and the states before and after it."""


def work_together(
    worker: Worker, group: Sequence[Task], tell: Callable[[FrameCount], None], end: Callable[[Outcome], None]
) -> None:
    """Do tasks side by side, each in a thread that reads and writes while the model takes a frame of all.

    A model that explains clips as wholes, or that draws each over a picture of its own, does them one after the other.

    Args:
        worker: Does the tasks.
        group: The tasks.
        tell: Hears how far each is, from one thread at a time.
        end: Hears what came of each.
    """
    model = worker.decomposer.model
    if model.window > 1 or model.takes_background:
        for task in group:
            end(worker.work(task, tell))
        return
    turns = threading.Lock()
    together = LockStep(worker.decomposer, worker.request, len(group))

    def tell_in_turn(count: FrameCount) -> None:
        with turns:
            tell(count)

    def work(place: int, task: Task) -> None:
        """Take one video apart, its frames explained beside those of the others."""
        outcome = worker.work(task, tell_in_turn, lambda clip: together.stream(place, clip))
        together.leave(place)  # one that failed before its first frame must not keep the others waiting
        with turns:
            end(outcome)

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in enumerate(group)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class LockStep:
    """A model that waits for a frame of every video that still runs, and explains them in one call.

    Every video has the noise that it has by itself, so that results differ by rounding alone from those one by one.

    Args:
        decomposer: The model.
        request: Slots, refinements and seed.
        videos: How many there are; all begin at their first frame.
    """

    def __init__(self, decomposer: Decomposer, request: Request, videos: int) -> None:
        self._decomposer, self._request = decomposer, request
        self._running = list(range(videos))
        self._rows = list(range(videos))  # which row of the state is whose
        self._frames: dict[int, Tensor] = {}
        self._steps: dict[int, Step] = {}
        self._error: Exception | None = None
        self._changed = threading.Condition()
        with same_noise(videos):
            self._state = decomposer.initial_state(videos, request.slots, request.seed)

    def stream(self, place: int, clip: Clip) -> Iterator[FrameResult]:
        """Yield one result per frame of the video at a place, as `Decomposer.stream` does for one alone.

        Raises:
            InputError: The video cannot be read, or the model gave no finite numbers.
        """
        try:
            for frame in clip:
                image = torch.from_numpy(frame.given.copy()).permute(2, 0, 1)  # (C, H, W)
                part, before, after = self._step(place, image)
                part = part.labelled(self._request.labels)
                yield self._decomposer.result_of(frame, part, before, after, self._request.seed)
        finally:
            self.leave(place)

    def leave(self, place: int) -> None:
        """Wait for a video no more; leaving twice does nothing."""
        with self._changed:
            if place in self._running:
                self._running.remove(place)
                self._advance()

    def _step(self, place: int, image: Tensor) -> Step:
        with self._changed:
            self._frames[place] = image
            self._advance()
            self._changed.wait_for(lambda: place in self._steps or self._error is not None)
            if self._error is not None:
                raise self._error
            return self._steps.pop(place)

    def _advance(self) -> None:
        """Explain a frame of every running video, where all are here."""
        if not self._running or self._frames.keys() != set(self._running):
            return
        try:
            if self._rows != self._running:
                rows = [self._rows.index(place) for place in self._running]
                self._state, self._rows = _rows_of(self._state, rows), list(self._running)
            images = torch.stack([self._frames[place] for place in self._rows])  # (B, C, H, W)
            before = self._state
            with same_noise(len(self._rows)):
                parts, self._state = self._decomposer.step(images, before, self._request.refinements)
            for row, place in enumerate(self._rows):
                part = replace(parts, **{name: values[row : row + 1] for name, values in parts.tensors().items()})
                self._steps[place] = (part, _rows_of(before, [row]), _rows_of(self._state, [row]))
        except Exception as error:  # told by every video, each in its own thread
            self._error = error
        self._frames = {}
        self._changed.notify_all()


def _rows_of(state: State, rows: list[int]) -> State:
    """Return the state of some of the videos; numbers that all share stay."""
    return {name: values[rows] if values.ndim else values for name, values in state.items()}
