"""The LDS prior, which suppresses slots that explain the same thing (BMVC 2021; lds.md 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIGMA = 0.1
"""Standard deviation of the prior over cosines."""


def cosines(latents: Tensor) -> Tensor:
    """Return the cosines of all pairs of latents (B, K, Z), shape (B, K, K)."""
    unit = latents.float() / latents.float().norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return unit @ unit.transpose(-1, -2)


def duplicate_log_prior(latents: Tensor) -> Tensor:
    """Return sum over ordered pairs h != j of log N(S_hj; 0, 0.1²), S the cosines of latents (B, K, Z); shape (B,)."""
    slots = latents.shape[1]
    others = 1 - torch.eye(slots, device=latents.device)
    constant = -math.log(SIGMA) - 0.5 * math.log(2 * math.pi)
    return ((constant - 0.5 * (cosines(latents) / SIGMA).square()) * others).sum((1, 2))
