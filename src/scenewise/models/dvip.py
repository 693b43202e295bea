"""DVIP: Disentangling Video with Independent Prediction (Whitney and Fergus), a sequential variational autoencoder.

The latent of a frame, Z_t, has K parts z_t^i of d units. The prior predicts each from its own past alone,
p(Z_t | Z_t-1) = prod_i p_i(z_t^i | z_t-1^i), so the KL rewards parts that do not need each other: separate objects.
Posterior q(Z_t | Z_t-1, x_t) and generator G mix all parts freely; p(x_t | Z_t) = N(G(Z_t), v). The entangled baseline
is the same model with one part (preset `entangled`). The paper calls parts factors; here they are slots.

Symbols of the paper: k factors of size d (`num_factors`, `latent`), z_dim = k d, v the variance of a pixel (sigma^2).

The model defines no masks: parts are decoded together. What is shown of slot k is where the picture changes if only its
part goes back to the mean of its posteriors so far (the prior's mean 0 counts as one frame more); the changes of all
slots, with 1/1000 added, are divided by their sum, and every slot's appearance is the whole picture, so that the
reconstruction is G(Z_t) exactly. Where nothing moves slots share a pixel evenly.

Preset `reference` is the model of the authors' public code (willwhitney/structure-experiments, as it was on 2017-11-01)
where that differs from the text: a transition sees two past latents, Z_t-2 and Z_t-1 (0, the prior's mean, before the
first frame), which lets it know a velocity; d = 25; the inference takes the prediction without a layer of its own; the
output is a sigmoid whose last bias starts 0.5 higher; batch norm pools over the videos of each frame. Its clips have 5
frames, batches 100 clips, and the rate 3e-4 falls by .985 every 320,000 clips. Which of these made the printed table is
not recorded; an older state of the code, and the text, are of first order.

What differs from the paper by default (dvip.md 9 has every gap): five transition layers as in Appendix A, not three;
no activation on the heads of mean and log-variance nor on the generator's output (preset `literal` has them);
log-variances are clamped to [-10, 10], and the term `clamped` counts how many are. Batch norm pools over videos and
frames in training steps, which `begin_step` announces, and uses running statistics everywhere else, so that no frame
changes another's explanation. The loss is the sum over frames, not their mean: Adam takes the same steps.

Published (Table 2, moving MNIST): ELBO -2902 factored, -2896 entangled, nats per frame; information same 4.61 and 4.66,
cross 0.75 and 2.61, in bits (3.20, 3.23, .52, 1.81 nats; `metrics.pooled_transfer` has how). A perfect reconstruction
without KL has -2774.5. Ours: recipes `dvip-moving-mnist` and `dvip-moving-mnist-entangled` at 32 x 32; the experiment
`dvip` is the table. After 6,000 steps of 16 clips (the authors plot to millions of clips) two seeds of five know both
digits; in neither is a part a digit, nor in two runs nearer to `reference`, which know both. Three even divisions of
two digits' four coordinates are alike for the objective (digits, axes, diagonals), so that four runs say little:
`docs/prediction-models.md` weighs them.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, Output, Predictor, SceneModel, State, register_model
from scenewise.nn.dcgan import DcganDecoder, DcganEncoder, DcganNorm, DcganOutput, fits
from scenewise.variational.gaussian import Gaussian, log_density, log_peak, seeded_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from scenewise.observation import Observation

_LIMIT = 10.0  # largest size of a log-variance
_LEAST = 1e-3  # change of the picture that counts as none


@dataclass(frozen=True)
class DvipConfig:
    """Settings of DVIP; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width, equal powers of 2", minimum=8, maximum=512)
    channels: int = setting(3, "Channels of the frames", minimum=1, maximum=4)
    num_factors: int = setting(2, "k, parts of the latent, predicted alone; 1: entangled", minimum=1, maximum=64)
    latent: int = setting(10, "d, size of a part (the paper names none)", minimum=1, maximum=1024)
    width: int = setting(64, "Channels of the first convolution; each further one has twice as many", minimum=1)
    features: int = setting(32, "Size of the encoder's output", minimum=1, maximum=4096)
    sigma: float = setting(0.5, "Standard deviation of a pixel (variance 0.25)", minimum=1e-3, maximum=10)
    transition_layers: int = setting(5, "Layers of a part's transition; 2 for the correlations", minimum=1, maximum=16)
    transition_hidden: int = setting(128, "Width of a transition's hidden layers", minimum=1, maximum=4096)
    order: int = setting(1, "Past latents that a transition sees; the authors' code: 2", minimum=1, maximum=2)
    prior_layers: bool = setting(True, "A layer on mean and log-variance of the prediction before the joint layer")
    mean_activation: DcganOutput = setting("linear", "Of the pixels' means")
    output_bias: float = setting(0.0, "Added to the last bias of the generator before training", minimum=-9, maximum=9)
    literal_activations: bool = setting(False, "Activations on the heads too, as the text says")
    norm: DcganNorm = setting("batch", "Norm between convolutions; group is ours")
    norm_per_frame: bool = setting(False, "Batch norm pools over videos alone, not over their frames too")
    kl_warmup: int = setting(0, "Steps over which the KL's weight grows from 0 (ours)", minimum=0)
    owned_weight: float = setting(
        0.0,
        "Weight of drawing channel i by part i and another video's other parts (tells which is which)",
        minimum=0,
    )
    predict_z: Literal["prior_mean", "prior_sample"] = setting("prior_mean", "z of a predicted frame")

    @property
    def slots(self) -> int:
        """K."""
        return self.num_factors

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        height, width = self.size
        if height != width or not fits(height):
            problem = f"must be two equal powers of 2, at least 8; found {self.size}."
            raise InputError("size", problem, "Resize the frames.")
        if self.norm == "group" and self.width % 4:
            raise InputError("width", f"must be divisible by 4 for group norm; found {self.width}.")


