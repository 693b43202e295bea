"""The clips of every training step, by number: nothing is remembered, so a run can continue anywhere.

All that is random in them depends on nothing but (seed, purpose, step, row).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from scenewise.errors import InputError
from scenewise.training.recipe import clip_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from scenewise.data.contract import Source
    from scenewise.training.recipe import TrainingPart


_PURPOSES = ("order", "offset", "noise", "seed")


class ClipBatch(TypedDict):
    """What one process sees of one part of a step's batch; ground truth is not part of it.

    Attributes:
        frames: uint8, shape (n, T, C, H, W).
        noise: Posterior noise, float32, shape (n, ...), or an empty tensor for models that take a seed only.
        step: The training step, from 0.
        rows: Rows of the step's batch, n of them.
        indices: Videos, n of them.
        seed: A seed for models that take no noise.
        viewpoints: Float32, shape (n, T, D), or an empty tensor for models that take none.
        background: uint8, shape (n, C, H, W), or an empty tensor where the source knows none or the model takes none.
    """

    frames: Tensor
    noise: Tensor
    step: int
    rows: list[int]
    indices: list[int]
    seed: int
    viewpoints: Tensor
    background: Tensor


class Clips(Dataset[ClipBatch]):
    """All parts of all steps from `first` on, for one process.

    Args:
        source: Training videos.
        training: The settings.
        noise_shapes: Shape of one row's posterior noise by clip length; empty for models that take a seed only.
        first: First step.
        rank: Number of this process.
        world: Number of processes.
        viewpoints: Whether the model takes viewpoints.
        background: Whether it takes a background picture.
    """

    def __init__(
        self,
        source: Source,
        training: TrainingPart,
        noise_shapes: dict[int, tuple[int, ...]],
        first: int = 0,
        rank: int = 0,
        world: int = 1,
        viewpoints: bool = False,
        background: bool = False,
    ) -> None:
        self.source, self.training, self.noise_shapes = source, training, noise_shapes
        self.first, self.rank, self.world = first, rank, world
        self.viewpoints, self.background = viewpoints, background

    def __len__(self) -> int:
        """Return the number of parts left."""
        return (self.training.steps - self.first) * self.training.accumulation

    def __getitem__(self, position: int) -> ClipBatch:
        """Return one part of one step."""
        step, part = divmod(position, self.training.accumulation)
        step += self.first
        rows = self.rows(part)
        indices = videos_of_rows(self.training.seed, step, self.training.batch, rows, len(self.source))
        length = clip_length(self.training, step)
        span = (length - 1) * self.training.frame_step + 1
        if self._together:
            begins = [self._begin(step, 0, self.source.length(indices[0]), length, span)] * len(rows)
        else:
            times = [self.source.length(index) for index in indices]
            begins = [self._begin(step, row, time, length, span) for row, time in zip(rows, times, strict=True)]
        viewpoints = torch.empty(0)
        if self.viewpoints:  # of the views that `_frames` shows
            every = self.training.frame_step
            views = [self.source.viewpoints(i, b, span)[::every] for i, b in zip(indices, begins, strict=True)]
            viewpoints = torch.from_numpy(np.stack(views).astype(np.float32))
        shape = self.noise_shapes.get(length)
        noise = np.zeros(0, np.float32) if shape is None else noise_of_rows(self.training.seed, step, rows, shape)
        seed = int(random_stream(self.training.seed, "seed", step, rows[0]).integers(2**31))
        return ClipBatch(
            frames=torch.from_numpy(self._frames(indices, begins, span)),
            noise=torch.from_numpy(noise),
            step=step,
            rows=rows,
            indices=indices,
            seed=seed,
            viewpoints=viewpoints,
            background=backgrounds(self.source, indices) if self.background else torch.empty(0),
        )

    def rows(self, part: int) -> list[int]:
        """Return the rows of the batch that this process computes in one part."""
        share = self.training.batch // (self.training.accumulation * self.world)
        begin = (part * self.world + self.rank) * share
        return list(range(begin, begin + share))

    @property
    def _together(self) -> bool:
        """Whether a batch is made at once, all its clips with the same first frame."""
        return self.source.together and self.source.facts.frames is not None

    def _frames(self, indices: Sequence[int], begins: Sequence[int], span: int) -> np.ndarray:
        every = self.training.frame_step
        if self._together:
            return np.ascontiguousarray(self.source.batch(indices, begins[0], span)[0][:, ::every])
        return np.stack([self.source.sample(i, b, span).frames[::every] for i, b in zip(indices, begins, strict=True)])

    def _begin(self, step: int, row: int, frames: int, length: int, span: int) -> int:
        """Return the first frame of a clip: anywhere, or at a multiple of the clip's length."""
        usable = min(frames, self.training.max_frame or frames)
        if usable < span:
            raise InputError(
                "training.curriculum",
                f"clips of {length} frames with frame_step {self.training.frame_step} need {span} frames; "
                f"the video has {usable}.",
                "Use shorter clips or a smaller frame_step.",
            )
        random = random_stream(self.training.seed, "offset", step, row)
        if self.training.random_offset:
            return int(random.integers(usable - span + 1))
        stride = length * self.training.frame_step
        return int(random.integers((usable - span) // stride + 1)) * stride


def backgrounds(source: Source, chosen: Sequence[int]) -> Tensor:
    """Return the background pictures of videos, uint8, shape (n, C, H, W); empty where the source does not know one."""
    pictures = [source.background(index) for index in chosen]
    frames = [picture for picture in pictures if picture is not None]
    return torch.from_numpy(np.stack(frames)) if len(frames) == len(pictures) else torch.empty(0)


def random_stream(seed: int, purpose: str, step: int, row: int = 0) -> np.random.Generator:
    """Return the generator of one purpose ("order", "offset", "noise" or "seed") at one step and row of the batch."""
    place = (_PURPOSES.index(purpose) << 60) | (row << 40) | step
    return np.random.Generator(np.random.Philox(key=np.array([seed, place], np.uint64)))


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    return random_stream(seed, "order", epoch).permutation(length)


def videos_of_rows(seed: int, step: int, batch: int, rows: Sequence[int], length: int) -> list[int]:
    """Return which videos the rows of a step's batch show: every epoch is a new order of all `length` videos."""
    places = (step * batch + row for row in rows)
    return [int(_order(seed, place // length, length)[place % length]) for place in places]


def noise_of_rows(seed: int, step: int, rows: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the posterior noise of some rows, float32, shape (len(rows), *shape).

    A row's noise is the same however the batch is divided among devices and accumulations.
    """
    return np.stack([random_stream(seed, "noise", step, row).standard_normal(shape, np.float32) for row in rows])


class InOrder(torch.utils.data.Sampler[int]):
    """Positions 0, 1, 2 ... without a list of them."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        """Return how many."""
        return self.length

    def __iter__(self) -> Iterator[int]:
        """Count."""
        return iter(range(self.length))
