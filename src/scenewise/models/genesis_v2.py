"""GENESIS-V2: inferring unordered object representations without iterative refinement (NeurIPS 2021, arXiv 2104.09958).

A U-Net gives every pixel an embedding, which starts as its place. Masks are carved without a network: a random map u
picks a seed pixel where most is left unexplained, pixels of like embedding go to its slot, and so on; the last slot
takes the rest. So slots have no order of size or depth. A slot's latent is read from the mean of features under its
mask; all slots are decoded at once, and the masks that are reconstructed with are the decoder's, a softmax. The loss
is GENESIS's (monet_genesis.md 3), with the autoregressive prior over latents and beta from GECO:

    L = err + beta KL + gamma KL(attention masks || decoded masks), the last term off by default, decoded side fixed.

Symbols of the paper used here: e embedding; alpha = exp(-|e - e_seed|² / s) with s trained, which starts at 1 / (K ln
2); the scope, what slots so far have left. u is made of the noise, so that an image's slots do not depend on its
batch.

`masks` says which masks a decomposition shows, and so which are scored; its reconstruction is made with them, its
likelihood always with the decoded ones. `dynamic_slots` stops in evaluation mode as soon as a new mask covers fewer
than `dynamic_pixels` pixels: that slot takes all that is left, and slots after it have masks of 0, so that K keeps
its meaning in batches and videos (the official code does this for single images).

What differs from the official code, where the specification says nothing: the feature head is a block and a 1x1
convolution, all layers of the decoder have the same width. `fast` is ours and learns soonest on small hardware:
narrower, fewer groups (norms of few channels forget colours), a smaller sigma and goal, and a beta that starts low
(from 1 on, latents are empty before the decoder has learned to use them).

Published: ShapeStacks foreground ARI 0.80, ObjectsRoom 0.82. Ours: the recipe `genesis-v2-multi-dsprites`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, ImageModel, Samples, register_model
from scenewise.nn.layers import arranged, coordinates
from scenewise.nn.unet import AttentionUNet, Block, count_blocks
from scenewise.variational.autoregressive import AutoregressivePrior
from scenewise.variational.duplicates import DuplicateSettings
from scenewise.variational.explanation import AttentionExplanation, KlForm
from scenewise.variational.gaussian import Gaussian, gaussian_by_spread
from scenewise.variational.geco import Balances, Geco, GecoSettings
from scenewise.variational.likelihood import Mixture, masked_log_likelihood
from scenewise.variational.stick_breaking import carved, mask_divergence

if TYPE_CHECKING:
    from collections.abc import Mapping

_COARSE = 16  # size over size of the grid the decoder begins on: four doublings
_LEAST, _MOST = 0.01, 0.99  # of alpha
_NOTHING = -1e4  # log mask of a slot that is not there


@dataclass(frozen=True)
class GenesisV2Config:
    """Settings of GENESIS-V2; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=16, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(5, "K, slots including background", minimum=1, maximum=256)
    latent: int = setting(64, "Z, latent size of a slot", minimum=1, maximum=1024)
    sigma: float = setting(0.7, "Standard deviation of a pixel", minimum=1e-3, maximum=10)
    mixture: Mixture = setting("channel", "Mixture joint over channels, or per channel")
    kl: KlForm = setting("sample", "KL at the sample, or in closed form given slots before")
    geco: GecoSettings = setting(GecoSettings(), "How the KL's weight adapts")
    mask_kl_weight: float = setting(0.0, "gamma, weight of KL(attention masks || decoded masks)", minimum=0)
    masks: Literal["decoded", "attention"] = setting("decoded", "Masks that are shown and scored")
    dynamic_slots: bool = setting(False, "Stop carving in evaluation where a new mask is small")
    dynamic_pixels: float = setting(20.0, "Fewer pixels than this are small", minimum=0, maximum=1_000_000)
    encoder_channels: int = setting(64, "Width of U-Net and segmentation head", minimum=8, maximum=1024)
    code: int = setting(128, "Width of the U-Net's bottom", minimum=1, maximum=4096)
    embedding: int = setting(8, "Size of a pixel's embedding, place included", minimum=2, maximum=256)
    gate: float = setting(0.0, "Start of the gate of what is learned in it (0: place alone)", minimum=-10, maximum=10)
    features: int = setting(128, "Channels of the feature head", minimum=1, maximum=4096)
    hidden: int = setting(128, "Width of the layer from a slot's features to its posterior", minimum=1, maximum=4096)
    decoder_channels: int = setting(64, "Width of the decoder", minimum=8, maximum=1024)
    groups: int = setting(8, "Groups of all group norms", minimum=1, maximum=64)
    prior_hidden: int = setting(256, "Size of the prior's LSTM state", minimum=1, maximum=4096)
    duplicates: DuplicateSettings = setting(DuplicateSettings(), "The LDS prior against duplicate slots (BMVC 2021)")

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        count_blocks(self.size)
        for name, width in (("encoder_channels", self.encoder_channels), ("decoder_channels", self.decoder_channels)):
            if width % self.groups:
                raise InputError(name, f"must be divisible by groups = {self.groups}; found {width}.")


