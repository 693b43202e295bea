"""Masks by stick breaking, and the divergence between two sets of masks (MONet, GENESIS; monet_genesis.md 1.1, 1.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_LOG = -14.0
"""Below this (a mask of 8e-7) log masks and scopes are cut where a network sees them (monet_genesis.md 1.7)."""

_LEAST_MASK = 1e-5


def broken_stick(logits: Tensor) -> Tensor:
    """Return log masks of K slots from K - 1 logits that are known at once.

    Slot k takes the share sigmoid(logit k) of what slots before it left; the last slot takes all that is left.

    Args:
        logits: Shape (B, K - 1, 1, H, W); K = 1 is K - 1 = 0.

    Returns:
        log m, float32, shape (B, K, 1, H, W); its exponentials sum to 1 over K.
    """
    logits = logits.float()
    one = (logits.shape[0], 1, *logits.shape[2:])
    nothing = torch.zeros_like(logits[:, :1]) if logits.shape[1] else logits.new_zeros(one)
    scopes = torch.cat([nothing, functional.logsigmoid(-logits).cumsum(1)], 1)
    return torch.cat([scopes[:, :-1] + functional.logsigmoid(logits), scopes[:, -1:]], 1)


def carved(attend: Callable[[Tensor], Tensor], start: Tensor, slots: int) -> Tensor:
    """Return log masks of K slots, each logit drawn by a network that sees what slots before it left.

    Args:
        attend: Takes the log scope (B, 1, H, W), not cut, and returns the next slot's logit (B, 1, H, W). It is called
            K - 1 times.
        start: The log scope at the beginning, zeros of shape (B, 1, H, W).
        slots: K.

    Returns:
        log m, float32, shape (B, K, 1, H, W).
    """
    scope, masks = start.float(), []
    for _ in range(slots - 1):
        logit = attend(scope).float()
        masks.append(scope + functional.logsigmoid(logit))
        scope = scope + functional.logsigmoid(-logit)
    return torch.stack([*masks, scope], 1)


def mask_divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """Return KL(q || p) between two categorical distributions of every pixel over slots, in nats per sample.

    Both are cut below at 1e-5 and made to sum to 1 again (monet_genesis.md 1.4); gradients flow into both.

    Args:
        log_q: Log masks, shape (B, K, 1, H, W); MONet's attention.
        log_p: Log masks, same shape; MONet's decoder.

    Returns:
        Shape (B,), summed over pixels.
    """
    least = math.log(_LEAST_MASK)
    log_q, log_p = (t.float().clamp_min(least).log_softmax(1) for t in (log_q, log_p))
    return (log_q.exp() * (log_q - log_p)).sum((1, 2, 3, 4))
