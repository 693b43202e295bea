"""GENESIS: generative scene inference and sampling with object-centric latents (arXiv 1907.13052).

An image is made by K slots, drawn one after another: p(z^m_k | z^m_<k) by an LSTM, then p(z^c_k | z^m_k). The masks
come from the z^m by stick breaking, a slot's appearance from its z^c; pixels are mixtures of Gaussians of one sigma.
So new scenes can be drawn from the prior (`Samples`). Inference goes the same way: an encoder of the image and an
LSTM give q(z^m_k | x, z^m_<k), a network of the image and a slot's mask gives q(z^c_k | x, m_k). The loss is
(monet_genesis.md 2.3)

    L = err + beta (KL_m + KL_c),    err = -sum_i log sum_k m_ik N(x_i; mu_ik, sigma²),

with both KLs by one sample and beta from GECO. `stages: one` is GENESIS-S: one latent of 64 numbers per slot gives
mask logit and appearance at once.

Symbols of the paper used here: z^m the mask latent, z^c the component latent, whose posterior sees log m cut at -14.
A slot's latent in a decomposition is (z^m, z^c). With K = 1 there is nothing to carve: the mask is 1, and z^m is
drawn from its prior, so that the bound holds and the attention is skipped.

What differs from the official code: the last slot's unused mask logit is not drawn; GENESIS-S draws its appearance
with the mask decoder, as nothing else is said; the prior against duplicates (LDS), where it is wanted, is put on the
whole latent of a slot. Batch norms want more than one frame in training; `gated.norm: group` (ours) does not. `fast` is
ours and learns soonest on small hardware: narrower, group norms, early strides, MONet's fast decoder, a smaller sigma
and goal (monet_genesis.md 2.6).

Published: Multi-dSprites of 1 to 4 sprites, foreground ARI 0.57 and FID 25.0; ShapeStacks 0.71. It fails on CLE-MV.
Results vary between runs. Ours: the recipe `genesis-multi-dsprites`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, ImageModel, Samples, register_model
from scenewise.nn.decoders import DecoderSettings, make_decoder
from scenewise.nn.gated import GatedDecoder, GatedEncoder, GatedSettings, check_batch
from scenewise.nn.layers import pooled
from scenewise.nn.slot_autoencoder import SlotEncoderSettings, make_slot_encoder
from scenewise.variational.autoregressive import AutoregressivePrior, ConditionalPrior
from scenewise.variational.duplicates import DuplicateSettings
from scenewise.variational.explanation import ImageExplanation, KlForm
from scenewise.variational.gaussian import Gaussian, gaussian_by_spread
from scenewise.variational.geco import Balances, Geco, GecoSettings
from scenewise.variational.likelihood import Mixture, masked_log_likelihood
from scenewise.variational.stick_breaking import LEAST_LOG, broken_stick

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class GenesisConfig:
    """Settings of GENESIS; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(5, "K, slots including background", minimum=1, maximum=256)
    stages: Literal["two", "one"] = setting("two", "Mask and component latents, or one for both (GENESIS-S)")
    mask_latent: int = setting(64, "Size of z^m, or of GENESIS-S's one latent", minimum=1, maximum=1024)
    component_latent: int = setting(16, "Size of z^c", minimum=1, maximum=1024)
    sigma: float = setting(0.7, "Standard deviation of a pixel", minimum=1e-3, maximum=10)
    mixture: Mixture = setting("channel", "Mixture joint over channels, or per channel")
    kl: KlForm = setting("sample", "KLs at the sample, or in closed form given slots before")
    geco: GecoSettings = setting(GecoSettings(), "How the KL's weight adapts")
    gated: GatedSettings = setting(GatedSettings(), "The mask networks' layers")
    features: int = setting(256, "Size of the image's code h", minimum=1, maximum=4096)
    inference_hidden: int = setting(128, "Size of the inference LSTM's state", minimum=1, maximum=4096)
    prior_hidden: int = setting(256, "Size of the prior's LSTM state and MLP layers", minimum=1, maximum=4096)
    encoder: SlotEncoderSettings = setting(SlotEncoderSettings(activation="elu"), "What infers z^c")
    decoder: DecoderSettings = setting(
        DecoderSettings("unpadded", (32, 32, 32, 32), activation="elu"), "What draws a slot's appearance from z^c"
    )
    duplicates: DuplicateSettings = setting(DuplicateSettings(), "The LDS prior against duplicate slots (BMVC 2021)")

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        self.gated.check(self.size, {"features": self.features})
        self.decoder.check_size(self.size)
        if self.decoder.is_flat:
            raise InputError("decoder.colour", "is 'flat', which is for decoders that draw masks too.", "Use image.")

    @property
    def latent(self) -> int:
        """Z, size of a slot's whole latent."""
        return self.mask_latent + (self.component_latent if self.stages == "two" else 0)