PRESETS: dict[str, Any] = {
    "paper": {},
    "objects-room": {"slots": 7},
    "shapestacks": {"slots": 9},
    "fast": {
        "sigma": 0.3, "mixture": "pixel", "kl": "analytic", "latent": 32, "encoder_channels": 16, "features": 64,
        "decoder_channels": 24, "groups": 2,
        "geco": {"mse_target": 0.002, "start": 0.01, "step": 3e-6, "limits": [1e-3, 1e3]},
    },
    "tiny": {
        "size": [16, 16], "slots": 3, "latent": 8, "encoder_channels": 8, "code": 16, "gate": 0.1, "features": 16,
        "hidden": 16, "decoder_channels": 8, "prior_hidden": 16,
    },
}  # fmt: skip


class Segmenter(nn.Module):
    """Pixel embeddings, and masks carved around random seeds.

    Args:
        config: The model's settings.
    """

    def __init__(self, config: GenesisV2Config) -> None:
        super().__init__()
        width = config.encoder_channels
        self.block = Block(width, width, config.groups)
        self.learned = nn.Conv2d(width, config.embedding, 1)
        self.gate = nn.Parameter(torch.tensor(config.gate))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.slots * math.log(2))))
        self.place: Tensor
        place = functional.pad(coordinates(*config.size), (0, 0, 0, 0, config.embedding - 2, 0))  # (E, H, W)
        self.register_buffer("place", place, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the embeddings (N, E, H, W) of features (N, c, H, W)."""
        return (self.gate * self.learned(self.block(features)) + self.place).float()  # type: ignore[no-any-return]

    def carve(self, embeddings: Tensor, chances: Tensor, slots: int) -> Tensor:
        """Return log masks (N, K, 1, H, W).

        Args:
            embeddings: Shape (N, E, H, W).
            chances: u, uniform in [0, 1], shape (N, 1, H, W).
            slots: K.
        """
        pixels = embeddings.flatten(2)  # (N, E, H * W)

        def logit(log_scope: Tensor) -> Tensor:
            """Return logits of the mask about the pixel with the largest chance that is left."""
            seed = (chances * log_scope.detach().exp()).flatten(1).argmax(1)
            chosen = pixels.gather(2, seed[:, None, None].expand(-1, pixels.shape[1], 1))  # (N, E, 1)
            away = (pixels - chosen).square().sum(1).view_as(log_scope)  # (N, 1, H, W)
            alpha = (-away / self.log_scale.exp()).exp()
            return (alpha + (alpha.clamp(_LEAST, _MOST) - alpha).detach()).logit()  # gradients pass straight through

        return carved(logit, torch.zeros_like(chances), slots)


class Decoder(nn.Module):
    """Draws all slots from a grid at 1/16 of the size, doubled four times.

    Args:
        config: The model's settings.
    """

    def __init__(self, config: GenesisV2Config) -> None:
        super().__init__()
        width = config.decoder_channels
        self.grid: Tensor
        coarse = coordinates(config.size[0] // _COARSE, config.size[1] // _COARSE)
        self.register_buffer("grid", coarse, persistent=False)
        inputs = [config.latent + 2, width, width, width]
        self.layers = nn.ModuleList(nn.ConvTranspose2d(n, width, 5, 2, 2, 1) for n in inputs)
        self.norms = nn.ModuleList(nn.GroupNorm(config.groups, width) for _ in inputs)
        self.output = nn.Conv2d(width, config.channels + 1, 1)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Take (N, K, Z); return mask logits (N, K, 1, H, W) and appearance (N, K, C, H, W)."""
        vector = latents.flatten(0, 1)[:, :, None, None].expand(-1, -1, *self.grid.shape[1:])
        x = arranged(torch.cat([vector, self.grid.expand(len(vector), -1, -1, -1)], 1))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.relu_(norm(layer(x)))
        planes = self.output(x).float().unflatten(0, latents.shape[:2])
        return planes[:, :, :1], planes[:, :, 1:].sigmoid()


@register_model("genesis-v2")
class GenesisV2(Balances, ImageModel, Samples, Decodes):
    """The model; frames of a video are explained one by one."""

    config_class: ClassVar[type] = GenesisV2Config
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    slot_symmetric: ClassVar[bool] = False
    config: GenesisV2Config

    def __init__(self, config: GenesisV2Config | None = None) -> None:
        super().__init__()
        config = config or self.config_class()
        self.config = config
        width = config.encoder_channels
        self.encoder = AttentionUNet(
            config.channels, width, config.size, None, norm="group", groups=config.groups, code=config.code
        )
        self.segmenter = Segmenter(config)
        self.features = nn.Sequential(Block(width, width, config.groups), nn.Conv2d(width, config.features, 1))
        self.head = nn.Sequential(
            nn.LayerNorm(config.features),
            nn.Linear(config.features, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 2 * config.latent),
        )
        self.decoder = Decoder(config)
        self.prior = AutoregressivePrior(config.latent, config.prior_hidden)
        self.geco = Geco(config.geco, config.sigma, self.frame_shape)

    # -- what training asks -------------------------------------------------------------------------------------

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return err + beta KL, KL of the masks and the LDS prior as weighted, shape (B,)."""
        total = terms["nll"] + self.geco.beta * terms["kl"] + self.config.duplicates.weight * terms["duplicates"]
        return total + self.config.mask_kl_weight * terms["mask_kl"]

    def terms(self, explanation: Any) -> dict[str, Tensor]:
        """Return NLL, KL, KL of the masks and the LDS prior in nats per image, (N,), of an `AttentionExplanation`."""
        return {
            "nll": -explanation.log_likelihood,
            "kl": explanation.kl(self.config.kl).sum((1, 2)),
            "mask_kl": mask_divergence(explanation.attention, explanation.decoded.detach()),
            "duplicates": self.config.duplicates.loss(explanation.latents, explanation.posterior.mean),
        }

    # -- one image ----------------------------------------------------------------------------------------------

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return the shape of `noise`: (B, T, draws, K, Z); the first draw is the posterior's, the others make u."""
        *_, count, latent = super().noise_shape(batch, frames, slots, refinements)
        pixels = math.prod(self.config.size)
        return (batch, frames, 1 + math.ceil(pixels / (count * latent)), count, latent)

    def explain(self, images: Tensor, noise: Tensor) -> AttentionExplanation:
        """Explain images; see `ImageModel.explain`."""
        features = self.encoder(images)
        attention, present = self.attend(features, noise[:, 1:])
        posterior = self.infer(features, attention)
        latents = posterior.sample(noise[:, 0])
        logits, appearance = self.decoder(latents)
        prior = self.prior(latents)
        if present is not None:
            logits = logits.masked_fill(~present[:, :, None, None, None], _NOTHING)
            posterior, prior = (Gaussian(*(part * present.unsqueeze(-1) for part in g)) for g in (posterior, prior))
        drawing = logits.log_softmax(1)
        sigmas = images.new_full((latents.shape[1],), self.config.sigma)
        likelihood = masked_log_likelihood(images, appearance, drawing, sigmas, self.config.mixture)
        log_masks = attention if self.config.masks == "attention" else drawing
        return AttentionExplanation(log_masks, appearance, latents, posterior, prior, likelihood, attention, drawing)

    def attend(self, features: Tensor, draws: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return log masks (N, K, 1, H, W), and which slots are there, (N, K), where their number is found.

        Args:
            features: Shape (N, c, H, W).
            draws: Standard normal, shape (N, draws, K, Z); their ranks in the normal distribution are u.
        """
        height, width = self.config.size
        chances = torch.special.ndtr(draws.flatten(1)[:, : height * width]).view(-1, 1, height, width)
        log_masks = self.segmenter.carve(self.segmenter(features), chances, draws.shape[2])
        if self.training or not self.config.dynamic_slots:
            return log_masks, None
        return stopped(log_masks, self.config.dynamic_pixels)

    def infer(self, features: Tensor, log_masks: Tensor) -> Gaussian:
        """Return q of features (N, c, H, W) under log masks (N, K, 1, H, W), each part (N, K, Z)."""
        masks = log_masks.exp().flatten(2)  # (N, K, H * W)
        sums = masks @ self.features(features).float().flatten(2).transpose(1, 2)  # (N, K, features)
        return gaussian_by_spread(self.head(sums / (masks.sum(2, keepdim=True) + 1e-5)))

    # -- drawing ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decode(self, latents: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """Draw latents; see `Decodes.decode`. Nothing of `state` is needed."""
        logits, appearance = self.decoder(latents)
        return logits.softmax(1), appearance

    def imagine(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw new scenes from the prior, slot after slot; see `Samples`."""
        return self.decode(self.prior.draw(noise))


def stopped(log_masks: Tensor, pixels: float) -> tuple[Tensor, Tensor]:
    """Return log masks as they are where carving stops at the first that covers fewer than so many pixels.

    Args:
        log_masks: Shape (N, K, 1, H, W); the last slot holds what the others left.
        pixels: Least sum of a mask over the frame.

    Returns:
        Log masks of the same shape, and which slots are there, bool, shape (N, K).
    """
    count = log_masks.shape[1]
    small = log_masks.exp().sum((2, 3, 4)) < pixels
    small[:, -1] = True  # what is left always has a slot
    last = small.int().argmax(1, keepdim=True)  # (N, 1), the first of them
    place = torch.arange(count, device=log_masks.device)
    as_slots = (..., None, None, None)
    remainder = log_masks.masked_fill((place < last)[as_slots], _NOTHING).logsumexp(1, keepdim=True)
    masks = torch.where((place == last)[as_slots], remainder, log_masks)
    present = place <= last
    return masks.masked_fill(~present[as_slots], _NOTHING), present
