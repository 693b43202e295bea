"""DDPAE: a video as a sum of moving objects, of which only the poses are predicted (NeurIPS 2018, arXiv 1806.04166).

A clip is a sum of N components on black. Each has one content vector c for the whole clip, drawn by one decoder, and in
each frame a pose (s, tx, ty) that places it (a spatial transformer). Poses start at z_1 and move by beta_t; both, and
c, are inferred from the observed frames, component after component: an LSTM over time sees what the LSTM of the
component before gave (the "2D recurrence"). Another LSTM continues beta_t beyond them; only the frames are missing
there, so that training on observed and future frames alike is training to predict (ddpae.md 3, 4).

Symbols of the paper used here: N components, c content, z_1 the first pose, beta the pose's increments.

As slots: component n is slot n, the last slot is the black background and has no latent. Ink is shared out among the
components by what each adds; black counts as BLACK of ink where it is not full, so that a pixel is of whatever adds
more. Appearance is as bright as all of it (with colours: the brightest channel, and each component's hue): masks sum to
1, and the reconstruction is the frame's mean, min(1, sum of components). `latent` is (c, pose before it is squashed).
In training mode latents are sampled; in evaluation mode they are their means, as in the paper's tests, unless noise is
given. Prediction has no limit; poses cannot leave the frame, but nothing beyond the clips of training was learnt.

What differs from the paper's code: KLs are closed forms (`sampled_kl`: single samples as there), rows and columns are
transformed by two products. `start_at_prior` and group norm are ours, in the presets `fast` and `tiny`.

Published, Moving MNIST at 64 x 64, 10 frames predicted after 10: MSE 38.9, BCE 223 per frame. Ours at 32 x 32, a
quarter of the pixels: 15.1 and 94.7, digits apart with a foreground ARI of .75 to .8 (weights `ddpae-moving-mnist`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, Output, Predictor, SceneModel, State, register_model
from scenewise.nn.dcgan import DcganDecoder, DcganEncoder, DcganNorm, fits
from scenewise.nn.layers import constants
from scenewise.nn.spatial_transformer import centres, crop_out, draw_in
from scenewise.variational.gaussian import Gaussian, log_density, seeded_noise
from scenewise.variational.linking import link, reorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scenewise.observation import Observation

POSE = 3
"""Numbers of a pose: scale, shift across, shift down."""

BLACK = 0.1
"""Ink that a component must add for a pixel to be its own; R-NEM's threshold for what it imagines (rnem.md 9)."""

_INITIAL_STD = 0.02  # of convolutions and linear layers, and of the gains of norms about 1
_START_STD = 0.2  # of z_1 where its head starts at the prior
_LEAST = -80.0  # softplus is 0 in float32 from about -88 on


