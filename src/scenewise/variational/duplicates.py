"""The LDS prior, which suppresses slots that explain the same thing (BMVC 2021; lds.md 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scenewise.config import setting

SIGMA = 0.1
"""Standard deviation of the prior over cosines."""


def cosines(latents: Tensor) -> Tensor:
    """Return the cosines of all pairs of latents (B, K, Z), shape (B, K, K)."""
    unit = latents.float() / latents.float().norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return unit @ unit.transpose(-1, -2)


def duplicate_log_prior(latents: Tensor, sigma: float = SIGMA) -> Tensor:
    """Return the sum over pairs h != j, each twice, of log N(S_hj; 0, sigma²), S cosines of (B, K, Z); shape (B,)."""
    slots = latents.shape[1]
    others = 1 - torch.eye(slots, device=latents.device)
    constant = -math.log(sigma) - 0.5 * math.log(2 * math.pi)
    return ((constant - 0.5 * (cosines(latents) / sigma).square()) * others).sum((1, 2))


@dataclass(frozen=True)
class DuplicateSettings:
    """The prior against duplicate slots as a model's settings want it; it acts in training alone (lds.md 2)."""

    weight: float = setting(0.0, "Weight of the LDS prior against duplicate slots; 0: none", minimum=0)
    on: Literal["sample", "mean"] = setting("sample", "What it is put on: the latents drawn, or their means")
    sigma: float = setting(SIGMA, "Its standard deviation over cosines", minimum=1e-3, maximum=100)

    def loss(self, latents: Tensor, mean: Tensor) -> Tensor:
        """Return minus the log prior in nats per sample, without the weight, shape (B,).

        Args:
            latents: The sample, shape (B, K, Z).
            mean: The posterior's mean, shape (B, K, Z).
        """
        return -duplicate_log_prior(latents if self.on == "sample" else mean, self.sigma)