PAPER = DvipConfig()
_REFERENCE = {
    "order": 2,
    "latent": 25,
    "prior_layers": False,
    "mean_activation": "sigmoid",
    "output_bias": 0.5,
    "norm_per_frame": True,
}
PRESETS: dict[str, Any] = {
    "paper": {},
    "entangled": {"num_factors": 1, "latent": 20},
    "literal": {"literal_activations": True, "mean_activation": "relu"},
    "reference": _REFERENCE,
    "reference-entangled": {**_REFERENCE, "num_factors": 1, "latent": 50},
    "correlation": {"transition_layers": 2},
    "avenue": {"num_factors": 8, "sigma": 0.05**0.5},
    "avenue-entangled": {"num_factors": 1, "latent": 80, "sigma": 0.05**0.5},
    "small": {"size": [32, 32], "width": 16, "sigma": 0.25},
    "tiny": {"size": [16, 16], "width": 8, "features": 16, "latent": 4, "transition_hidden": 16},
}


class Generator(nn.Sequential):
    """A latent to the pixels' means (Appendix A)."""

    def __init__(self, config: DvipConfig) -> None:
        units, output = config.num_factors * config.latent, config.mean_activation
        sizes = (config.width, config.channels, config.size[0])
        draw = DcganDecoder(units, *sizes, config.norm, bias=True, output=output)
        super().__init__(nn.Linear(units, units), nn.ReLU(), draw)
        with torch.no_grad():
            draw.get_parameter(f"{len(draw) - 2}.bias").add_(config.output_bias)


class Combination(nn.Module):
    """q(Z_t | Z_t-1, x_t): features of the frame and what the prior predicts, which gets no gradient from here."""

    def __init__(self, config: DvipConfig) -> None:
        super().__init__()
        units = config.num_factors * config.latent
        self.frame = nn.Linear(config.features, units)
        self.direct = not config.prior_layers
        if config.prior_layers:
            self.prior_mean, self.prior_scale = nn.Linear(units, units), nn.Linear(units, units)
        self.joint = nn.Linear(3 * units, units)
        self.mean, self.scale = nn.Linear(units, units), nn.Linear(units, units)
        self.literal = config.literal_activations

    def forward(self, features: Tensor, prior: Gaussian) -> Gaussian:
        """Take (B, features) and a prior of shape (B, z_dim); return a posterior of that shape."""
        constant = Gaussian(prior.mean.detach(), prior.log_variance.detach())
        image = _active(self.frame(_active(features)))
        if not self.direct:
            constant = Gaussian(
                _active(self.prior_mean(constant.mean)), _active(self.prior_scale(constant.log_variance))
            )
        x = _active(self.joint(torch.cat([image, *constant], -1)))
        mean, scale = self.mean(x), self.scale(x)
        if self.literal:
            mean, scale = _active(mean), _active(scale)
        return Gaussian(mean, scale.clamp(-_LIMIT, _LIMIT))