@dataclass(frozen=True)
class DdpaeConfig:
    """Settings of DDPAE; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, equal powers of two", minimum=16)
    channels: int = setting(1, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(3, "K = N + 1: components, and the background", minimum=2, maximum=64)
    observed: int = setting(10, "Frames of a clip that are looked at; those after them are predicted", minimum=1)
    content: int = setting(128, "Size of c", minimum=1, maximum=1024)
    base_scale: float = setting(2.0, "s0: an object covers about 1 / s0 of the side", minimum=1.01, maximum=32)
    sigma: float = setting(0.3, "Standard deviation of a pixel", minimum=1e-3, maximum=10)
    scale_std: float = setting(0.2, "Standard deviation of the first scale about s0", minimum=1e-3, maximum=100)
    place_std: float = setting(1.0, "Of the first shift about 0, before tanh", minimum=1e-3, maximum=100)
    motion_std: float = setting(0.1, "Of increments about 0", minimum=1e-3, maximum=100)
    hidden: int = setting(64, "Size of all LSTMs", minimum=1, maximum=2048)
    features: int = setting(256, "Size of a frame's code", minimum=1, maximum=2048)
    width: int = setting(8, "Channels of encoders and decoder at full size", minimum=4, maximum=256)
    norm: DcganNorm = setting("batch", "Norm between convolutions; group is ours")
    independent: bool = setting(False, "Predict each component without the one before it (ablation)")
    sampled_kl: bool = setting(False, "KLs by single samples (code), not closed forms")
    predict_only_from: int = setting(0, "Step from which only predicted frames are scored; 0: never", minimum=0)
    start_at_prior: bool = setting(False, "Scales and spreads of poses start near their prior (ours)")

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        height, width = self.size
        if height != width or not fits(height // 2) or height % 2:
            raise InputError("size", f"must be two equal powers of two from 16 on; found {list(self.size)}.")
        if self.norm == "group" and self.width % 4:
            raise InputError("width", f"must be divisible by 4 for group norm; found {self.width}.")


PRESETS: dict[str, Any] = {
    "paper": {},
    "balls": {"size": [128, 128], "slots": 5, "base_scale": 4.0, "hidden": 128},
    "fast": {"size": [32, 32], "content": 32, "features": 128, "norm": "group", "start_at_prior": True},
    "tiny": {
        "size": [16, 16], "observed": 2, "content": 8, "features": 16, "hidden": 8, "width": 4, "norm": "group",
        "start_at_prior": True,
    },
}  # fmt: skip


class MotionState(NamedTuple):
    """The LSTM of each component at one frame: output and cell, each (B, N, h)."""

    hidden: Tensor
    cell: Tensor


class PoseNetwork(nn.Module):
    """From frames to the posteriors of first poses and increments (ddpae.md 4).

    Args:
        config: The model's settings.
    """

    def __init__(self, config: DdpaeConfig) -> None:
        super().__init__()
        h, self.independent = config.hidden, config.independent
        self.encoder = DcganEncoder(config.size[0], config.channels, config.width, config.features, config.norm)
        self.over_time = nn.LSTM(config.features + h, h, batch_first=True)
        self.over_components = nn.LSTM(h, h, batch_first=True)
        self.onward = nn.LSTMCell(h if self.independent else 2 * h, h)
        self.start_mean, self.start_spread = nn.Linear(h, POSE), nn.Linear(h, POSE)
        self.motion_mean, self.motion_spread = nn.Linear(h, POSE), nn.Linear(h, POSE)

    def look(self, frames: Tensor, components: int) -> tuple[Tensor, MotionState]:
        """Return outputs (B, T, N, h) for frames (B, T, C, S, S), and the state after the last."""
        codes = self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # (B, T, F)
        before = codes.new_zeros(*codes.shape[:2], self.over_time.hidden_size)
        each = []
        for _ in range(components):
            before, (hidden, cell) = self.over_time(torch.cat([codes, before], -1))
            each.append((before, hidden[0], cell[0]))
        outputs, hiddens, cells = zip(*each, strict=True)
        return torch.stack(outputs, 2), MotionState(torch.stack(hiddens, 1), torch.stack(cells, 1))

    def go_on(self, state: MotionState) -> MotionState:
        """Return the state one frame later, without a frame."""
        before, each = torch.zeros_like(state.hidden[:, 0]), []
        for hidden, cell in zip(state.hidden.unbind(1), state.cell.unbind(1), strict=True):
            inputs = hidden if self.independent else torch.cat([hidden, before], -1)
            before, cell = self.onward(inputs, (hidden, cell))
            each.append((before, cell))
        hiddens, cells = zip(*each, strict=True)
        return MotionState(torch.stack(hiddens, 1), torch.stack(cells, 1))

    def start(self, outputs: Tensor) -> Gaussian:
        """Return q(z_1) of each component, (B, N, 3), for outputs (B, T, N, h)."""
        codes, _ = self.over_components(outputs[:, 0])
        return _gaussian(self.start_mean(codes), self.start_spread(codes))

    def motion(self, outputs: Tensor) -> Gaussian:
        """Return q(beta) for outputs (..., h)."""
        return _gaussian(self.motion_mean(outputs), self.motion_spread(outputs))


class ContentNetwork(nn.Module):
    """From crops of an object to the posterior of its content (ddpae.md 4).

    Args:
        config: The model's settings.
    """

    def __init__(self, config: DdpaeConfig) -> None:
        super().__init__()
        self.encoder = DcganEncoder(config.size[0] // 2, config.channels, config.width, config.content, config.norm)
        self.over_time = nn.LSTM(config.content, config.hidden, batch_first=True)
        self.head = nn.Linear(config.hidden, 2 * config.content)

    def forward(self, crops: Tensor) -> Gaussian:
        """Return q(c), (B, N, Z), for crops (B, T, N, C, O, O)."""
        batch, time, components = crops.shape[:3]
        codes = self.encoder(crops.transpose(1, 2).flatten(0, 2)).unflatten(0, (batch * components, time))
        outputs, _ = self.over_time(codes)
        return _gaussian(*self.head(outputs[:, -1]).unflatten(0, (batch, components)).chunk(2, -1))


@dataclass(frozen=True)
class Beliefs:
    """Posteriors or priors of all latents of T frames.

    Attributes:
        content: q(c), (B, N, Z).
        start: q of the pose before the first of them, (B, N, 3).
        motion: q(beta) of each frame, (B, T, N, 3).
    """

    content: Gaussian
    start: Gaussian
    motion: Gaussian

    def marginals(self) -> Gaussian:
        """Return the Gaussian of (c, pose before it is squashed) in each frame, (B, T, N, Z + 3)."""
        time = self.motion.mean.shape[1]
        mean = self.start.mean.unsqueeze(1) + self.motion.mean.cumsum(1)
        variance = self.start.log_variance.exp().unsqueeze(1) + self.motion.log_variance.exp().cumsum(1)
        content = (c.unsqueeze(1).expand(-1, time, -1, -1) for c in self.content)
        return Gaussian(*(torch.cat(both, -1) for both in zip(content, (mean, variance.log()), strict=True)))


class Draws(NamedTuple):
    """Standard normal noise by which latents are drawn, of the shapes of `Beliefs`."""

    content: Tensor
    start: Tensor
    motion: Tensor


@dataclass(frozen=True)
class ClipLatents:
    """What the latents of a clip are, and what they draw.

    Attributes:
        posterior: Of its latents.
        draws: The noise they were sampled with.
        components: What each draws, (B, T, N, C, S, S).
        motion: The LSTM after the last observed frame.
    """

    posterior: Beliefs
    draws: Draws
    components: Tensor
    motion: MotionState

    @property
    def mean(self) -> Tensor:
        """The frames' mean, (B, T, C, S, S)."""
        return self.components.sum(2).clamp_max(1)


