"""How uncertain a frame's reconstruction is: its spread over samples of the posterior, worked out when asked for."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from scenewise.decompose.sizes import scaled
from scenewise.models.contract import repeated
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    from torch import Tensor

    from scenewise.models.contract import Decodes, State

SAMPLES = 4
"""Posterior samples that are decoded for a frame."""

_KEY = 1 << 20  # keeps this noise apart from that of the refinements


@dataclass(frozen=True)
class SampleSpread:
    """What the uncertainty of one frame is computed from; it holds on to latents and state, not to what was drawn.

    Attributes:
        model: What draws.
        mean: Posterior mean, in the model's own order of slots, shape (K, Z).
        log_variance: Posterior log-variance, shape (K, Z).
        state: With which the model drew the frame.
        seed: Seed of the samples.
        index: The frame's number in its source: no two frames share their noise.
        size: (H, W) of the results.
        turn: Held while the model draws.
    """

    model: Decodes
    mean: Tensor
    log_variance: Tensor
    state: State
    seed: int
    index: int
    size: tuple[int, int]
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    @torch.no_grad()
    def __call__(self) -> np.ndarray:
        """Return the standard deviation of the reconstruction over posterior samples, shape (H, W)."""
        with self.turn:  # also while noise is moved there: a graph that is captured meanwhile would be lost
            noise = seeded_noise((SAMPLES, *self.mean.shape), self.seed, self.index, _KEY, device=self.mean.device)
            latents = self.mean + (0.5 * self.log_variance).exp() * noise  # (S, K, Z)
            masks, appearance = self.model.decode(latents, repeated(self.state, SAMPLES))
            images = (masks * appearance).sum(1)  # (S, C, H, W)
            distance = images - images.mean(0)
            variance = distance.square().sum((0, 1)) / ((SAMPLES - 1) * images.shape[1])  # `var` takes 30 times as long
            return scaled(variance.sqrt(), self.size).cpu().numpy()
