"""Importance weights of posterior samples: log p(x, z) - log q(z | x), from which log p(x) is estimated.

Source: LDS (BMVC 2021) section 3.3, eq. 6; lds.md 4.4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scenewise.variational.gaussian import Gaussian, seeded_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    Likelihoods = Callable[[int, Tensor], dict[str, Tensor]]

_AT_ONCE = 25


@torch.no_grad()
def importance_log_weights(
    posterior: Gaussian, prior: Gaussian, log_likelihood: Likelihoods, samples: int, seed: int = 0
) -> dict[str, Tensor]:
    """Return log p(x | z) + log p(z) - log q(z | x) in nats for samples of all K slots jointly.

    Densities are normalised and every weight of training is 1. Memory does not grow with the number of samples; the
    first of many samples are those of few.

    Args:
        posterior: q, shapes (N, K, Z).
        prior: p(z), shapes (N, K, Z).
        log_likelihood: From the number of an image and latents (S, K, Z) to log p(x | z), shape (S,), by name of a
            variant; the plain one is named "".
        samples: How many.
        seed: Of the samples; each image draws its own.

    Returns:
        Shape (N, samples), float64, by name of the variant.
    """
    weights: dict[str, list[Tensor]] = {}
    for n in range(len(posterior.mean)):
        q, p = (Gaussian(g.mean[n], g.log_variance[n]) for g in (posterior, prior))
        for chunk, first in enumerate(range(0, samples, _AT_ONCE)):
            noise = seeded_noise((_AT_ONCE, *q.mean.shape), seed, n, chunk, device=q.mean.device)
            latents = q.sample(noise[: samples - first])  # (S, K, Z)
            ratio = _log_density(latents, p) - _log_density(latents, q)
            for name, likelihood in log_likelihood(n, latents).items():
                weights.setdefault(name, []).append(likelihood.double() + ratio)
    return {name: torch.cat(parts).unflatten(0, (-1, samples)) for name, parts in weights.items()}


def _log_density(latents: Tensor, of: Gaussian) -> Tensor:
    """Return the log density of latents (S, K, Z), summed over K and Z in float64, shape (S,)."""
    mean, log_variance = of.mean.double(), of.log_variance.double()
    each = -0.5 * ((latents.double() - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))
    return each.sum((1, 2))