@register_model("ddpae")
class Ddpae(SceneModel, Predictor, Decodes):
    """The model: observed frames give latents, latents give all frames."""

    config_class: ClassVar[type] = DdpaeConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    slot_symmetric: ClassVar[bool] = False
    fixed_slots: ClassVar[bool] = True
    config: DdpaeConfig

    def __init__(self, config: DdpaeConfig | None = None) -> None:
        super().__init__()
        config = config or self.config_class()
        self.config = config
        self.object_size = (config.size[0] // 2, config.size[1] // 2)
        self.pose = PoseNetwork(config)
        self.content = ContentNetwork(config)
        self.decoder = DcganDecoder(config.content, config.width, config.channels, self.object_size[0], config.norm)
        self.add_number("progress", 0)
        _initialise(self)
        if config.start_at_prior:
            _start_near_prior(self.pose, config)

    # -- what training asks -------------------------------------------------------------------------------------

    def begin_step(self, step: int) -> None:
        """Note the step; training calls it before every forward pass."""
        self.set_number("progress", step)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return NLL + KL, shape (B,)."""
        return terms["nll"] + terms["kl"]

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return the shape of the `noise` argument of `forward`: (B, N, Z + 3 + 3 T), for c, z_1 and every beta_t."""
        return (batch, self.count_slots(slots) - 1, self.config.content + POSE + POSE * frames)

    # -- a clip -------------------------------------------------------------------------------------------------

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain the observed frames of a clip and predict the others; see `SceneModel.forward`.

        Frames after the first `observed` are compared with what is predicted and enter nothing else; a shorter clip is
        observed as a whole. Terms are sums over frames; "content_kl" and "pose_kl" are what "kl" consists of.
        """
        frames = observation.frames
        self.check_frames(frames)
        self.refuse(refinements)
        time = frames.shape[1]
        window = min(self.config.observed, time)
        shape = self.noise_shape(len(frames), time, slots)
        latents = self.explain(frames[:, :window], time, self.draws_of(shape, seed, noise, frames.device))
        likelihood, (content_kl, start_kl, motion_kl) = self._likelihood(frames, latents.mean), self._kl(latents)
        predicts_only = self.training and 0 < self.config.predict_only_from <= int(self.number("progress"))
        scored = likelihood[:, window:] if predicts_only and window < time else likelihood
        parts = {"content_kl": content_kl, "pose_kl": start_kl + motion_kl.sum(1)}
        terms = {"nll": -scored.sum(1), "kl": parts["content_kl"] + parts["pose_kl"], **parts}
        return Output(lambda: self._decomposition(latents, likelihood), terms)

    def explain(self, frames: Tensor, time: int, draws: Draws) -> ClipLatents:
        """Infer all latents from observed frames (B, t, C, H, W) and draw `time` frames, at least t."""
        outputs, state = self.pose.look(frames, draws.content.shape[1])
        all_outputs = torch.cat([outputs, *self._outputs_ahead(state, time - frames.shape[1])[0]], 1)
        start, motion = self.pose.start(outputs), self.pose.motion(all_outputs)
        raw = start.sample(draws.start).unsqueeze(1) + motion.sample(draws.motion).cumsum(1)  # (B, T, N, 3)
        poses = self.squash(raw)
        crops = crop_out(frames.unsqueeze(2), poses[:, : frames.shape[1]], self.object_size)
        content = self.content(crops)
        components = self._draw(content.sample(draws.content), poses)
        return ClipLatents(Beliefs(content, start, motion), draws, components, state)

    def _outputs_ahead(self, state: MotionState, steps: int) -> tuple[list[Tensor], MotionState]:
        """Return the LSTM's outputs in each of the frames that follow, (B, 1, N, h), and its state after them."""
        outputs = []
        for _ in range(steps):
            state = self.pose.go_on(state)
            outputs.append(state.hidden.unsqueeze(1))
        return outputs, state

    def squash(self, raw: Tensor) -> Tensor:
        """Return poses (s, tx, ty) that keep the object's middle in the frame, for raw poses of shape (..., 3)."""
        base = self.config.base_scale
        scale = raw[..., :1].clamp(base - 1, base + 1)
        return torch.cat([scale, raw[..., 1:].tanh() * (scale - 0.5)], -1)

    def poses(self, latents: Tensor) -> Tensor:
        """Return poses (s, tx, ty), (..., 3), of latents (..., Z + 3); `centres` tells where that is."""
        return self.squash(latents[..., -POSE:])

    def positions(self, latents: Tensor) -> Tensor:
        """Return where poses put the components of latents (..., N, Z + 3), and none for the background after them."""
        return functional.pad(centres(self.poses(latents)), (0, 0, 0, 1), value=math.nan)

    def _draw(self, content: Tensor, poses: Tensor) -> Tensor:
        """Return what components draw, (B, T, N, C, S, S), for contents (B, N, Z) and poses (B, T, N, 3)."""
        objects = self.decoder(content.flatten(0, 1)).unflatten(0, content.shape[:2])  # (B, N, C, O, O)
        return draw_in(objects.unsqueeze(1), poses, self.config.size)

    def draws_of(self, shape: tuple[int, ...], seed: int, noise: Tensor | None, device: torch.device) -> Draws:
        """Return noise as given, from a seed in training mode, or none at all in evaluation mode."""
        if noise is None:
            noise = seeded_noise(shape, seed, device=device) if self.training else torch.zeros(shape, device=device)
        content, start, motion = noise.split([self.config.content, POSE, shape[-1] - self.config.content - POSE], -1)
        return Draws(content, start, motion.unflatten(-1, (-1, POSE)).transpose(1, 2))

    # -- how well it is explained -------------------------------------------------------------------------------

    def _likelihood(self, frames: Tensor, mean: Tensor) -> Tensor:
        """Return log p(frame | latents), (B, T)."""
        return log_density(frames.float(), mean.float(), self.config.sigma).sum((2, 3, 4))

    def _kl(self, latents: ClipLatents) -> tuple[Tensor, Tensor, Tensor]:
        """Return the KLs of contents and of first poses, each (B,), and of the increments of each frame, (B, T)."""
        q, draws = latents.posterior, latents.draws
        p = self._prior(q.content.mean, q.motion.mean)
        pairs = zip((q.content, q.start, q.motion), (p.content, p.start, p.motion), draws, strict=True)
        content, start, motion = (self.divergence(*pair) for pair in pairs)
        return content.sum((1, 2)), start.sum((1, 2)), motion.sum((2, 3))

    def divergence(self, q: Gaussian, p: Gaussian, noise: Tensor) -> Tensor:
        """Return KL(q || p) in nats per dimension, or log q - log p at the sample that `noise` draws of q."""
        if not self.config.sampled_kl:
            return q.kl(p)
        away = (q.sample(noise) - p.mean).square() * (-p.log_variance).exp()
        return 0.5 * (away + p.log_variance - noise.square() - q.log_variance)

    def _prior(self, content: Tensor, motion: Tensor, frame: int = 0) -> Beliefs:
        """Return p of latents of these shapes where `frame` frames went before."""
        config, (batch, _, components, _) = self.config, motion.shape
        first = constants([config.base_scale, 0, 0], motion).expand(batch, components, -1)
        variance = constants([config.scale_std, config.place_std, config.place_std], motion).square()
        before = (variance + frame * config.motion_std**2).log().expand_as(first)
        spread = torch.full_like(motion, config.motion_std).log() * 2
        zeros = torch.zeros_like(content)
        return Beliefs(Gaussian(zeros, zeros), Gaussian(first, before), Gaussian(torch.zeros_like(motion), spread))

    @torch.no_grad()
    def _decomposition(self, latents: ClipLatents, likelihood: Tensor, frame: int = 0) -> Decomposition:
        """Return an explained clip as slots; a clip that goes on from an earlier one has paid for content and start."""
        content_kl, start_kl, kl = self._kl(latents)
        if frame == 0:
            kl = torch.cat([kl[:, :1] + (content_kl + start_kl)[:, None], kl[:, 1:]], 1)
        prior = self._prior(latents.posterior.content.mean, latents.posterior.motion.mean, frame)
        masks, appearance = as_slots(latents.components)
        marginals = latents.posterior.marginals()
        q, p = _with_background(marginals), _with_background(prior.marginals())
        places = self.positions(marginals.mean)
        return Decomposition(masks, appearance, *q, *p, likelihood, kl, positions=places).detach()

    # -- going on, and drawing ----------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """How many frames it was trained to observe; another number may be given."""
        return self.config.observed

    @torch.no_grad()
    def step(
        self, frames: Tensor, state: State, refinements: int | None = None, viewpoints: Tensor | None = None
    ) -> tuple[Decomposition, State]:
        """Explain the next frames as one clip, by the means of all latents; see `SceneModel.step`.

        Nothing is known of clips before it but their last frame, to which its slots are linked. `frame` of the state
        counts the frames of the clip.
        """
        frames = frames.unsqueeze(1) if frames.ndim == 4 else frames
        self.check_frames(frames)
        self.refuse(refinements)
        batch, time = frames.shape[:2]
        nothing = torch.zeros(self.noise_shape(batch, time, int(state["slots"])), device=frames.device)
        latents = self.explain(frames, time, self.draws_of(tuple(nothing.shape), 0, nothing, frames.device))
        decomposition = self._decomposition(latents, self._likelihood(frames, latents.mean))
        content = latents.posterior.content
        state = {**state, "content": content.mean, "content_log_variance": content.log_variance}
        return link(decomposition, self._after(state, latents, 0))

    @staticmethod
    def _after(state: State, latents: ClipLatents, frame: int) -> State:
        mean, log_variance = (part[:, -1, :, -POSE:] for part in latents.posterior.marginals())
        new = {"pose": mean, "pose_log_variance": log_variance, "hidden": latents.motion.hidden}
        return {**state, **new, "cell": latents.motion.cell, "frame": torch.tensor(frame + latents.components.shape[1])}

    @torch.no_grad()
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Continue the video by `steps` frames, by the means of all latents; the frame is what is drawn.

        Raises:
            InputError: Fewer than one frame is asked for, or the state is not that of an observed clip.
        """
        if steps < 1:
            raise InputError("steps", f"must be at least 1; found {steps}.")
        if "pose" not in state:
            raise InputError("state", "is not that of an observed clip.", "Call step with its frames first.")
        outputs, motion = self._outputs_ahead(MotionState(state["hidden"], state["cell"]), steps)
        increments = self.pose.motion(torch.cat(outputs, 1))
        start = Gaussian(state["pose"], state["pose_log_variance"])
        posterior = Beliefs(Gaussian(state["content"], state["content_log_variance"]), start, increments)
        poses = self.poses(posterior.marginals().mean)
        nothing = Draws(*(torch.zeros_like(q.mean) for q in (posterior.content, start, increments)))
        future = ClipLatents(posterior, nothing, self._draw(state["content"], poses), motion)
        frame = int(state["frame"])
        decomposition = self._decomposition(future, self._likelihood(future.mean, future.mean), frame)
        return reorder(decomposition, state["order"]), self._after(state, future, frame)

    @torch.no_grad()
    def decode(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Draw latents, the background's last; see `Decodes.decode`. Nothing of `state` is needed."""
        objects = latents[:, :-1]
        components = self._draw(objects[..., : self.config.content], self.poses(objects).unsqueeze(1))
        masks, appearance = as_slots(components)
        return masks[:, 0], appearance[:, 0]


def as_slots(components: Tensor) -> tuple[Tensor, Tensor]:
    """Return masks (B, T, N + 1, 1, S, S) and appearance (B, T, N + 1, C, S, S) of N drawn components and black.

    Args:
        components: At least 0, shape (B, T, N, C, S, S); where their sum is above 1, each gives its share of 1.
    """
    light = components / components.sum(2, keepdim=True).clamp_min(1)
    ink = light.amax(3, keepdim=True)
    total = ink.sum(2, keepdim=True)
    owners = torch.maximum(total, (total + BLACK).clamp_max(1))
    shares = ink / owners
    rest = (1 - shares.sum(2, keepdim=True)).clamp_min(0)
    appearance = light / ink.clamp_min(torch.finfo(ink.dtype).tiny) * owners
    return torch.cat([shares, rest], 2), torch.cat([appearance, torch.zeros_like(appearance[:, :, :1])], 2)


def _with_background(latents: Gaussian) -> Gaussian:
    """Append the background, which has no latent: N(0, 1) in posterior and prior alike, (B, T, N + 1, Z + 3)."""
    return Gaussian(*(functional.pad(part, (0, 0, 0, 1)) for part in latents))


def _gaussian(mean: Tensor, raw: Tensor) -> Gaussian:
    """Return the Gaussian whose standard deviation is softplus(raw)."""
    return Gaussian(mean, 2 * functional.softplus(raw.clamp_min(_LEAST)).log())


@torch.no_grad()
def _initialise(model: nn.Module) -> None:
    """Draw weights as the paper's code does; LSTMs keep PyTorch's."""
    if next(model.parameters()).is_meta:
        return  # made for its shapes alone, for which drawing would read torch's compiler
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.GroupNorm)):
            about = 1.0 if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)) else 0.0
            nn.init.normal_(module.weight, about, _INITIAL_STD)
            if module.bias is not None:
                module.bias.zero_()


@torch.no_grad()
def _start_near_prior(pose: PoseNetwork, config: DdpaeConfig) -> None:
    """Let the first scale begin at s0 and not clamped below it, and poses with little noise."""
    pose.start_mean.bias[0] = config.base_scale
    pose.start_spread.bias.fill_(math.log(math.expm1(_START_STD)))
    pose.motion_spread.bias.fill_(math.log(math.expm1(config.motion_std)))
