"""Black-and-white frames as mixtures of slots: who owns each pixel, and what that costs (rnem.md 3, 6 and 9).

Slot k draws psi_k, how probable white is at every pixel; all slots are equally probable before the pixel is seen. The
E-step gives gamma_k, the probability that slot k made the pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FLOOR = 1e-6  # added to likelihoods, and the least psi and 1 - psi in logarithms
_WHITE = 0.1  # psi from which a predicted pixel counts as white: low, so that balls do not fade away


@torch.no_grad()
def responsibilities(psi: Tensor, frame: Tensor) -> Tensor:
    """Return gamma: the E-step, without a graph.

    Args:
        psi: Shape (B, K, C, H, W).
        frame: Shape (B, C, H, W), 0 and 1; anything between is the probability of white.

    Returns:
        Shape (B, K, 1, H, W), sums to 1 over K. The channels of a pixel belong to one slot: likelihoods multiply.
    """
    white = frame.unsqueeze(1)
    each = (white * psi + (1 - white) * (1 - psi)).prod(2, keepdim=True) + _FLOOR
    return each / each.sum(1, keepdim=True)


@torch.no_grad()
def imagined_responsibilities(psi: Tensor) -> Tensor:
    """Return gamma where there is no frame: that of what the slots predict themselves, shape (B, K, 1, H, W)."""
    return responsibilities(psi, (psi.amax(1) > _WHITE).to(psi.dtype))


@torch.no_grad()
def settled(gamma: Tensor, psi: Tensor, frame: Tensor | None, ink_of_slots: Tensor) -> Tensor:
    """Return gamma with black pixels given to the slot that draws least, where it may own them (ours).

    Where no slot draws ink, every slot explains black equally well: the E-step leaves it to chance who owns the
    background. A slot may own a pixel where its psi is within 0.1 of the least there.

    Args:
        gamma: Shape (B, K, 1, H, W).
        psi: Shape (B, K, C, H, W).
        frame: Shape (B, C, H, W); None where there is none: then black is where no slot predicts white.
        ink_of_slots: How much each slot draws, shape (B, K).
    """
    ink = psi.amax(2, keepdim=True)
    slots = torch.arange(psi.shape[1], device=psi.device)
    emptiest = (ink_of_slots.argmin(1, keepdim=True) == slots)[:, :, None, None, None].to(gamma.dtype)
    light = ink.amax(1, keepdim=True) if frame is None else frame.amax(1, keepdim=True).unsqueeze(1)
    near = (ink * emptiest).sum(1, keepdim=True) <= ink.amin(1, keepdim=True) + _WHITE
    return torch.where((light <= _WHITE) & near, emptiest, gamma)


def log_likelihood(psi: Tensor, frame: Tensor) -> Tensor:
    """Return log p(frame) in nats under equally probable slots, shape (B,); arguments as of `responsibilities`."""
    each = -_cross_entropy(psi, frame.unsqueeze(1)).sum(2)  # (B, K, H, W)
    return (each.logsumexp(1) - math.log(psi.shape[1])).sum((1, 2))


def losses(
    psi: Tensor, frame: Tensor, gamma: Tensor, black: float = 0.0, pixels: Tensor | None = None
) -> dict[str, Tensor]:
    """Return what a prediction costs in nats per sample, each of shape (B,) (rnem.md 6).

    Args:
        psi: Shape (B, K, C, H, W).
        frame: The frame that was to be predicted, shape (B, C, H, W).
        gamma: Shape (B, K, 1, H, W); no gradient reaches it.
        black: Probability of white where a slot owns nothing.
        pixels: Weight of each pixel, shape (B, 1, H, W); all 1 where None. Pixels in collisions give the relational
            loss.

    Returns:
        "intra", each slot's cross entropy where it owns; "inter", KL(black || psi) where it does not; "upper_intra" and
        "upper_inter", both of the brightest slot at every pixel of the whole frame: the same whatever gamma and K.
    """
    white, gamma = frame.unsqueeze(1), gamma.detach()
    brightest = psi.amax(1, keepdim=True)
    each = {
        "intra": gamma * _cross_entropy(psi, white),
        "inter": (1 - gamma) * _from_black(psi, black),
        "upper_intra": _cross_entropy(brightest, white),
        "upper_inter": _from_black(brightest, black),
    }
    weight = 1.0 if pixels is None else pixels.unsqueeze(1)
    return {name: (weight * values).sum((1, 2, 3, 4)) for name, values in each.items()}


def _cross_entropy(psi: Tensor, white: Tensor) -> Tensor:
    psi = psi.float().clamp(_FLOOR, 1 - _FLOOR)
    return -(white * psi.log() + (1 - white) * (1 - psi).log())


def _from_black(psi: Tensor, black: float) -> Tensor:
    """Return KL(Bernoulli(black) || Bernoulli(psi)) per element; ratios are kept in [1e-6, 1e6] (code)."""
    psi = psi.float()
    on, off = black / psi.clamp_min(_FLOOR), (1 - black) / (1 - psi).clamp_min(_FLOOR)
    return black * on.clamp(_FLOOR, 1 / _FLOOR).log() + (1 - black) * off.clamp(_FLOOR, 1 / _FLOOR).log()
