"""One Look: the pixels of an image are divided among slots in a single step of attention.

A small model to begin from, not one from a paper: features of every pixel, K random queries that compete for pixels by
a softmax over slots, a Gaussian posterior from the mean feature of what each query won, and a broadcast decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scenewise.config import setting
from scenewise.models.contract import Decodes, ImageModel, State, register_model
from scenewise.nn.decoders import DecoderSettings, make_slot_decoder
from scenewise.variational.explanation import ImageExplanation
from scenewise.variational.gaussian import Gaussian
from scenewise.variational.likelihood import masked_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class OneLookConfig:
    """Settings of One Look."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(5, "K, number of slots", minimum=1, maximum=256)
    latent: int = setting(16, "Z, size of a slot's latent", minimum=1)
    width: int = setting(32, "Channels of the features", minimum=1)
    decoder: DecoderSettings = setting(DecoderSettings(channels=32), "What draws a slot")
    sigma: float = setting(0.2, "Standard deviation of a pixel", minimum=1e-3)
    kl_weight: float = setting(0.5, "Weight of the KL", minimum=0)


@register_model("onelook")
class OneLook(ImageModel, Decodes):
    """Explains every frame by itself; a slot's noise is what makes it another slot."""

    config_class = OneLookConfig
    presets = MappingProxyType(
        {"paper": {}, "tiny": {"size": [16, 16], "slots": 3, "latent": 8, "width": 8, "decoder": {"channels": 8}}}
    )

    def __init__(self, config: OneLookConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or OneLookConfig()
        self.encoder = nn.Sequential(
            nn.Conv2d(c.channels + 2, c.width, 5, padding=2), nn.ELU(), nn.Conv2d(c.width, c.width, 5, padding=2)
        )
        self.query, self.head = nn.Linear(c.latent, c.width), nn.Linear(c.width, 2 * c.latent)
        self.decoder = make_slot_decoder(c.decoder, c.latent, c.channels, c.size)
        axes = (torch.linspace(-1, 1, side) for side in c.size)
        self.register_buffer("places", torch.stack(torch.meshgrid(*axes, indexing="ij")), persistent=False)

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return (B, T, 2, K, Z): for the queries, and for the posterior sample."""
        return (batch, frames, 2, slots or self.config.slots, self.config.latent)

    def explain(self, images: Tensor, noise: Tensor) -> ImageExplanation:
        """Explain images (N, C, H, W)."""
        places = self.get_buffer("places").expand(len(images), -1, -1, -1)
        features = self.encoder(torch.cat([images, places], 1)).flatten(2)  # (N, width, HW)
        shares = (self.query(noise[:, 0]) @ features / features.shape[1] ** 0.5).softmax(1)  # (N, K, HW), slots compete
        codes = shares @ features.mT / shares.sum(-1, keepdim=True)  # (N, K, width)
        posterior = Gaussian(*self.head(codes).chunk(2, -1))
        latents = posterior.sample(noise[:, 1])
        appearance, logits = self.decoder(latents, latents[..., :0])
        log_masks = logits.log_softmax(1)
        sigmas = latents.new_full(latents.shape[1:2], self.config.sigma)
        likelihood = masked_log_likelihood(images, appearance, log_masks, sigmas)
        return ImageExplanation(log_masks, appearance, latents, posterior, Gaussian.standard(latents), likelihood)

    def terms(self, explanation: ImageExplanation) -> dict[str, Tensor]:
        """Return both parts of the evidence lower bound, each of shape (N,)."""
        return {"nll": -explanation.log_likelihood, "kl": explanation.kl().sum((1, 2))}

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum, shape (B,)."""
        return terms["nll"] + self.config.kl_weight * terms["kl"]

    def decode(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Draw latents (B, K, Z): masks (B, K, 1, H, W) and appearance (B, K, C, H, W)."""
        appearance, logits = self.decoder(latents, latents[..., :0])
        return logits.softmax(1), appearance
