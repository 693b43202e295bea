"""How slots explain images, for models that explain every image by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from scenewise.decomposition import Decomposition

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.variational.gaussian import Gaussian

KlForm = Literal["sample", "analytic"]
"""The KL as log q - log p at the sample, or in closed form."""


@dataclass(frozen=True)
class ImageExplanation:
    """N images, each by K slots.

    Attributes:
        log_masks: Shape (N, K, 1, H, W).
        appearance: Shape (N, K, C, H, W).
        latents: Drawn from the posterior, shape (N, K, Z).
        posterior: q, each part (N, K, Z).
        prior: p, each part (N, K, Z); where it is autoregressive, of slot k given the latents of slots before it.
        log_likelihood: log p(x | latents) in nats, shape (N,).
    """

    log_masks: Tensor
    appearance: Tensor
    latents: Tensor
    posterior: Gaussian
    prior: Gaussian
    log_likelihood: Tensor

    def kl(self, form: str = "analytic") -> Tensor:
        """Return KL(q || p) in nats of each dimension, at the sample or in closed form, shape (N, K, Z)."""
        if form == "sample":
            return self.posterior.log_density(self.latents) - self.prior.log_density(self.latents)
        return self.posterior.kl(self.prior)

    @torch.no_grad()
    def decomposition(self, batch: int, time: int) -> Decomposition:
        """Return it as the decomposition of B videos of T frames, N = B T, without a graph; its KL is analytic."""
        kl = self.kl().sum((1, 2))
        parts = (self.log_masks.exp(), self.appearance, *self.posterior, *self.prior, self.log_likelihood, kl)
        return Decomposition(*(part.detach().unflatten(0, (batch, time)) for part in parts))


@dataclass(frozen=True)
class AttentionExplanation(ImageExplanation):
    """Images whose masks are found by an attention and drawn by a decoder; `log_masks` are those that are shown.

    Attributes:
        attention: Log masks of the attention, shape (N, K, 1, H, W).
        decoded: Log masks of the decoder, shape (N, K, 1, H, W).
    """

    attention: Tensor
    decoded: Tensor