class Transition(nn.Module):
    """p(z_t | z_t-1) of one part (Appendix A), or with `order` 2 p(z_t | z_t-2, z_t-1)."""

    def __init__(self, config: DvipConfig) -> None:
        super().__init__()
        hidden = [config.transition_hidden] * (config.transition_layers - 1)
        widths = [config.order * config.latent, *hidden, 2 * config.latent]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.literal = config.literal_activations

    def forward(self, latent: Tensor) -> Tensor:
        """Take the past, the last latent last, (B, order d); return mean and log-variance, (B, 2d)."""
        *hidden, output = self.layers
        x = latent
        for layer in hidden:
            x = functional.selu(layer(x))
        x = output(x)
        return functional.selu(x) if self.literal else x


class _Inference(NamedTuple):
    """What a frame's inference gives; all of shape (B, K, d).

    Attributes:
        posterior: q.
        prior: p.
        latent: The sample of q.
        usual: Mean of the posterior means so far, what a slot is compared with.
    """

    posterior: Gaussian
    prior: Gaussian
    latent: Tensor
    usual: Tensor


@register_model("dvip")
class Dvip(SceneModel, Predictor, Decodes):
    """The model; `forward` folds `_infer` over time, `step` is the same fold without a graph."""

    config_class: ClassVar[type] = DvipConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    slot_symmetric: ClassVar[bool] = False
    fixed_slots: ClassVar[bool] = True
    keeps_slots: ClassVar[bool] = True
    config: DvipConfig

    def __init__(self, config: DvipConfig = PAPER) -> None:
        super().__init__()
        self.config = config
        sizes = (config.size[0], config.channels, config.width, config.features)
        self.encoder = DcganEncoder(*sizes, config.norm, norm_first=True, bias=True)
        self.combine, self.generator = Combination(config), Generator(config)
        self.transitions = nn.ModuleList(Transition(config) for _ in range(config.num_factors))
        self.add_number("progress", 0)
        self._announced = False
        self.train(self.training)

    # -- what training asks -------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Dvip:
        """Set the mode; batch norm pools over the batch in announced training steps alone."""
        super().train(mode)
        self._pool(False)
        return self

    def _pool(self, on: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(on)

    def begin_step(self, step: int) -> None:
        """Set the KL's weight to a training step, and let the next forward pass pool batch norm over the batch."""
        self.set_number("progress", step)
        self._announced = True

    @property
    def kl_weight(self) -> float:
        """Weight of the KL at this point of training."""
        return min(1.0, (int(self.number("progress")) + 1) / (self.config.kl_warmup + 1))

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the negative ELBO of all frames, and what holds parts to channels where that weighs, shape (B,)."""
        total = terms["nll"] + self.kl_weight * terms["kl"]
        return total + self.config.owned_weight * terms["owned"] if "owned" in terms else total

    # -- inference ----------------------------------------------------------------------------------------------

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain a video; see `SceneModel.forward`. Terms are sums over frames; `clamped` is a mere count."""
        self.refuse(refinements)
        self.check(observation)
        frames = observation.frames
        state = self.initial_state(len(frames), slots, seed)
        parts = []
        with self._pooling():
            features = self._over_frames(self.encoder, frames)  # (B, T, features)
            for t in range(frames.shape[1]):
                part, state = self._infer(features[:, t], state, None if noise is None else noise[:, t, 0])
                parts.append(part)
            latents = torch.stack([part.latent for part in parts], 1)
            means = self._over_frames(self.draw, latents)
            owned = {"owned": self._owned(frames, latents)} if self.config.owned_weight else {}
        return Output(lambda: self._decomposition(frames, parts), self._terms(frames, means, parts) | owned)

    def _owned(self, frames: Tensor, latents: Tensor) -> Tensor:
        """Return -log p of channel i drawn from part i beside another video's other parts, over all i, shape (B,).

        It tells a generator which part draws which channel: where objects have channels of their own, so that one can
        ask whether the ELBO alone keeps them apart afterwards.
        """
        total = frames.new_zeros(len(frames))
        for part in range(min(self.config.slots, frames.shape[2])):
            mixed = latents.roll(1, 0).clone()
            mixed[:, :, part] = latents[:, :, part]
            channel = slice(part, part + 1)
            means = self._over_frames(self.draw, mixed)[:, :, channel]
            total = total - log_density(frames[:, :, channel], means, self.config.sigma).sum((1, 2, 3, 4))
        return total

    def _over_frames(self, network: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Apply a network with batch norm to (B, T, ...), frame by frame or to all frames at once."""
        if self.config.norm_per_frame:
            return torch.stack([network(value) for value in values.unbind(1)], 1)
        return network(values.flatten(0, 1)).unflatten(0, values.shape[:2])

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first frame; latents that never were are the prior's mean, 0."""
        shape = (batch, self.count_slots(slots), self.config.latent)
        zeros = torch.zeros(shape, device=next(self.parameters()).device)
        state = {
            "latent": zeros,
            "total": zeros.clone(),
            "count": zeros.new_ones(batch),
            "seed": torch.tensor(seed),
            "frame": torch.tensor(0),
        }
        return {**state, "before": zeros.clone()} if self.config.order == 2 else state

    def frame_form(self, frame: int, refinements: int | None = None) -> Hashable:
        """Return whether there was a frame before; see `SceneModel.frame_form`."""
        return frame > 0

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.explain_frame`."""
        self.refuse(refinements)
        part, state = self._infer(self.encoder(frame), state)
        return self._decomposition(frame[:, None], [part]), state

    def predicted(self, latent: Tensor, before: Tensor | None = None) -> Gaussian:
        """Return p(Z_t | Z_t-1), each part from its own past alone.

        Args:
            latent: Z_t-1, shape (B, K, d).
            before: Z_t-2, shape (B, K, d), where transitions see it (`order` 2); None there: 0.
        """
        past = latent
        if self.config.order == 2:
            past = torch.cat([torch.zeros_like(latent) if before is None else before, latent], -1)  # (B, K, 2d)
        raw = torch.stack([move(part) for move, part in zip(self.transitions, past.unbind(1), strict=True)], 1)
        mean, log_variance = raw.chunk(2, -1)
        return Gaussian(mean, log_variance.clamp(-_LIMIT, _LIMIT))

    def _infer(self, features: Tensor, state: State, noise: Tensor | None = None) -> tuple[_Inference, State]:
        """Take the features of one frame (B, features)."""
        prior = self._prior(state)
        flat = self.combine(features, Gaussian(*(part.flatten(1) for part in prior)))
        posterior = Gaussian(*(part.unflatten(1, state["latent"].shape[1:]) for part in flat))  # (B, K, d)
        return self._next(state, posterior, prior, posterior.sample(self._noise(state) if noise is None else noise))

    def _prior(self, state: State) -> Gaussian:
        if int(state["frame"]):
            return self.predicted(state["latent"], state.get("before"))
        zeros = torch.zeros_like(state["latent"])
        return Gaussian(zeros, zeros)

    def _noise(self, state: State) -> Tensor:
        latent = state["latent"]
        return seeded_noise(tuple(latent.shape), int(state["seed"]), int(state["frame"]), device=latent.device)

    @staticmethod
    def _next(state: State, posterior: Gaussian, prior: Gaussian, latent: Tensor) -> tuple[_Inference, State]:
        frame, total = state["frame"] + 1, state["total"] + posterior.mean.detach()
        count = (state["count"] if "count" in state else torch.full_like(total[:, 0, 0], int(state["frame"]) + 1.0)) + 1
        part = _Inference(posterior, prior, latent, total / count[:, None, None])
        before = {"before": state["latent"]} if "before" in state else {}
        return part, {**state, **before, "latent": latent, "total": total, "count": count, "frame": frame}

    def _terms(self, frames: Tensor, means: Tensor, parts: list[_Inference]) -> dict[str, Tensor]:
        posterior, prior = (_stack([getattr(part, name) for part in parts]) for name in ("posterior", "prior"))
        widths = torch.stack([posterior.log_variance, prior.log_variance], 1).detach()
        return {
            "nll": -log_density(frames, means, self.config.sigma).sum((1, 2, 3, 4)),
            "kl": posterior.kl(prior).sum((1, 2, 3)),
            "clamped": (widths.abs() >= _LIMIT).float().sum((1, 2, 3, 4)),
        }

    @contextmanager
    def _pooling(self) -> Iterator[None]:
        """Let batch norm pool over the batch if a training step was announced."""
        self._pool(self._announced)
        self._announced = False
        try:
            yield
        finally:
            self._pool(False)

    # -- drawing ------------------------------------------------------------------------------------------------

    def draw(self, latents: Tensor) -> Tensor:
        """Return the pixels' means (..., C, H, W) of latents (..., K, d)."""
        images: Tensor = self.generator(latents.flatten(-2).flatten(0, -2))
        return images.unflatten(0, latents.shape[:-2])

    @torch.no_grad()
    def decode(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Draw latents (B, K, d); slots are compared with the means of the state, or else with the prior's mean 0."""
        if state is None:
            return self._compare(latents, torch.zeros_like(latents))
        return self._compare(latents, state["total"] / (int(state["frame"]) + 1))

    def drawing_state(self, before: State, after: State) -> State:
        """Return the state after the frame, whose means count it too; see `Decodes.drawing_state`."""
        return after

    def _compare(self, latents: Tensor, usual: Tensor) -> tuple[Tensor, Tensor]:
        """Return masks (N, K, 1, H, W) and appearance (N, K, C, H, W) of latents (N, K, d)."""
        diagonal = torch.eye(latents.shape[1], dtype=torch.bool, device=latents.device)[..., None]
        without = torch.where(diagonal, usual[:, None], latents[:, None])  # (N, K, K, d): part k as usual
        image, *_ = images = self.draw(torch.cat([latents[:, None], without], 1)).split([1, latents.shape[1]], 1)
        change = (images[1] - image).abs().sum(2, keepdim=True) + _LEAST
        return change / change.sum(1, keepdim=True), image.expand_as(images[1])

    @torch.no_grad()
    def _decomposition(self, frames: Tensor, parts: list[_Inference]) -> Decomposition:
        """Draw what was inferred of frames (B, T, C, H, W), or of frames nobody saw where they are empty."""
        latents, usual = (torch.stack([getattr(part, name) for part in parts], 1) for name in ("latent", "usual"))
        slots = self._compare(latents.flatten(0, 1), usual.flatten(0, 1))
        masks, appearance = (part.unflatten(0, latents.shape[:2]) for part in slots)
        posterior, prior = (_stack([getattr(part, name) for part in parts]) for name in ("posterior", "prior"))
        kl = posterior.kl(prior).sum((2, 3))
        density = log_density(frames, appearance[:, :, 0], self.config.sigma).sum((2, 3, 4)) if frames.numel() else None
        best = log_peak(self.config.sigma) * math.prod(self.frame_shape)
        likelihood = torch.full_like(kl, best) if density is None else density
        return Decomposition(masks, appearance, *posterior, *prior, likelihood, kl).detach()

    # -- prediction ---------------------------------------------------------------------------------------------

    def sampling(self) -> Any:
        """Return the settings under which predicted latents are samples; see `Predictor.sampling`."""
        return replace(self.config, predict_z="prior_sample")

    @torch.no_grad()
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Continue the video by `steps` frames: each part from its own past, the posterior is the prior."""
        parts = []
        for _ in range(steps):
            prior = self._prior(state)
            sample = self.config.predict_z == "prior_sample"
            latent = prior.sample(self._noise(state)) if sample else prior.mean
            part, state = self._next(state, prior, prior, latent)
            parts.append(part)
        return self._decomposition(state["latent"].new_empty(0), parts), state


def _active(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)  # DCGAN's slope


def _stack(parts: list[Gaussian]) -> Gaussian:
    """Stack Gaussians (B, K, d) of T frames to (B, T, K, d)."""
    return Gaussian(*(torch.stack(values, 1) for values in zip(*parts, strict=True)))
