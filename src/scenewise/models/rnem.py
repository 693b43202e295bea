"""R-NEM and its family: neural expectation maximisation over black-and-white videos (van Steenkiste et al., ICLR 2018).

K slots predict the next frame, each a picture psi_k of how probable white is. When the frame comes, the E-step gives
every pixel's gamma_k, the probability that slot k made it, and the M-step moves each slot's state theta_k by what its
own pixels tell: gamma_k (x - psi_k), through an encoder and a recurrent cell. What the cells know of each other makes
the family (setting `cell`):

- "relational": R-NEM, every slot feels the effects of all others;  "plain": RNN-EM, none;  "lstm";
- "gradient": N-EM (Greff et al. 2017), one step of gradient ascent through the decoder in place of a cell;
- with one slot gamma is 1, and the cells are the RNN and LSTM baselines.

Symbols of the paper used here: theta, psi, gamma. A decomposition's masks are gamma and its appearance psi, as
predicted before the frame was seen; its posterior is a point, what the decoder drew: log-variance 0 by convention, the
prior the same and the KL 0. Its log-likelihood is that of the mixture with equally probable slots. The masks of the
first frame are random, since nothing else tells slots apart: they, and all else, follow from the seed.

A frame may be read more than once (`refinements`): EM on a single image reads it 16 times. Bits of what is read are
flipped with probability 0.2 in training and at test alike, as in the public code, unless `noise_eval` is off.

What differs from the public code: channels of a pixel belong to one slot (theirs are summed); K = 1 works with
relations, which are then none; predicted frames are assigned by the prediction alone from the first one on; N-EM
begins at a trained theta, since at 0 its layer norms have no slope. Ours are also `pooling`, which explains frames at
a fraction of their size; `black_pixels=emptiest`, by which decompositions give black pixels, whose gamma is the same
for all slots, to the slot that draws least (EM goes on with gamma itself); and presets `fast` and `tiny`.

Published (rnem.md 11, PROVIDE Table 1, 40 frames): F-ARI .7899, ARI .6833, MSE .0076. Ours, the weights `rnem-balls`:
.812, .959, .0272; by gamma alone ARI is .004, and predictions are dim. `rnem-paper-balls` trains the paper's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.models.contract import Output, Predictor, SceneModel, State, register_model
from scenewise.nn.layers import normal_numbers, pooled
from scenewise.nn.normed import NormedDecoder, NormedEncoder, xavier_
from scenewise.nn.slot_cells import CarriedState, NormedLSTM, PlainCell, RelationalCell
from scenewise.variational.bernoulli import (
    imagined_responsibilities,
    log_likelihood,
    losses,
    responsibilities,
    settled,
)
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from scenewise.observation import Observation

CellKind = Literal["relational", "plain", "lstm", "gradient"]
GreyPixels = Literal["refuse", "threshold", "keep"]

_LASTING = 0.9  # share of the past in the running mean of what slots draw
_NEARLY = 0.1  # how far from black or white codecs leave what is flat
_MOST_GREY = 0.1  # of a frame: edges that were compressed and scaled down take up to half of it


@dataclass(frozen=True)
class RnemConfig:
    """Settings of R-NEM; defaults are the preset `paper`."""

    size: tuple[int, int] = setting((64, 64), "Height and width of the frames, pixels", minimum=8, maximum=1024)
    channels: int = setting(1, "Channels of the frames", minimum=1, maximum=4)
    slots: int = setting(5, "K, slots: objects and one more", minimum=1, maximum=256)
    refinements: int = setting(1, "R, how often each frame is read; 16 for images", minimum=1, maximum=1000)
    cell: CellKind = setting("relational", "What moves a slot's state: see the module")
    carry: CarriedState = setting("raw", "State carried on: as in the code, or as it is drawn")
    hidden: int = setting(250, "Size of theta and of the cell's layers", minimum=1, maximum=8192)
    attention: int = setting(100, "Width of the attention over pairs; 0 for none", minimum=0, maximum=8192)
    code: int = setting(512, "Width of fully connected layers of encoder and decoder", minimum=1, maximum=8192)
    widths: tuple[int, ...] = setting((16, 32, 64), "Widths of the convolutions", minimum=1, maximum=1024)
    ascent: float = setting(0.1, "First step size of N-EM; it is trained", minimum=1e-6, maximum=100)
    input_noise: float = setting(0.2, "Probability that a bit read is flipped", minimum=0, maximum=0.5)
    noise_eval: bool = setting(True, "Flip bits outside training too, as the published scores do")
    first_prediction: float = setting(0.0, "psi before the first frame", minimum=0, maximum=1)
    black: float = setting(0.0, "Probability of white where a slot owns nothing", minimum=0, maximum=1)
    inter_weight: float = setting(1.0, "Weight of being black elsewhere (flying MNIST: 0.2)", minimum=0)
    step_weights: Literal["all", "last"] = setting("all", "Which steps count in the loss")
    weights: tuple[float, ...] = setting((), "Weight of each step, in place of step_weights", minimum=0)
    grey: GreyPixels = setting("refuse", "Grey: an error but where a codec left it, cut at half, or kept")
    black_pixels: Literal["gamma", "emptiest"] = setting("gamma", "Who owns them: chance, or the emptiest slot (ours)")
    pooling: int = setting(1, "Explain frames pooled by this factor, draw back bilinearly (ours)", minimum=1, maximum=8)
    recompute: bool = setting(False, "Recompute each step in the backward pass: less memory, a third more time")

    @property
    def working_size(self) -> tuple[int, int]:
        """(H, W) at which frames are explained."""
        return self.size[0] // self.pooling, self.size[1] // self.pooling

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        if not self.widths:
            raise InputError("widths", "must name at least one convolution.")
        multiple = self.pooling << len(self.widths)
        if any(side % multiple for side in self.size):
            halvings = f"pooling and {len(self.widths)} halvings"
            raise InputError("size", f"must be divisible by {multiple}, {halvings}; found {list(self.size)}.")
        if self.weights and not sum(self.weights):
            raise InputError("weights", "must not all be 0.")


PAPER = RnemConfig()
PRESETS: dict[str, Any] = {
    "paper": {},
    "rnn-em": {"cell": "plain"},
    "nem": {"cell": "gradient", "slots": 4, "refinements": 16, "input_noise": 0.1},
    "rnn": {"cell": "plain", "slots": 1},
    "lstm": {"cell": "lstm", "slots": 1},
    "fast": {
        "pooling": 2, "widths": [16, 32, 32], "code": 256, "hidden": 128, "attention": 64, "black_pixels": "emptiest",
    },
    "tiny": {
        "size": [16, 16], "slots": 3, "widths": [4, 8], "code": 32, "hidden": 24, "attention": 8, "grey": "keep",
    },
}  # fmt: skip


@dataclass(frozen=True)
class _Reading:
    """A frame as one reading found it, at the working size.

    Attributes:
        frame: At its full size, shape (B, C, H, W); None where nobody saw it.
        pixels: At the working size, shape (B, C, h, w).
        psi: What was predicted, shape (B, K, C, h, w).
        gamma: Shape (B, K, 1, h, w).
        latent: What was drawn, shape (B, K, Z).
        ink: How much each slot has drawn lately, shape (B, K).
        first: Whether gamma is the random one.
    """

    frame: Tensor | None
    pixels: Tensor
    psi: Tensor
    gamma: Tensor
    latent: Tensor
    ink: Tensor
    first: bool = False


@register_model("rnem")
class Rnem(SceneModel, Predictor):
    """The model; `forward` folds `read` over time, `step` is the same fold without a graph."""

    config_class: ClassVar[type] = RnemConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    runtime_settings: ClassVar[tuple[str, ...]] = ("recompute",)
    keeps_slots: ClassVar[bool] = True
    remarks: ClassVar[bool] = True
    config: RnemConfig

    def __init__(self, config: RnemConfig = PAPER) -> None:
        super().__init__()
        self.config = config
        shape = (config.code, config.widths, config.channels, config.working_size)
        self.decoder = NormedDecoder(config.hidden, *shape)
        self.encoder: nn.Module | None = None
        self.cell: nn.Module | None = None
        if config.cell == "gradient":
            self.beginning = nn.Parameter(normal_numbers(config.hidden))
            self.log_ascent = nn.Parameter(torch.tensor(config.ascent).log())
        else:
            self.encoder = NormedEncoder(config.channels, config.widths, config.code, config.working_size)
            if config.cell == "lstm":
                self.cell = NormedLSTM(config.code, config.hidden)
            elif config.cell == "plain":
                self.cell = PlainCell(config.code, config.hidden, config.carry)
            else:
                self.cell = RelationalCell(config.code, config.hidden, config.carry, config.attention)
        xavier_(self)

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain a video; see `SceneModel.forward`. Terms are weighted means over steps, each a sum over pixels.

        A step is a reading and the one after it. "upper" is reported and never trained on: it compares models of
        different K. Of `noise`, the first of T + 1 frames gives the random gamma, the others the bits to flip.
        """
        times = self._times(refinements)
        readings = self._fold(observation.frames, slots, times, seed, noise)
        each = [self._losses(reading) for reading in readings[1:]]
        if not each and self.training and torch.is_grad_enabled():
            problem = "has nothing to predict: one frame, read once."
            raise InputError("training.curriculum", problem, "Use clips of 2 frames or more, or more refinements.")
        terms = self._weighted(each, observation.frames)
        return Output(lambda: self._join(readings[times - 1 :: times]), terms)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return intra + inter_weight inter, shape (B,)."""
        return terms["intra"] + self.config.inter_weight * terms["inter"]

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return (B, T + 1, R, K, C h w): one frame more, for the random gamma; slots add up to the bits to flip."""
        height, width = self.config.working_size
        pixels = self.config.channels * height * width
        return (batch, frames + 1, self._times(refinements), self.count_slots(slots), pixels)

    def step_losses(
        self, observation: Observation, collisions: Tensor | None = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Return what each step costs in nats per sample, by name, each of shape (B, steps) (rnem.md 6 and 8).

        Args:
            observation: A video.
            collisions: Weights of pixels, shape (B, T, 1, H, W), for the relational losses: a step takes those of the
                frame it reads, whose successor it predicts.
            seed: Seed of all noise.
        """
        times = self.config.refinements
        readings = self._fold(observation.frames, None, times, seed, None)
        pixels = None if collisions is None else self._small(collisions.float())
        each = [
            self._losses(reading, None if pixels is None else pixels[:, i // times])
            for i, reading in enumerate(readings[1:])
        ]
        return {name: torch.stack([step[name] for step in each], 1) for name in each[0]}

    def attention(self, state: State) -> Tensor:
        """Return how much each slot will heed each other one, shape (B, K, K - 1); R-NEM's cell only."""
        if not isinstance(self.cell, RelationalCell):
            raise InputError("cell", f"{self.config.cell!r} has no attention.", "Use cell=relational.")
        return self.cell.attention(state["hidden"])

    # -- frame by frame -----------------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first frame: theta = 0, psi constant; gamma is drawn with the first frame."""
        count, (height, width) = self.count_slots(slots), self.config.working_size
        like = next(self.parameters())
        hidden = like.new_zeros(batch, count, self.config.hidden)
        if self.encoder is None:
            hidden = self.beginning.expand_as(hidden)
        psi = like.new_full((batch, count, self.config.channels, height, width), self.config.first_prediction)
        state = {"hidden": hidden, "latent": hidden, "psi": psi, "seed": torch.tensor(seed), "frame": torch.tensor(0)}
        state["drawn"] = like.new_zeros(batch, count)
        return state | ({"cell": hidden} if self.config.cell == "lstm" else {})

    def frame_form(self, frame: int, refinements: int | None = None) -> Hashable:
        """Return whether a frame is the first; see `SceneModel.frame_form`."""
        return frame > 0

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.step`."""
        times, state = self._times(refinements), _detached(state)
        for r in range(times):
            reading = self.read(frame, state, r)
            state = self.update(reading, state, r, r + 1 == times)
        return self._decomposition(reading), state

    @torch.no_grad()
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Continue the video by `steps` frames (rnem.md 9): what the slots draw is read in place of a frame."""
        parts, state = [], _detached(state)
        for _ in range(steps):
            psi = state["psi"]
            gamma = imagined_responsibilities(psi)
            reading = _Reading(None, (gamma * psi).sum(1), psi, gamma, state["latent"], state["drawn"])
            state = self.update(reading, state, 0, True)
            parts.append(reading)
        return self._join(parts), state

    def _fold(self, frames: Tensor, slots: int | None, times: int, seed: int, noise: Tensor | None) -> list[_Reading]:
        """Return all readings of all frames; the last one moves nothing, since nobody looks at what would follow."""
        self.check_frames(frames)
        state = self.initial_state(len(frames), slots, seed)
        readings, last = list[_Reading](), frames.shape[1] * times - 1
        for i in range(last + 1):
            t, r = divmod(i, times)
            readings.append(self.read(frames[:, t], state, r, None if noise is None else noise[:, 0, 0]))
            if i < last:
                eps = None if noise is None else noise[:, t + 1, r]
                state = self.update(readings[-1], state, r, r + 1 == times, eps)
        return readings

    def read(self, frame: Tensor, state: State, r: int, noise: Tensor | None = None) -> _Reading:
        """Find who owns the pixels of a frame: the E-step, or chance at the very first.

        Args:
            frame: (B, C, H, W).
            state: The slots before.
            r: Refinement of the frame, from 0.
            noise: What chance is drawn from at the very first; that of the state's seed where None.
        """
        frame = self._black_and_white(frame)
        small, psi = self._small(frame), state["psi"]
        first = r == 0 and int(state["frame"]) == 0
        gamma = self._random_gamma(state, noise) if first else responsibilities(psi, small)
        return _Reading(frame, small, psi, gamma, state["latent"], state["drawn"], first)

    def _random_gamma(self, state: State, noise: Tensor | None) -> Tensor:
        batch, slots, _, height, width = state["psi"].shape
        if noise is None:
            shape = (batch, slots, height * width)
            noise = seeded_noise(shape, int(state["seed"]), 0, 0, device=state["psi"].device)
        shares = noise[..., : height * width].abs().unflatten(-1, (1, height, width))
        return shares / shares.sum(1, keepdim=True)

    def update(self, reading: _Reading, state: State, r: int, ends: bool, noise: Tensor | None = None) -> State:
        """Move the slots by what is left unexplained of a reading, and draw what comes next: the M-step.

        Args:
            reading: What `read` gave.
            state: Before it.
            r: Refinement of the frame, from 0.
            ends: Whether it is the frame's last.
            noise: What bits are flipped by, (B, K, values of a frame); that of the state's seed where None.
        """
        flipped = self.flip(reading.pixels, state, r, noise)
        masked = reading.gamma * (flipped.unsqueeze(1) - reading.psi)  # gamma has no graph, psi has
        memory: State = {name: state[name] for name in ("hidden", "cell") if name in state}
        if self.config.recompute and self.encoder is not None and torch.is_grad_enabled():
            new = checkpoint(self._advance, masked, memory, use_reentrant=False, preserve_rng_state=False)
        else:
            new = self._advance(masked, memory)
        ink = new["psi"].detach().mean((2, 3, 4))  # lasting: two empty slots must not take turns as the background
        ink = _LASTING * state["drawn"] + (1 - _LASTING) * ink
        return {**state, **new, "drawn": ink, "frame": state["frame"] + int(ends)}

    def _advance(self, masked: Tensor, memory: State) -> State:
        """Take gamma (x - psi) of shape (B, K, C, h, w); return the new state and its psi."""
        if self.encoder is None or self.cell is None:
            new = self.ascend(masked, memory["hidden"])
        else:
            new = self.cell(self.encoder(masked.flatten(0, 1)).unflatten(0, masked.shape[:2]), memory)
        return {**new, "psi": self.draw(new["latent"])}

    def ascend(self, masked: Tensor, theta: Tensor) -> State:
        """N-EM's M-step: theta + eta sum_i gamma_i (x_i - psi_i) d psi_i / d theta."""
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            at = theta if theta.requires_grad else theta.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.draw(at), at, masked, create_graph=training)
        theta = theta + self.log_ascent.exp() * gradient
        return {"hidden": theta, "latent": theta}

    def draw(self, latent: Tensor) -> Tensor:
        """Return psi, what the slots expect of the pixels, (B, K, C, h, w), of their latents, (B, K, Z)."""
        return self.decoder(latent.flatten(0, 1)).unflatten(0, latent.shape[:2])

    def flip(self, frame: Tensor, state: State, r: int, noise: Tensor | None) -> Tensor:
        """Return what is read with some of its bits flipped; grey values v become 1 - v."""
        probability = self.config.input_noise
        if not probability or not (self.training or self.config.noise_eval):
            return frame
        if noise is None:
            keys = (int(state["frame"]) + 1, r)
            normal = seeded_noise((len(frame), frame[0].numel()), int(state["seed"]), *keys, device=frame.device)
        else:
            normal = noise.sum(1) / noise.shape[1] ** 0.5  # the same for all slots, whatever their order
        bits = (normal < torch.special.ndtri(torch.tensor(probability)).item()).unflatten(1, frame.shape[1:])
        return torch.where(bits, 1 - frame, frame)

    # -- what training and explanation ask ----------------------------------------------------------------------

    def _times(self, refinements: int | None) -> int:
        times = self.config.refinements if refinements is None else refinements
        if times < 1:
            raise InputError("refinements", f"must be at least 1; found {times}.")
        return times

    def _losses(self, reading: _Reading, pixels: Tensor | None = None) -> dict[str, Tensor]:
        return losses(reading.psi, reading.pixels, reading.gamma, self.config.black, pixels)

    def _weighted(self, each: Sequence[dict[str, Tensor]], frames: Tensor) -> dict[str, Tensor]:
        """Return the weighted means over steps."""
        if not each:
            return {name: frames.new_zeros(len(frames)) for name in ("intra", "inter", "upper")}
        weights = self._step_weights(len(each), frames)
        mean = {name: sum(w * step[name] for w, step in zip(weights, each, strict=True)) for name in each[0]}
        upper = mean["upper_intra"] + self.config.inter_weight * mean["upper_inter"]
        return {"intra": mean["intra"], "inter": mean["inter"], "upper": upper.detach()}

    def _step_weights(self, steps: int, like: Tensor) -> Tensor:
        step_weights = self.config.weights
        if step_weights and len(step_weights) != steps:
            if torch.is_grad_enabled():
                raise InputError("weights", f"must be one per step, {steps}; found {len(step_weights)}.")
            step_weights = ()  # videos to be explained may have any length
        weights = like.new_tensor(step_weights) if step_weights else like.new_ones(steps)
        if not step_weights and self.config.step_weights == "last":
            weights[:-1] = 0
        return weights / weights.sum()

    def check_frames(self, frames: Tensor) -> None:
        """Raise InputError where frames cannot be used, grey ones too unless the settings say what becomes of them."""
        super().check_frames(frames)
        if self._some_grey(frames):
            grey = ((frames > _NEARLY) & (frames < 1 - _NEARLY)).float().mean((-3, -2, -1)).max()
            if float(grey) > _MOST_GREY:
                problem = f"must be black and white, 0 or 1 in every channel; {float(grey):.0%} of one are grey."
                raise InputError("frames", problem, "Use a binary source, or train with model.settings.grey=threshold.")

    def remark(self, frames: Tensor) -> str | None:
        """Return a line where frames are not quite black and white, as compressed ones are not."""
        if self._some_grey(frames):
            return "its frames are nearly black and white, as compressed ones are, and were cut at half."
        return None

    def _some_grey(self, frames: Tensor) -> bool:
        """Whether frames that should be black and white are not so exactly."""
        if self.config.grey != "refuse" or (frames.is_cuda and torch.cuda.is_current_stream_capturing()):
            return False
        return bool(((frames > 0) & (frames < 1)).any())

    def _black_and_white(self, frame: Tensor) -> Tensor:
        """Return a frame cut at half, which changes none of 0 and 1; as it is where the settings keep grey."""
        return frame if self.config.grey == "keep" else (frame >= 0.5).to(frame.dtype)

    def _small(self, frames: Tensor) -> Tensor:
        return frames if self.config.pooling == 1 else pooled(frames, self.config.pooling)

    @torch.no_grad()
    def _join(self, readings: Sequence[_Reading]) -> Decomposition:
        return Decomposition.join([self._decomposition(reading) for reading in readings])

    @torch.no_grad()
    def _decomposition(self, reading: _Reading) -> Decomposition:
        """Show a reading at the frame's full size, without a graph."""
        psi, gamma = self._enlarged(reading)
        if self.config.black_pixels == "emptiest" and not reading.first:
            gamma = settled(gamma, psi, reading.frame, reading.ink)
        frame = (gamma * psi).sum(1) if reading.frame is None else reading.frame
        latent = reading.latent.detach()
        point = (latent, torch.zeros_like(latent))
        parts = (gamma, psi, *point, *point, log_likelihood(psi, frame), frame.new_zeros(len(frame)))
        return Decomposition(*(part.unsqueeze(1) for part in parts))

    def _enlarged(self, reading: _Reading) -> tuple[Tensor, Tensor]:
        """Return psi and gamma at the full size: what is drawn is enlarged, and owns what it explains there."""
        psi, gamma = reading.psi.detach(), reading.gamma
        if self.config.pooling == 1:
            return psi, gamma
        psi = functional.interpolate(psi.flatten(0, 1), size=self.config.size, mode="bilinear").unflatten(
            0, psi.shape[:2]
        )
        if reading.first:
            return psi, gamma.repeat_interleave(self.config.pooling, -1).repeat_interleave(self.config.pooling, -2)
        return psi, imagined_responsibilities(psi) if reading.frame is None else responsibilities(psi, reading.frame)


def _detached(state: State) -> State:
    return {name: tensor.detach() for name, tensor in state.items()}
