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

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, ImageModel, Samples, register_model
from scenewise.nn.components import UnpaddedBroadcastDecoder
from scenewise.nn.decoders import make_canvas
from scenewise.nn.encoders import PooledEncoder
from scenewise.nn.gated import NORMS, GatedDecoder, GatedEncoder, check_batch, check_gated
from scenewise.nn.layers import coordinates
from scenewise.variational.explanation import KL_FORMS, ImageExplanation
from scenewise.variational.gaussian import Gaussian, gaussian_by_spread
from scenewise.variational.geco import Balances, Geco, GecoSettings
from scenewise.variational.likelihood import masked_log_likelihood

if TYPE_CHECKING:
    from collections.abc import Mapping

DECODERS = ("broadcast", "deconv", "unpadded", "gated", "coarse")


@dataclass(frozen=True)
class VaeConfig:
    """Settings of the VAE; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    latent: int = setting(64, "Z, size of the one latent", minimum=1, maximum=4096)
    sigma: float = setting(0.1, "Standard deviation of a pixel (GENESIS: 0.7)", minimum=1e-3, maximum=10)
    kl: str = setting("analytic", "KL of the latent in closed form, or at the sample", choices=KL_FORMS)
    geco: GecoSettings = dataclasses.field(default_factory=lambda: GecoSettings(on=False))
    mean_activation: str = setting("linear", "Activation of the means", choices=("linear", "sigmoid"))
    encoder: str = setting("pooled", "IODINE's, pooled by the mean; or GENESIS's", choices=("pooled", "gated"))
    encoder_channels: int = setting(64, "Width of the pooled encoder", minimum=1, maximum=1024)
    encoder_layers: int = setting(4, "Its convolutions", minimum=1, maximum=16)
    code: int = setting(256, "Size of what the encoder gives", minimum=1, maximum=4096)
    decoder: str = setting("broadcast", "Padded or not, IODINE's ablation, GENESIS's, ours", choices=DECODERS)
    decoder_channels: int = setting(64, "Width of all decoders but the gated one", minimum=1, maximum=1024)
    decoder_kernel: int = setting(3, "Side of the broadcast decoder's kernels", choices=(3, 5))
    decoder_profiles: int = setting(0, "Row-times-column profiles in our decoder", minimum=0, maximum=256)
    decoder_groups: int = setting(4, "Groups of the group norms in our decoder", minimum=1, maximum=64)
    gated_channels: int = setting(32, "c, width of the outer gated layers", minimum=1, maximum=1024)
    gated_strides: tuple[int, ...] = setting(
        (1, 2, 1, 2, 1), "Strides of the gated layers (128x128: 2, 2, 2, 1, 1)", minimum=1, maximum=4
    )
    norm: str = setting("batch", "Norm of the gated layers; group is ours", choices=NORMS)

    @property
    def slots(self) -> int:
        """K, always 1."""
        return 1


_GENESIS = {"sigma": 0.7, "mean_activation": "sigmoid", "encoder": "gated", "kl": "sample", "geco": {"on": True}}
PRESETS: dict[str, Any] = {
    "paper": {},
    "paper-448": {"latent": 448},
    "deconv": {"decoder": "deconv"},
    "dc-vae": {**_GENESIS, "decoder": "gated"},
    "bd-vae": {**_GENESIS, "decoder": "unpadded"},
    "fast": {
        "mean_activation": "sigmoid", "encoder": "gated", "gated_channels": 16, "gated_strides": [2, 2, 2, 1, 1],
        "norm": "group", "decoder": "coarse", "decoder_channels": 32, "decoder_profiles": 32,
    },
    "tiny": {
        "size": [16, 16], "latent": 8, "encoder_channels": 8, "encoder_layers": 2, "code": 16, "decoder_channels": 8,
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
        _check(config)
        self.config = config
        self.encoder = _make_encoder(config)
        self.head = nn.Linear(config.code, 2 * config.latent)
        self.decoder = _make_decoder(config)
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
        if self.config.encoder == "gated" or self.config.decoder == "gated":
            check_batch(self, images, self.config.norm)
        posterior = self.infer(images)
        latents = posterior.sample(noise[:, 0])
        log_masks, appearance = self._draw(latents)
        sigmas = latents.new_full((1,), self.config.sigma)
        likelihood = masked_log_likelihood(images, appearance, log_masks, sigmas)
        return ImageExplanation(log_masks, appearance, latents, posterior, Gaussian.standard(latents), likelihood)

    def infer(self, images: Tensor) -> Gaussian:
        """Return q(z | x) of images (N, C, H, W), each part (N, 1, Z)."""
        if self.config.encoder == "pooled":
            code = self.encoder(self.grid.expand(len(images), -1, -1, -1), images.unsqueeze(1))
        else:
            code = self.encoder(images)
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


def _make_encoder(config: VaeConfig) -> nn.Module:
    if config.encoder == "pooled":
        widths = (config.encoder_channels, config.code)
        return PooledEncoder(2, config.channels, *widths, layers=config.encoder_layers)
    return GatedEncoder(
        config.channels, config.gated_channels, config.code, config.size, config.gated_strides, config.norm
    )


def _make_decoder(config: VaeConfig) -> nn.Module:
    latent, colours, size, width = config.latent, config.channels, config.size, config.decoder_channels
    if config.decoder == "gated":
        return GatedDecoder(latent, config.gated_channels, colours, size, config.gated_strides, config.norm)
    if config.decoder == "unpadded":
        return UnpaddedBroadcastDecoder(latent, colours, size, widths=[width] * 4, activation="elu", logit=False)
    return make_canvas(
        config.decoder,
        latent,
        width,
        colours - 1,  # what is a mask logit elsewhere is the last colour here
        size,
        groups=config.decoder_groups,
        kernel=config.decoder_kernel,
        rank=config.decoder_profiles,
    )


def _check(config: VaeConfig) -> None:
    """Raise InputError for settings that cannot work together."""
    height, width = config.size
    if "gated" in (config.encoder, config.decoder):
        widths = {"gated_channels": config.gated_channels, "code": config.code}
        check_gated(config.size, widths, config.gated_strides, config.norm)
    if config.decoder == "deconv" and (height % 16 or width % 16):
        raise InputError("size", f"decoder 'deconv' needs sides divisible by 16; found {height} x {width}.")
    if config.decoder == "coarse" and config.decoder_channels % config.decoder_groups:
        problem = f"must be divisible by decoder_groups = {config.decoder_groups}; found {config.decoder_channels}."
        raise InputError("decoder_channels", problem)
