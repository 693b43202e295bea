"""GECO: training to a goal for the reconstruction, by a weight of the KL that adapts (monet_genesis.md 2.4).

The loss is err + beta KL with err = -log p(x | z). A running mean of err is compared with the goal: beta falls while
reconstruction is worse, so that the model learns to draw first, and rises once it is good enough. The other convention,
a multiplier of the reconstruction (EfficientMORL), is the reciprocal of this one: the two must not be mixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from scenewise.config import setting
from scenewise.variational.gaussian import log_peak

if TYPE_CHECKING:
    from collections.abc import Hashable

BetaUpdate = Literal["exponential", "softplus"]
"""How beta moves: beta exp(step x), or softplus(softplus^-1(beta) + step x), with x = goal - running mean."""

SIDE = 64
"""Height and width of the frames that the step is meant for; it is scaled by 64² / (H W)."""


@dataclass(frozen=True)
class GecoSettings:
    """Settings of GECO; defaults are the official code's."""

    on: bool = setting(True, "Adapt beta; it stays where it starts otherwise")
    mse_target: float = setting(0.0032, "Goal: MSE per channel of a pixel (0.0022 on Sketchy)", minimum=0, maximum=1)
    start: float = setting(1.0, "beta at the start", minimum=1e-10, maximum=1e10)
    step: float = setting(1e-5, "Step per nat of a 64 x 64 frame", minimum=0, maximum=1)
    speed_up: float = setting(10.0, "The step is that much larger where the goal is met", minimum=1, maximum=1000)
    decay: float = setting(0.99, "Decay of the running mean of err", minimum=0, maximum=0.99999)
    update: BetaUpdate = setting("exponential", "beta moves by a factor, or additively below a softplus")
    every: int = setting(1, "Training steps between moves of beta", minimum=1, maximum=100_000)
    limits: tuple[float, float] = setting((1e-10, 1e10), "Smallest and largest beta", minimum=1e-20, maximum=1e20)


def goal(mse_target: float, sigma: float, elements: int) -> float:
    """Return the err in nats of a frame whose elements are off by a mean square of `mse_target`.

    C = 0.5 ln(2 pi) + ln sigma + MSE / (2 sigma²) for each element.

    Args:
        mse_target: Mean squared error of an element.
        sigma: Standard deviation of an element.
        elements: C H W.
    """
    return elements * (mse_target / (2 * sigma**2) - log_peak(sigma))


class Geco(nn.Module):
    """beta and what it follows, kept as buffers: checkpoints hold them, and a resumed run goes on where it was.

    Args:
        settings: How it moves.
        sigma: Standard deviation of a pixel.
        shape: (C, H, W) of the frames.
    """

    def __init__(self, settings: GecoSettings, sigma: float, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.goal = goal(settings.mse_target, sigma, math.prod(shape))
        self.step = settings.step * SIDE**2 / (shape[1] * shape[2])
        self.beta: Tensor
        self.err: Tensor
        self.seen: Tensor
        self.register_buffer("beta", torch.tensor(settings.start))
        self.register_buffer("err", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, err: Tensor) -> None:
        """Take the err of one training step into the running mean, and move beta.

        Args:
            err: -log p(x | z) in nats per frame, any shape; its mean counts.
        """
        if not self.settings.on:
            return
        now, decay = err.float().mean().to(self.err.device), self.settings.decay
        self.err.copy_(torch.where(self.seen == 0, now, decay * self.err + (1 - decay) * now))
        self.seen += 1
        if int(self.seen) % self.settings.every == 0:
            slack = self.goal - self.err
            move = torch.where(slack > 0, self.settings.speed_up, 1.0) * self.step * slack
            if self.settings.update == "exponential":
                beta = self.beta * move.clamp(-50.0, 50.0).exp()
            else:
                raw = self.beta + torch.log(-torch.expm1(-self.beta))  # the inverse of softplus
                beta = nn.functional.softplus(raw + move)
            self.beta.copy_(beta.clamp(*self.settings.limits))


class Balances:
    """What a model does in whose training GECO balances how well frames are drawn against the KL.

    It goes before `SceneModel` among the bases of a model with settings `geco`.
    """

    config: Any
    geco: Geco

    @property
    def adapts_kl_weight(self) -> bool:
        """Whether GECO moves the weight of the KL."""
        on: bool = self.config.geco.on
        return on

    def step_form(self) -> Hashable:
        """Say that steps run the same operations, unless GECO looks at each; see `SceneModel.step_form`."""
        return None if self.config.geco.on else ()

    def end_step(self, output: Any) -> None:
        """Let GECO see how well the step's frames were drawn.

        Args:
            output: What the model's forward pass returned.
        """
        self.geco.update(-output.decomposition.log_likelihood)
