"""IODINE: multi-object representations by iterative variational inference (ICML 2019, arXiv 1903.00450).

An image is explained by K slots with latents z_k. The posterior q(z_k; lambda_k) starts equal for all slots at a
trained lambda and is refined T times by one network that all slots share; it sees the image, what the slots draw, and
gradients of the loss (Algorithm 1 and the table of inputs; iodine.md 4). Slots meet only in the softmax over masks.

Symbols of the paper used here: lambda = (mean, scale) of q; T the number of refinements; f the refinement network.

The presets `paper` (CLEVR6, our default), `paper-sprites` and `paper-tetris` are the paper's text: decodes t = 1 .. T
weighted t / T, likelihoods and the gradient by masks among the inputs, KL against N(0, 1). What differs: layer norms
have no trained gain, which the convolution and the linear layer that follow absorb; latents on sprites and Tetris have
16 and 32 numbers, which fit the tables of the refinement networks, where those of the decoders list 32 and 64;
gradients are of the sum over a batch. `official` has the public code's settings: T + 1 decodes with weights 0, 1/T, ..
1, so that the last refinement is trained; log-likelihoods and the gradient by mask logits among the inputs; logistic
output (iodine.md 11 has all 12 places where text and code disagree). `fast` is ours, sides with the public code on
decodes and inputs, and learns soonest on small hardware.

The paper's ablations are settings: `inputs.left_out` (section 4.3, any of the 11 inputs), `decoder: deconv`,
`initial_posterior: prior` (appendix C).

Published foreground ARI: CLEVR6 .988, Multi-dSprites .767, Tetris .992. Ours: the recipes `iodine-*`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, Output, SceneModel, Weighs, register_model
from scenewise.nn.decoders import DecoderSettings, make_slot_decoder
from scenewise.nn.layers import fan_in_normal_
from scenewise.nn.refiner import EncoderSettings, Pair, RefinementLSTM, Refiner, make_encoder
from scenewise.variational.duplicates import DuplicateSettings
from scenewise.variational.engine import BudgetSettings, DecodedFrame, Engine, FrameContext, Refines
from scenewise.variational.gaussian import Gaussian, LambdaScale, raw_of, seeded_noise
from scenewise.variational.importance import importance_log_weights
from scenewise.variational.likelihood import Mixture, PixelDensity
from scenewise.variational.refinement import Inputs, Weights

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from scenewise.observation import Observation

FirstPosterior = Literal["trained", "prior"]


@dataclass(frozen=True)
class IodineConfig:
    """Settings of IODINE; defaults are the preset `paper`: CLEVR6."""

    size: tuple[int, int] = setting((128, 128), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(7, "K, slots including background", minimum=1, maximum=256)
    refinements: int = setting(5, "T, refinements of a frame", minimum=1, maximum=64)
    budget: BudgetSettings = setting(BudgetSettings(), "How refinements are spent")
    latent: int = setting(64, "Z, latent size of a slot", minimum=1, maximum=1024)
    sigma: float = setting(0.1, "Standard deviation of a pixel", minimum=1e-3, maximum=10)
    output: PixelDensity = setting("gaussian", "Density of a pixel (code: logistic of scale 0.03)")
    mixture: Mixture = setting("pixel", "Mixture joint over channels, or per channel")
    scale: LambdaScale = setting("log_variance", "What the scale half of lambda is (code: softplus)")
    prior_std: float = setting(1.0, "Standard deviation of p(z) (code: 0.8326)", minimum=1e-3, maximum=1e3)
    final_decode: bool = setting(False, "T + 1 decodes weighted 0 .. 1 (code); else T, weighted 1/T .. 1 (paper)")
    reconstruction_weight: float = setting(1.0, "Weight of the reconstruction NLL", minimum=0)
    kl_weight: float = setting(1.0, "Weight of the KL", minimum=0)
    duplicates: DuplicateSettings = setting(DuplicateSettings(), "The LDS prior against duplicate slots (BMVC 2021)")
    area_entropy_weight: float = setting(0.0, "Weight of the entropy of slot areas (ours)", minimum=0)
    bptt: Literal["full", "detach_lambda"] = setting("full", "Gradient through lambda over steps, or cut")
    inputs: Inputs = setting(Inputs(likelihood="probability"), "What the refinement network sees")
    initial_posterior: FirstPosterior = setting("trained", "lambda before the first refinement: trained, or the prior")
    mean_activation: Literal["linear", "sigmoid"] = setting("linear", "Activation of the means")
    decoder: DecoderSettings = setting(DecoderSettings(), "What draws a slot")
    encoder: EncoderSettings = setting(EncoderSettings("gap", code=256), "The refinement network's image encoder")
    hidden: int = setting(256, "Size of the LSTM's states; 0 for none", minimum=0, maximum=2048)
    fan_in_start: bool = setting(False, "Weights start truncated normal, std 1/sqrt(fan in), biases 0 (code)")
    recompute: bool = setting(False, "Recompute each step in the backward pass: less memory, a third more time")
    bf16_convolutions: bool = setting(False, "Convolutions in bfloat16; everything probabilistic stays float32")

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        self.decoder.check_size(self.size)
        self.encoder.check_size(self.size)
        shared, per_slot = self.inputs.channels(self.channels)
        if not (shared and per_slot):
            problem = f"leaves no input that {'differs between' if shared else 'is of all'} slots."
            raise InputError("inputs.left_out", problem)


_SMALL = {
    "decoder": {"channels": 32, "kernel": 5},
    "encoder": {"channels": 32, "layers": 3, "kernel": 5, "stride": 1, "code": 128},
}
_CODE = {"final_decode": True, "inputs": {"mask_gradient": "logit", "likelihood": "ratio"}}
PRESETS: dict[str, Any] = {
    "paper": {},
    "paper-sprites": {**_SMALL, "size": [64, 64], "slots": 6, "latent": 16, "hidden": 128},
    "paper-tetris": {**_SMALL, "size": [35, 35], "slots": 4, "latent": 32, "hidden": 0},
    "official": {
        **_CODE,
        "output": "logistic", "sigma": 0.0544, "prior_std": 0.8326, "scale": "softplus",
        "encoder": {"code_layers": 2, "code_linear": True}, "fan_in_start": True,
    },
    "fast": {
        **_CODE,
        "size": [64, 64], "slots": 5, "refinements": 3, "latent": 32,
        "decoder": {"kind": "coarse", "channels": 32, "profiles": 16}, "mean_activation": "sigmoid",
        "encoder": {"kind": "strided", "channels": 32, "code": 128}, "hidden": 128, "sigma": 0.55, "kl_weight": 0.02,
        "budget": {"extra": "better"},
    },
    "tiny": {
        **_CODE,
        "size": [16, 16], "slots": 3, "refinements": 2, "latent": 8, "hidden": 16, "decoder": {"channels": 8},
        "encoder": {"channels": 8, "layers": 2, "code": 16},
    },
}  # fmt: skip


@register_model("iodine")
class Iodine(Refines, SceneModel, Decodes, Weighs):
    """The model; frames of a video are explained one by one, each from the start."""

    config_class: ClassVar[type] = IodineConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    runtime_settings: ClassVar[tuple[str, ...]] = ("recompute", "bf16_convolutions")
    config: IodineConfig
    engine: Engine

    def __init__(self, config: IodineConfig | None = None) -> None:
        super().__init__()
        config = config or self.config_class()
        self.config = config
        shared, per_slot = config.inputs.channels(config.channels)
        encoder = make_encoder(config.encoder, shared, per_slot, config.size)
        vector = config.encoder.code + config.inputs.vectors(config.latent)
        cell = RefinementLSTM(vector, config.hidden) if config.hidden else None
        self.refine = Refiner(encoder, cell, config.hidden or vector, 2 * config.latent, config.bf16_convolutions)
        self.decoder = make_slot_decoder(
            config.decoder,
            config.latent,
            config.channels,
            config.size,
            sigmoid=config.mean_activation == "sigmoid",
            bf16=config.bf16_convolutions,
        )
        self.engine = Engine(
            self.decoder,
            self.refine,
            config.inputs,
            config.sigma,
            config.mixture,
            config.output,
            config.scale,
            config.encoder.pooling,
            recompute=config.recompute,
            cut=config.bptt == "detach_lambda",
            duplicates=config.duplicates,
        )
        self.initial: Tensor
        if config.initial_posterior == "prior":
            prior = Gaussian(torch.zeros(config.latent), torch.full((config.latent,), 2 * math.log(config.prior_std)))
            self.register_buffer("initial", raw_of(prior, config.scale), persistent=False)
        else:
            reach = (6 / (4 * config.latent)) ** 0.5  # Glorot
            self.initial = nn.Parameter(torch.empty(2 * config.latent).uniform_(-reach, reach))
        if config.fan_in_start:
            fan_in_normal_(self)

    # -- what training asks -------------------------------------------------------------------------------------

    @property
    def weights(self) -> Weights:
        """Weights of the step loss."""
        config = self.config
        return Weights(config.reconstruction_weight, config.kl_weight, area_entropy=config.area_entropy_weight)

    def step_form(self) -> Hashable:
        """Return what a step's operations depend on, R; see `SceneModel.step_form`."""
        return self.count_refinements(None)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return NLL + KL (IODINE, Algorithm 1) as weighted, and what else weighs, shape (B,)."""
        w = self.weights
        total = (
            w.reconstruction * terms["nll"] + w.kl * terms["kl"] + self.config.duplicates.weight * terms["duplicates"]
        )
        return total + w.area_entropy * terms["area_entropy"]

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let a model whose first posterior is the prior start from one that trained it."""
        fixed = self.config.initial_posterior == "prior"
        return {name: tensor for name, tensor in weights.items() if not (fixed and name == "initial")}

    # -- one frame ----------------------------------------------------------------------------------------------

    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes of a frame, the same for every frame.

        Raises:
            InputError: Fewer than one refinement is asked for.
        """
        steps = self.config.refinements if refinements is None else refinements
        if steps < 1:
            raise InputError("refinements", f"must be at least 1; found {steps}.")
        return steps + self.decodes_after

    @property
    def decodes_after(self) -> int:
        """Whether the state after the last refinement is drawn too, 0 or 1."""
        return int(self.config.final_decode)

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain every frame by itself; see `SceneModel.forward`. Terms are weighted sums over decodes and frames."""
        frames = observation.frames
        self.check_frames(frames)
        batch, time = frames.shape[:2]
        images = frames.flatten(0, 1)  # (B * T, C, H, W)
        posterior, carry = self.beginning(len(images), slots)
        context = self.context(images, carry)
        decodes, totals = self.decodes(refinements=self.count_refinements(refinements)), dict[str, Any]()
        selection, gradient_start = self.selection(decodes), self.gradient_start(decodes)
        for r in range(decodes):
            eps = self._noise(posterior, seed, r) if noise is None else noise[:, :, r].flatten(0, 1)
            source = posterior
            with torch.set_grad_enabled(torch.is_grad_enabled() and r >= gradient_start):
                decode, posterior, carry = self.engine.decode(context, posterior, carry, eps, refine=r + 1 < decodes)
            selection.see(r, decode, source, carry)
            weight = r / (decodes - 1) if self.config.final_decode else (r + 1) / decodes
            if r >= gradient_start:
                totals = {name: totals.get(name, 0.0) + weight * term for name, term in decode.terms.items()}
        best = selection.best
        part = DecodedFrame(images, best.mixture, self.engine.posterior(best.posterior), context.prior)
        terms = {name: term.unflatten(0, (batch, time)).sum(1) for name, term in totals.items()}

        def decomposition() -> Decomposition:  # of B videos, from that of B * T images
            return part.decomposition().map(lambda values: values.squeeze(1).unflatten(0, (batch, time)))

        return Output(decomposition, terms)

    def beginning(self, batch: int, slots: int | None = None) -> tuple[Tensor, Pair]:
        """Return lambda (B, K, 2Z) and the LSTM's state before the first refinement.

        Raises:
            InputError: Fewer than one slot is asked for.
        """
        count = self.count_slots(slots)
        zeros = self.initial.new_zeros(batch, count, self.config.hidden)
        return self.initial.expand(batch, count, -1), (zeros, zeros.clone())

    def context(self, images: Tensor, carry: Pair) -> FrameContext:
        """Return what all refinements of images (B, C, H, W) share."""
        mean = self.initial.new_zeros(*carry[0].shape[:2], self.config.latent)
        log_variance = torch.full_like(mean, 2 * torch.tensor(self.config.prior_std).log().item())
        return FrameContext(images, carry, Gaussian(mean, log_variance), self.weights)

    def _noise(self, posterior: Tensor, seed: int, *keys: int) -> Tensor:
        shape = (*posterior.shape[:2], self.config.latent)
        return seeded_noise(shape, seed, *keys, device=posterior.device)

    @torch.no_grad()
    def decode(self, latents: Tensor, state: Any = None) -> Pair:
        """Draw latents; see `Decodes.decode`. Nothing of `state` is needed."""
        appearance, logits = self.decoder(latents, latents[..., :0])
        return logits.softmax(1), appearance

    @torch.no_grad()
    def log_weights(
        self,
        observation: Observation,
        samples: int,
        seed: int = 0,
        slots: int | None = None,
        refinements: int | None = None,
    ) -> dict[str, Tensor]:
        """Weigh samples of the posterior after the last refinement; see `Weighs.log_weights`."""
        part = self(observation, slots, refinements, seed).decomposition
        images = observation.frames.flatten(0, 1)  # (B * T, C, H, W)

        def log_likelihood(n: int, latents: Tensor) -> dict[str, Tensor]:
            drawing = self.decoder(latents, latents[..., :0])
            return {"": self.engine.explain(images[n : n + 1], drawing).log_likelihood.double().sum((1, 2, 3))}

        q = Gaussian(part.mean.flatten(0, 1), part.log_variance.flatten(0, 1))
        p = Gaussian(part.prior_mean.flatten(0, 1), part.prior_log_variance.flatten(0, 1))
        weights = importance_log_weights(q, p, log_likelihood, samples, seed)
        return {name: w.unflatten(0, observation.frames.shape[:2]) for name, w in weights.items()}
