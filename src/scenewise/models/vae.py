"""The VAE that slot models are compared with: one latent for the whole image (IODINE 2019 and GENESIS 2020, baselines).

It keeps the contract with K = 1: one slot, whose mask is 1 everywhere. It shows what an autoencoder of the same make
reaches without slots: reconstruction, likelihood, and what a linear map reads from its code.

Two families (monet_genesis.md 4, iodine.md 6). IODINE says only that its VAE has the broadcast decoder; ours
(`paper`) has IODINE's encoder over colours and coordinates, pooled by the mean, Z = 64 and sigma 0.1; `paper-448` has
Z = 7 * 64, as many numbers as seven slots; `deconv` has IODINE's ablation decoder. GENESIS's are gated convolutional
VAEs with Z = 64 and sigma 0.7: `dc-vae` draws by transposed convolutions, `bd-vae` by a broadcast decoder of four ELU
convolutions. That they are trained by GECO, as GENESIS is, is our reading. `fast` is ours and learns soonest on small
hardware.

Expected: no number is published in text for either family.
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
from scenewise.nn.layers import coordinates, pooled
from scenewise.nn.refiner import EncoderSettings, make_encoder
from scenewise.variational.explanation import ImageExplanation, KlForm
from scenewise.variational.gaussian import Gaussian, gaussian_by_spread
from scenewise.variational.geco import Balances, Geco, GecoSettings
from scenewise.variational.likelihood import masked_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class VaeEncoderSettings(EncoderSettings):
    """Which encoder sees the image: one of those that see slots elsewhere, or GENESIS's gated one."""

    kind: Literal["flat", "gap", "strided", "unpadded", "gated"] = setting(  # type: ignore[assignment]  # one more
        "gap", "IODINE's, pooled by the mean, PROVIDE's, ours or MulMON's; or GENESIS's gated layers"
    )


@dataclass(frozen=True)
class VaeDecoderSettings(DecoderSettings):
    """Which decoder draws the image: one of those that draw slots elsewhere, or GENESIS's gated one."""

    kind: Literal["broadcast", "unpadded", "deconv", "coarse", "gated"] = setting(  # type: ignore[assignment]
        "broadcast", "Broadcast, padded or not, IODINE's ablation, ours, or GENESIS's gated layers"
    )


