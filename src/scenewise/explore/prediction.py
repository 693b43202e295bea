"""From a frame on: how a model thinks that a video goes on, once or in several samples."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.decomposition import as_picture
from scenewise.errors import InputError
from scenewise.models.contract import Predictor
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenewise.explore.exploration import VideoExploration
    from scenewise.models.contract import State

MOST_STEPS, MOST_SAMPLES = 200, 16


@dataclass(frozen=True)
class Future:
    """How a video may go on.

    Attributes:
        images: uint8, shape (S, T, h, w, 3), one row for each sample.
        labels: The slot that owns each pixel, shape (S, T, h, w).
        truth: What came, uint8, shape (t, h, w, C); t < T where the video ends before, 0 where nothing is known.
    """

    images: np.ndarray
    labels: np.ndarray
    truth: np.ndarray

    @property
    def mse(self) -> np.ndarray:
        """Squared error per pixel and channel, for colours in [0, 1], shape (S, t)."""
        truth = as_picture(self.truth / np.float32(255)).astype(np.float32)
        return np.square((self.images[:, : len(truth)] - truth) / 255).mean((2, 3, 4))


@torch.no_grad()
def predict(exploration: VideoExploration, number: int, steps: int, samples: int = 1) -> Future:
    """Let a model go on from a frame.

    Args:
        exploration: Of a video.
        number: The last frame that it sees.
        steps: T.
        samples: S; from 2 on the latents of predicted frames are drawn from their prior where the model has a choice.

    Raises:
        InputError: The model cannot predict, or a number is out of range.
    """
    model = exploration.decomposer.model
    if not isinstance(model, Predictor):
        raise InputError(exploration.decomposer.name, "cannot predict.", "Use a model that can, such as PROVIDE.")
    for name, value, most in (("steps", steps, MOST_STEPS), ("samples", samples, MOST_SAMPLES)):
        if not 1 <= value <= most:
            raise InputError(name, f"must lie in [1, {most}]; found {value}.")
    state = exploration.state_after(number)
    images, labels = [], []
    for sample in range(samples):
        start = _under_seed(state, sample)
        with _drawing_samples(model, samples > 1):
            part, _ = model.predict(start, steps)
        images.append(as_picture(part.reconstruction[0].movedim(1, -1).cpu().numpy()))
        labels.append(part.labels[0].cpu().numpy().astype(np.uint8))
    return Future(np.stack(images), np.stack(labels), _truth(exploration, number, steps))


def _under_seed(state: State, sample: int) -> State:
    """Return a state whose noise to come is another for each sample; the first goes on as it would have."""
    if not sample or "seed" not in state:
        return state
    other = {**state, "seed": state["seed"] + sample}
    if "first_noise" in state:  # what all frames of a video share
        noise = state["first_noise"]
        other["first_noise"] = seeded_noise(tuple(noise.shape), int(other["seed"]), 0, 0, device=noise.device)
    return other


def _truth(exploration: VideoExploration, number: int, steps: int) -> np.ndarray:
    frames = []
    for step in range(1, steps + 1):
        try:
            frames.append(np.asarray(exploration.frame(number + step).given))
        except InputError:
            break
    shape = exploration.decomposer.frame_shape
    return np.stack(frames) if frames else np.zeros((0, *shape[1:], shape[0]), np.uint8)


@contextmanager
def _drawing_samples(model: Predictor, wanted: bool) -> Iterator[None]:
    """Let a model draw predicted latents from their prior in place of taking its mean, where it has the choice."""
    config = model.config
    model.config = model.sampling() if wanted else config
    try:
        yield
    finally:
        model.config = config