PRESETS: dict[str, Any] = {
    "paper": {},
    "genesis-s": {"stages": "one"},
    "clevr": {"size": [128, 128], "slots": 11, "gated": {"strides": [2, 2, 2, 1, 1]}},
    "tetrominoes": {"size": [32, 32], "slots": 4},
    "ocl": {"decoder": {"channels": [32, 32, 64, 64]}, "geco": {"limits": [1e-5, 1e3]}},
    "fast": {
        "sigma": 0.3, "mixture": "pixel", "kl": "analytic", "mask_latent": 32,
        "gated": {"channels": 16, "strides": [2, 2, 2, 1, 1], "norm": "group"}, "features": 128,
        "encoder": {"channels": [16, 32, 32], "hidden": 128},
        "decoder": {"kind": "coarse", "channels": [16], "profiles": 8},
        "geco": {"mse_target": 0.002, "step": 3e-6, "limits": [1e-2, 1e3]},
    },
    "tiny": {
        "size": [16, 16], "slots": 3, "mask_latent": 8, "component_latent": 4, "gated": {"channels": 4}, "features": 16,
        "inference_hidden": 16, "prior_hidden": 16, "encoder": {"channels": [8, 8], "hidden": 16},
        "decoder": {"channels": [8, 8, 8, 8]},
    },
}  # fmt: skip


class MaskInference(nn.Module):
    """q(z^m_k | x, z^m_<k): an encoder of the image, and an LSTM over slots.

    Args:
        config: The model's settings.
    """

    def __init__(self, config: GenesisConfig) -> None:
        super().__init__()
        latent, features, gated = config.mask_latent, config.features, config.gated
        self.encoder = GatedEncoder(config.channels, gated.channels, features, config.size, gated.strides, gated.norm)
        self.first = nn.Linear(features, 2 * latent)
        self.cell = nn.LSTMCell(features + latent, config.inference_hidden)
        self.rest = nn.Linear(config.inference_hidden, 2 * latent)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Gaussian]:
        """Take images (N, C, H, W) and noise (N, K, Z); return the sample (N, K, Z) and q, each part (N, K, Z)."""
        features, state = self.encoder(images), None
        gaussians = [gaussian_by_spread(self.first(features))]
        latents = [gaussians[0].sample(noise[:, 0])]
        for eps in noise.unbind(1)[1:]:
            state = self.cell(torch.cat([features, latents[-1]], 1), state)
            gaussians.append(gaussian_by_spread(self.rest(state[0])))
            latents.append(gaussians[-1].sample(eps))
        return torch.stack(latents, 1), Gaussian(*(torch.stack(parts, 1) for parts in zip(*gaussians, strict=True)))


class Components(nn.Module):
    """The second stage: z^c of every slot, its prior given z^m, and the appearance it draws.

    Args:
        config: The model's settings.
    """

    def __init__(self, config: GenesisConfig) -> None:
        super().__init__()
        latent = config.component_latent
        self.prior = ConditionalPrior(config.mask_latent, latent, config.prior_hidden)
        self.encoder = make_slot_encoder(config.encoder, config.channels, 2 * latent, config.size)
        self.decoder = make_decoder(config.decoder, latent, config.channels, config.size, logit=False)
        self.pooling = config.encoder.pooling

    def infer(self, images: Tensor, log_masks: Tensor) -> Gaussian:
        """Return q(z^c_k | x, m_k) of images (N, C, H, W) and log masks (N, K, 1, H, W), each part (N, K, Z)."""
        raw = self.encoder(*(pooled(t, self.pooling) for t in (images, log_masks.clamp_min(LEAST_LOG))))
        return gaussian_by_spread(raw.unflatten(0, log_masks.shape[:2]))

    def draw(self, latents: Tensor) -> Tensor:
        """Return the appearance (N, K, C, H, W) that latents (N, K, Z) draw."""
        image = torch.cat(self.decoder(latents.flatten(0, 1)), 1).float()
        return image.sigmoid().unflatten(0, latents.shape[:2])


