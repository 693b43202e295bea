"""Densities of a pixel's channel given a slot's mean: Gaussian or logistic, both by their standard deviation."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from scenewise.variational.gaussian import log_density

PixelDensity = Literal["gaussian", "logistic"]

Mixture = Literal["pixel", "channel"]
"""One mixture of the slots' densities for all channels of a pixel, or one for each."""


def logistic_scale(sigma: float) -> float:
    """Return the scale s of the logistic distribution with standard deviation `sigma` = s pi / sqrt(3)."""
    return sigma * math.sqrt(3) / math.pi


def output_log_density(x: Tensor, mean: Tensor, sigma: float, output: str) -> Tensor:
    """Return log p(x | mean) in nats per element, constants included; `sigma` is a standard deviation."""
    if output == "gaussian":
        return log_density(x, mean, sigma)
    scale = logistic_scale(sigma)
    away = (x - mean) / scale
    return -away - 2 * functional.softplus(-away) - math.log(scale)


def output_gradient(x: Tensor, mean: Tensor, sigma: float, output: str) -> Tensor:
    """Return the derivative of -log p(x | mean) by the mean, per element."""
    if output == "gaussian":
        return (mean - x) / sigma**2
    scale = logistic_scale(sigma)
    return ((mean - x) / (2 * scale)).tanh() / scale


def masked_log_likelihood(
    frame: Tensor, appearance: Tensor, log_masks: Tensor, sigmas: Tensor, mixture: str = "channel"
) -> Tensor:
    """Return log sum_k m_k N(x; mu_k, sigma_k²) summed over pixels, in nats per sample (monet_genesis.md 1.4).

    Args:
        frame: x, shape (B, C, H, W).
        appearance: mu, shape (B, K, C, H, W).
        log_masks: log m, shape (B, K, 1, H, W).
        sigmas: Standard deviation of a pixel in each slot, shape (K,).
        mixture: "pixel", one mixture for all channels; or "channel", one each.

    Returns:
        Shape (B,).
    """
    squares = (appearance.float() - frame.float().unsqueeze(1)).square()
    joint = mixture == "pixel"
    channels = squares.shape[2] if joint else 1
    squares = squares.sum(2, keepdim=True) if joint else squares  # before anything else: a third of the work
    sigma = sigmas.float()[:, None, None, None]
    peak = -channels * (sigma.log() + 0.5 * math.log(2 * math.pi))
    log_n = torch.addcmul(peak + log_masks.float(), squares, -0.5 / sigma.square())
    return torch.logsumexp(log_n, 1).sum((1, 2, 3))