@dataclass(frozen=True)
class VaeConfig:
    """Settings of the VAE; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    latent: int = setting(64, "Z, size of the one latent", minimum=1, maximum=4096)
    sigma: float = setting(0.1, "Standard deviation of a pixel (GENESIS: 0.7)", minimum=1e-3, maximum=10)
    kl: KlForm = setting("analytic", "KL of the latent in closed form, or at the sample")
    geco: GecoSettings = setting(GecoSettings(on=False), "How the KL's weight adapts")
    mean_activation: Literal["linear", "sigmoid"] = setting("linear", "Activation of the means")
    encoder: VaeEncoderSettings = setting(VaeEncoderSettings(), "What sees the image")
    decoder: VaeDecoderSettings = setting(VaeDecoderSettings(activation="elu"), "What draws the image")
    gated: GatedSettings = setting(GatedSettings(), "GENESIS's layers, of encoder and decoder where they are gated")

    @property
    def slots(self) -> int:
        """K, always 1."""
        return 1

    @property
    def is_gated(self) -> bool:
        """Whether encoder or decoder has gated layers."""
        return "gated" in (self.encoder.kind, self.decoder.kind)

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        if self.is_gated:
            self.gated.check(self.size, {"encoder.code": self.encoder.code})
        self.encoder.check_size(self.size)
        self.decoder.check_size(self.size)
        if self.decoder.is_flat:
            raise InputError("decoder.colour", "is 'flat', which is for decoders that draw masks too.", "Use image.")


_GENESIS = {
    "sigma": 0.7, "mean_activation": "sigmoid", "encoder": {"kind": "gated"}, "kl": "sample", "geco": {"on": True},
}  # fmt: skip
PRESETS: dict[str, Any] = {
    "paper": {},
    "paper-448": {"latent": 448},
    "deconv": {"decoder": {"kind": "deconv"}},
    "dc-vae": {**_GENESIS, "decoder": {"kind": "gated"}},
    "bd-vae": {**_GENESIS, "decoder": {"kind": "unpadded"}},
    "fast": {
        "mean_activation": "sigmoid", "encoder": {"kind": "gated"},
        "gated": {"channels": 16, "strides": [2, 2, 2, 1, 1], "norm": "group"},
        "decoder": {"kind": "coarse", "channels": 32, "profiles": 32},
    },
    "tiny": {
        "size": [16, 16], "latent": 8, "encoder": {"channels": 8, "layers": 2, "code": 16}, "decoder": {"channels": 8},
    },
}  # fmt: skip


@register_model("vae")
class Vae(Balances, ImageModel, Samples, Decodes):
    """The model; frames of a video are explained one by one."""

    config_class: ClassVar[type] = VaeConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    least_batch: ClassVar[int] = 2
    fixed_slots: ClassVar[bool] = True
    config: VaeConfig

    def __init__(self, config: VaeConfig | None = None) -> None:
        super().__init__()
        config = config or self.config_class()
        self.config = config
        code, latent, channels, size = config.encoder.code, config.latent, config.channels, config.size
        gated = config.gated
        self.encoder: nn.Module
        if config.encoder.kind == "gated":
            self.encoder = GatedEncoder(channels, gated.channels, code, size, gated.strides, gated.norm)
        else:
            self.encoder = make_encoder(config.encoder, 2, channels, size)
        self.head = nn.Linear(code, 2 * latent)
        self.decoder: nn.Module
        if config.decoder.kind == "gated":
            self.decoder = GatedDecoder(latent, gated.channels, channels, size, gated.strides, gated.norm)
        else:
            self.decoder = make_decoder(config.decoder, latent, channels, size, logit=False)
        self.geco = Geco(config.geco, config.sigma, self.frame_shape)
        self.grid: Tensor
        self.register_buffer("grid", coordinates(*config.size), persistent=False)

    # -- what training asks -------------------------------------------------------------------------------------

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return NLL + beta KL, shape (B,)."""
        return terms["nll"] + self.geco.beta * terms["kl"]

    def terms(self, explanation: ImageExplanation) -> dict[str, Tensor]:
        """Return NLL and KL in nats per image, each (N,)."""
        return {"nll": -explanation.log_likelihood, "kl": explanation.kl(self.config.kl).sum((1, 2))}

    # -- one image ----------------------------------------------------------------------------------------------

    def explain(self, images: Tensor, noise: Tensor) -> ImageExplanation:
        """Explain images; see `ImageModel.explain`."""
        if self.config.is_gated:
            check_batch(self, images, self.config.gated.norm)
        posterior = self.infer(images)
        latents = posterior.sample(noise[:, 0])
        log_masks, appearance = self._draw(latents)
        sigmas = latents.new_full((1,), self.config.sigma)
        likelihood = masked_log_likelihood(images, appearance, log_masks, sigmas)
        return ImageExplanation(log_masks, appearance, latents, posterior, Gaussian.standard(latents), likelihood)

    def infer(self, images: Tensor) -> Gaussian:
        """Return q(z | x) of images (N, C, H, W), each part (N, 1, Z)."""
        if self.config.encoder.kind == "gated":
            code = self.encoder(images)
        else:
            seen = self.grid.expand(len(images), -1, -1, -1), images.unsqueeze(1)
            code = self.encoder(*(pooled(t, self.config.encoder.pooling) for t in seen))
        return gaussian_by_spread(self.head(code).unsqueeze(1))

    def _draw(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return log masks (N, 1, 1, H, W), which are 0, and appearance (N, 1, C, H, W)."""
        planes = self.decoder(latents.squeeze(1))
        image = (planes if isinstance(planes, Tensor) else torch.cat(planes, 1)).float()
        image = image.sigmoid() if self.config.mean_activation == "sigmoid" else image
        return torch.zeros_like(image[:, None, :1]), image.unsqueeze(1)

    # -- drawing ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decode(self, latents: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """Draw latents; see `Decodes.decode`. Nothing of `state` is needed."""
        log_masks, appearance = self._draw(latents)
        return log_masks.exp(), appearance

    def imagine(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw new images from N(0, 1); see `Samples`."""
        return self.decode(noise)