@register_model("genesis")
class Genesis(Balances, ImageModel, Samples, Decodes):
    """The model; frames of a video are explained one by one."""

    config_class: ClassVar[type] = GenesisConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    least_batch: ClassVar[int] = 2
    slot_symmetric: ClassVar[bool] = False
    config: GenesisConfig

    def __init__(self, config: GenesisConfig | None = None) -> None:
        super().__init__()
        config = config or self.config_class()
        self.config = config
        planes = 1 if config.stages == "two" else 1 + config.channels
        self.inference = MaskInference(config)
        self.prior = AutoregressivePrior(config.mask_latent, config.prior_hidden)
        gated = config.gated
        self.mask_decoder = GatedDecoder(
            config.mask_latent, gated.channels, planes, config.size, gated.strides, gated.norm
        )
        self.components = Components(config) if config.stages == "two" else None
        self.geco = Geco(config.geco, config.sigma, self.frame_shape)

    # -- what training asks -------------------------------------------------------------------------------------

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return err + beta KL, and the LDS prior as weighted, shape (B,)."""
        return terms["nll"] + self.geco.beta * terms["kl"] + self.config.duplicates.weight * terms["duplicates"]

    def terms(self, explanation: ImageExplanation) -> dict[str, Tensor]:
        """Return NLL, KL of all latents, and the LDS prior in nats per image, each (N,)."""
        return {
            "nll": -explanation.log_likelihood,
            "kl": explanation.kl(self.config.kl).sum((1, 2)),
            "duplicates": self.config.duplicates.loss(explanation.latents, explanation.posterior.mean),
        }

    # -- one image ----------------------------------------------------------------------------------------------

    def explain(self, images: Tensor, noise: Tensor) -> ImageExplanation:
        """Explain images; see `ImageModel.explain`."""
        check_batch(self, images, self.config.gated.norm)
        for_masks, for_components = noise[:, 0].tensor_split([self.config.mask_latent], -1)
        if for_masks.shape[1] == 1 and self.components is not None:  # of one slot nothing is asked, so q(z^m) is p
            latents, posterior = for_masks, Gaussian.standard(for_masks)
            prior = Gaussian.standard(for_masks)
        else:
            latents, posterior = self.inference(images, for_masks)
            prior = self.prior(latents)
        log_masks, appearance = self._carve(latents)
        if self.components is not None:
            q = self.components.infer(images, log_masks)
            component = q.sample(for_components)
            posterior, prior = _join(posterior, q), _join(prior, self.components.prior(latents))
            latents, appearance = torch.cat([latents, component], -1), self.components.draw(component)
        sigmas = images.new_full((latents.shape[1],), self.config.sigma)
        likelihood = masked_log_likelihood(images, appearance, log_masks, sigmas, self.config.mixture)
        return ImageExplanation(log_masks, appearance, latents, posterior, prior, likelihood)

    def _carve(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return log masks (N, K, 1, H, W) of z^m (N, K, Z), and the appearance that GENESIS-S draws with them.

        Without GENESIS-S there is none (0 channels), and the last slot's z^m draws nothing: its mask is what is left.
        """
        batch, slots = latents.shape[:2]
        count = slots if self.components is None else slots - 1
        planes = latents.new_zeros(0, 1, *self.config.size)
        if count:
            planes = self.mask_decoder(latents[:, :count].flatten(0, 1)).float()
        planes = planes.unflatten(0, (batch, count))
        return broken_stick(planes[:, : slots - 1, :1]), planes[:, :, 1:].sigmoid()

    # -- drawing ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decode(self, latents: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """Draw latents (z^m, z^c); see `Decodes.decode`. Nothing of `state` is needed."""
        for_masks, for_components = latents.tensor_split([self.config.mask_latent], -1)
        log_masks, appearance = self._carve(for_masks)
        if self.components is not None:
            appearance = self.components.draw(for_components)
        return log_masks.exp(), appearance

    def imagine(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw new scenes from the prior, slot after slot; see `Samples`."""
        for_masks, for_components = noise.tensor_split([self.config.mask_latent], -1)
        latents = self.prior.draw(for_masks)
        if self.components is not None:
            latents = torch.cat([latents, self.components.prior(latents).sample(for_components)], -1)
        return self.decode(latents)


def _join(one: Gaussian, other: Gaussian) -> Gaussian:
    """Return two independent Gaussians as one over both latents."""
    return Gaussian(*(torch.cat(parts, -1) for parts in zip(one, other, strict=True)))
