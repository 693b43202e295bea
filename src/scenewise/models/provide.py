"""PROVIDE: probabilistic video decomposition (UAI 2021), the paper's equations 1 to 7 and Fig. 2.

Every frame t is explained by K slots with latents z_t^k. A posterior q(z; lambda) is refined R_t times per frame by a
network that sees gradients of the step loss (IODINE); the network's 2D-LSTM carries (h, c) along refinements r and
along time t, and h of the last frame conditions the prior (xi) and the decoder (g).

Symbols of the paper used here: lambda = (mean, log-variance) of q; h, c the 2D-LSTM's state; xi the prior network;
R the refinement budget of the first frame, R_t = max(R - t, 1) that of frame t; beta, psi, gamma the weights of
reconstruction, KL and mask entropy.

The preset `paper`, our default, departs from the paper's text in these places, most of them as the public code does:
- every decode of a frame counts in eq. 3, the final one (dark in Fig. 2) too: weights r / D_t over D_t = R_t + 1;
- the refinement network sees log-likelihoods, where IODINE's inputs, which the paper mirrors, are likelihoods;
- the 2D-LSTM mixes the two cells by a gate, where the cited one (Graves et al. 2007) has a forget gate for each;
- means go through a sigmoid, where IODINE's decoder is linear;
- the KL has a weight, psi = 10, which eq. 3 has not: beta / psi is what eq. 3 calls beta;
- a predicted frame shows its first decode and not the one after its refinement;
- it gets one refinement, also early on where R_t is more;
- log sigma of the prior is clamped to [-5, 5]; lambda is (mean, log-variance); gradients are of a sum over the batch.

The preset `text` takes the paper's word in the first six. Where the text is silent both have what the public code has:
sigma² = 0.3, R = 6, sizes of layers, beta / psi = 10, lambda and the state along r starting anew in every frame. Where
the text contradicts itself (it says that the mask entropy is maximised), eq. 7 holds, which minimises it. `reference`
mimics the public code (provide.md 13 has all 20 places where that and the paper disagree), `fast` is ours and learns
soonest on small hardware: `ProvideConfig` tells each of its settings.

Published (Table 1, 40 frames): balls colour ARI .7301, F-ARI .9999, MSE .0002; binary .7294, .9999, .0004.
Ours: the recipes `provide-balls-colour` and `provide-balls-binary` and the cards beside their weights.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.decomposition import Decomposition
from scenewise.models.contract import Decodes, Output, Predictor, SceneModel, State, register_model
from scenewise.models.provide_config import PAPER, PRESETS, ProvideConfig
from scenewise.nn.decoders import CoarseToFineDecoder, SlotDecoder, finer, make_slot_decoder
from scenewise.nn.layers import coordinates
from scenewise.nn.refiner import GravesLSTM2d, LambdaLSTM2d, Pair, Refiner, make_encoder
from scenewise.nn.squeeze import SqueezeFeatures
from scenewise.variational.engine import DecodedFrame, Engine, FrameContext, Refines, decomposed
from scenewise.variational.gaussian import Gaussian, seeded_noise
from scenewise.variational.mixture import composed
from scenewise.variational.refinement import ImageGradients, Weights

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from scenewise.observation import Observation
    from scenewise.variational.mixture import SpatialMixture


class PriorNetwork(nn.Module):
    """xi: h of the last frame to the prior of this one (PROVIDE eq. 5, footnote 5)."""

    def __init__(self, config: ProvideConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden, config.hidden)
        self.mean = nn.Linear(config.hidden, config.latent)
        self.scale = nn.Linear(config.hidden, config.latent)
        self.kind = config.prior.scale

    def forward(self, h: Tensor) -> Gaussian:
        """Take (B, K, hidden); return a prior of shape (B, K, M)."""
        x = self.hidden(h).relu()
        scale = self.scale(x)
        log_variance = 2 * scale.clamp(-5, 5) if self.kind == "log_sigma" else functional.softplus(scale)
        return Gaussian(self.mean(x), log_variance)


@register_model("provide")
class Provide(Refines, SceneModel, Predictor, Decodes):
    """The model; `forward` folds `_frame` over time, `step` is the same fold without a graph."""

    config_class: ClassVar[type] = ProvideConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    runtime_settings: ClassVar[tuple[str, ...]] = ("recompute", "bf16_convolutions")
    keeps_slots: ClassVar[bool] = True
    slot_state: ClassVar[tuple[str, ...]] = ("hidden", "cell")
    config: ProvideConfig
    engine: Engine

    def __init__(self, config: ProvideConfig = PAPER) -> None:
        super().__init__()
        self.config = config
        self.refine = self._make_refiner(config, config.inputs.channels(config.channels))
        self.decoder = self._make_decoder(config)
        self.engine = Engine(
            self.decoder,
            self.refine,
            config.inputs,
            config.sigma,
            config.mixture,
            pooling=config.encoder.pooling,
            recompute=config.recompute,
            duplicates=config.duplicates,
        )
        self.prior = PriorNetwork(config) if config.prior.conditional else None
        self.features = SqueezeFeatures() if config.inputs.pretrained_features else None
        self.initial = nn.Parameter(torch.empty(2 * config.latent).uniform_(-0.5, 0.5))
        self.add_number("beta", config.reconstruction_weight)
        self.add_number("progress", 0)

    @staticmethod
    def _make_refiner(config: ProvideConfig, inputs: tuple[int, int]) -> Refiner:
        encoder = make_encoder(config.encoder, *inputs, config.working_size)
        kind = LambdaLSTM2d if config.cell == "lambda" else GravesLSTM2d
        cell = kind(config.encoder.code + 4 * config.latent, config.hidden)
        return Refiner(encoder, cell, config.hidden, 2 * config.latent, config.bf16_convolutions)

    @staticmethod
    def _make_decoder(config: ProvideConfig) -> SlotDecoder:
        return make_slot_decoder(
            config.decoder,
            config.latent,
            config.channels,
            config.working_size,
            condition=config.hidden if config.conditional_decoder else 0,
            sigmoid=config.mean_activation == "sigmoid",
            bf16=config.bf16_convolutions,
        )

    # -- what training asks -------------------------------------------------------------------------------------

    def begin_step(self, step: int) -> None:
        """Set the schedules to a training step; training calls it before every forward pass."""
        super().begin_step(step)
        self.set_number("progress", step)

    def schedule(self) -> dict[str, float]:
        """Return the weight of the area entropy; see `Numbers.schedule`."""
        ramp = _ramp(int(self.number("progress")), self.config.area_entropy_from)
        return {"area_entropy_weight": self.config.area_entropy_weight * ramp}

    def step_form(self) -> Hashable:
        """Return what a step's operations depend on; see `SceneModel.step_form`."""
        if self.config.beta_schedule or not self.engine.traceable:
            return None
        return self.count_refinements(None), self.composed_weight

    def end_step(self, output: Output) -> None:
        """Move beta by the NLL of the last decode of the last frame (code; only with `beta_schedule`)."""
        if self.config.beta_schedule:
            nll = -float(output.decomposition.log_likelihood[:, -1].mean())
            self.set_number("beta", 300.0 if nll > 600 else 100.0 if nll > 200 else self.number("beta"))

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let a model that draws at full size start from one that draws at a fraction of it (our decoder)."""
        canvas = self.decoder.canvas
        if not isinstance(canvas, CoarseToFineDecoder):
            return weights
        planes, last = self.config.channels + 1, "decoder.canvas.output."
        return {k: finer(w, planes, canvas.shuffle) if k.startswith(last) else w for k, w in weights.items()}

    @property
    def weights(self) -> Weights:
        """Weights of the step loss in force."""
        config = self.config
        area = self.live("area_entropy_weight") if config.area_entropy_weight else 0.0
        return Weights(self.number("beta"), config.kl_weight, config.entropy_weight, area)

    @property
    def composed_weight(self) -> float:
        """Weight of the composed image's likelihood at this point of training."""
        return 1 - _ramp(int(self.number("progress")), self.config.composed_until)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return beta NLL + psi KL + gamma entropy (PROVIDE eq. 7) and our terms where they weigh, shape (B,)."""
        w = self.weights
        total = (
            w.reconstruction * terms["nll"] + w.kl * terms["kl"] + self.config.duplicates.weight * terms["duplicates"]
        )
        return total + w.entropy * terms["entropy"] + w.area_entropy * terms["area_entropy"]

    # -- the grid -----------------------------------------------------------------------------------------------

    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes in frame `frame`, counted from 0: refinements + 1 (provide.md 2)."""
        budget = self.config.refinements if refinements is None else refinements
        most = budget - 1
        match self.config.budget.grid:
            case "full":
                wanted = most
            case "triangular":
                wanted = most - frame
            case "halving":
                wanted = most >> frame
            case "first":
                wanted = 1 if frame else most
        return max(wanted, 1) + 1

    def frame_form(self, frame: int, refinements: int | None = None) -> Hashable:
        """Return how often a frame is drawn, and whether it is the first; see `SceneModel.frame_form`."""
        trained = self.decodes(frame, self.refinement_range[1])  # beyond, decodes are compared
        return self.decodes(frame, refinements), trained, frame > 0

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain a video; see `SceneModel.forward`. Terms are sums over the grid, weighted per decode."""
        frames = observation.frames
        self.check_frames(frames)
        state = self._start(observation, slots, seed, None if noise is None else noise[:, 0, 0])
        parts: list[DecodedFrame] = []
        totals: dict[str, Any] = {}
        refinements = self.count_refinements(refinements)
        for t in range(frames.shape[1]):
            part, terms, state = self._frame(frames[:, t], state, refinements, None if noise is None else noise[:, t])
            parts.append(part)
            totals = {name: totals.get(name, 0.0) + term for name, term in terms.items()}
        return Output(lambda: Decomposition.join([self._decomposition(p) for p in parts]), totals)

    def _start(self, observation: Observation, slots: int | None, seed: int, noise: Tensor | None) -> State:
        """Return the state before the first frame of an observation, whose first noise (B, K, M) may be given."""
        return self.initial_state(len(observation.frames), slots, seed, noise)

    def initial_state(
        self, batch: int = 1, slots: int | None = None, seed: int = 0, noise: Tensor | None = None
    ) -> State:
        """Return the state before the first frame: h = c = 0. `drawing` is the h that the last frame was drawn with.

        Args:
            batch: B, how many videos run side by side.
            slots: K; the settings' value where None.
            seed: Seed of the posterior noise.
            noise: Of the first decode, shape (B, K, M), in place of the seed's.
        """
        count = self.count_slots(slots)
        device = self.initial.device
        zeros = self.initial.new_zeros(batch, count, self.config.hidden)
        if noise is None:
            noise = seeded_noise((batch, count, self.config.latent), seed, 0, 0, device=device)
        state = {
            "hidden": zeros,
            "cell": zeros.clone(),
            "drawing": zeros.clone(),
            "seed": torch.tensor(seed),
            "frame": torch.tensor(0),
            "first_noise": noise,
        }
        if self.config.inputs.previous_frame:
            state["previous"] = torch.zeros(batch, self.config.channels, *self.config.working_size, device=device)
        return state

    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Explain one more frame; see `SceneModel.step`."""
        part, _, state = self._frame(frame, state, refinements, scored=False)
        return self._decomposition(part), state

    def _frame(
        self, frame: Tensor, state: State, refinements: int | None, noise: Tensor | None = None, scored: bool = True
    ) -> tuple[DecodedFrame, dict[str, Tensor], State]:
        """Explain one frame; at test a first one as if the video had stood still before it, `first_looks` - 1 times."""
        index = state["frame"]
        again = self.config.budget.first_looks - 1 if not self.training and noise is None and int(index) == 0 else 0
        for _ in range(again):
            state = {**self._look(frame, state, refinements, None, False)[-1], "frame": index}
        return self._look(frame, state, refinements, noise, scored)

    def _look(
        self, frame: Tensor, state: State, refinements: int | None, noise: Tensor | None, scored: bool
    ) -> tuple[DecodedFrame, dict[str, Tensor], State]:
        """Fill one frame's column of the grid; without terms where nobody scores it."""
        pooled = frame if self.config.pooling == 1 else functional.avg_pool2d(frame, self.config.pooling)
        context, index = self._context(pooled, state), int(state["frame"])
        decodes = self.decodes(index, refinements)
        posterior = self.initial.expand(*state["hidden"].shape[:2], -1)
        refinement = (torch.zeros_like(state["hidden"]), torch.zeros_like(state["cell"]))
        budget = self.config.refinements if refinements is None else refinements
        totals: dict[str, Any] = {}
        selection, gradient_start = self.selection(decodes, index), self.gradient_start(decodes)
        for r in range(decodes):
            eps = self.frame_noise(state, r, noise)
            refine = r + 1 < decodes or (self.config.budget.trailing and index > 0)
            source, carry = posterior, refinement
            with torch.set_grad_enabled(torch.is_grad_enabled() and r >= gradient_start):
                decode, posterior, refinement = self.engine.decode(context, posterior, refinement, eps, refine)
            selection.see(r, decode, source, refinement if self.config.budget.trailing and index else carry)
            weight = self._step_weight(r + 1, decodes, budget)
            if scored and r >= gradient_start and (weight or not totals):
                totals = {name: totals.get(name, 0.0) + weight * term for name, term in decode.terms.items()}
        best = selection.best
        state = self._next(state, best.carry, context, noise)
        q = Gaussian(*best.posterior.chunk(2, -1))
        return DecodedFrame(frame, best.mixture, q, context.prior), totals, state

    def _step_weight(self, r: int, decodes: int, budget: int) -> float:
        """Weight of decode r of a frame, counted from 1; the paper has r / R_t for r = 1 .. R_t = decodes - 1."""
        if self.config.step_weights == "refined":
            return r / (decodes - 1) if r < decodes else 0.0
        return r / (decodes if self.config.step_weights == "relative" else budget)

    def _next(self, state: State, carry: Pair, context: FrameContext, noise: Tensor | None) -> State:
        new = {**state, "hidden": carry[0], "cell": carry[1], "frame": state["frame"] + 1, "drawing": state["hidden"]}
        if self.config.inputs.previous_frame:
            new["previous"] = context.frame
        return new

    def _context(self, frame: Tensor, state: State) -> FrameContext:
        """Gather what all decodes of a frame share."""
        time = (state["hidden"], state["cell"])
        extra: list[Tensor] = []
        if self.config.inputs.previous_frame:
            grid = coordinates(*self.config.working_size, frame.device)
            extra += [state["previous"], grid.expand(len(frame), -1, -1, -1)]
        if self.features is not None:
            extra.append(self.features(frame))
        return FrameContext(frame, time, self._prior(time[0]), self.weights, self.composed_weight, tuple(extra))

    def _prior(self, h: Tensor) -> Gaussian:
        if self.prior is not None:
            return self.prior(h)
        zeros = h.new_zeros(*h.shape[:2], self.config.latent)
        return Gaussian(zeros, zeros)

    def frame_noise(self, state: State, r: int, noise: Tensor | None) -> Tensor:
        """Noise of decode r of this frame, shape (B, K, M)."""
        index = int(state["frame"])
        if r == 0 and self.config.first_sample == "shared":
            return state["first_noise"]
        if noise is not None:
            return noise[:, r]
        shape = state["first_noise"].shape
        return seeded_noise(tuple(shape), int(state["seed"]), index, r, device=state["hidden"].device)

    # -- drawing ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _decomposition(self, part: DecodedFrame) -> Decomposition:
        """Draw a frame at its full size and say how well it explains it; without a graph."""
        mixture, same = part.mixture, self.config.pooling == 1 and part.mixture.composed_weight == 0
        if not same:
            mixture = self.engine.explain(part.frame, self._enlarge(mixture.appearance, mixture.logits))
        return decomposed(mixture, part.posterior, part.prior, part.seen)

    def _enlarge(self, appearance: Tensor, logits: Tensor) -> Pair:
        """Bring means and mask logits (B, K, ., h, w) to the frame's size."""
        if self.config.pooling == 1:
            return appearance, logits
        both = torch.cat([appearance, logits], 2).flatten(0, 1)
        both = functional.interpolate(both, size=self.config.size, mode="bilinear", align_corners=False)
        both = both.unflatten(0, appearance.shape[:2])
        return both[:, :, :-1], both[:, :, -1:]

    # -- prediction and drawing ---------------------------------------------------------------------------------

    def sampling(self) -> Any:
        """Return the settings under which predicted latents are samples; see `Predictor.sampling`."""
        return replace(self.config, prediction=replace(self.config.prediction, latent="prior_sample"))

    @torch.no_grad()
    def predict(self, state: State, steps: int) -> tuple[Decomposition, State]:
        """Continue the video by `steps` frames (provide.md 8): the frame is the reconstruction, gradients are zero."""
        parts = []
        for _ in range(steps):
            part, state = self._predict_frame(state)
            parts.append(self._decomposition(part))
        return Decomposition.join(parts), state

    def _predict_frame(self, state: State) -> tuple[DecodedFrame, State]:
        hidden = state["hidden"]
        blank = hidden.new_zeros(len(hidden), self.config.channels, *self.config.working_size)
        prior = self._prior(hidden)
        posterior = self.initial.expand(*hidden.shape[:2], -1)
        first = Gaussian(*posterior.chunk(2, -1))
        noise = self.frame_noise(state, 0, None)
        choices = {"initial": first.sample(state["first_noise"]), "prior_sample": prior.sample(noise)}
        latent = choices.get(self.config.prediction.latent, prior.mean)
        mixture = self._imagine(latent, hidden)
        context = replace(self._context(blank, state), frame=mixture.frame)
        start = (torch.zeros_like(hidden), torch.zeros_like(hidden))
        evidence = (mixture, ImageGradients.none(mixture), torch.zeros_like(posterior))
        after, carry = self.engine.update(context, evidence, posterior, start)
        source = first if self.config.prediction.latent == "initial" else prior
        if self.config.prediction.readout == "refined":
            source = Gaussian(*after.chunk(2, -1))
            mixture = self._imagine(source.sample(self.frame_noise(state, 1, None)), hidden)
            context = replace(context, frame=mixture.frame)
        frame = mixture.frame
        if self.config.pooling > 1:
            frame = composed(*self._enlarge(mixture.appearance, mixture.logits))
        return DecodedFrame(frame, mixture, source, prior, seen=False), self._next(state, carry, context, None)

    def _imagine(self, latent: Tensor, hidden: Tensor) -> SpatialMixture:
        drawing = self.decoder(latent, hidden)
        return self.engine.explain(composed(*drawing), drawing)

    @torch.no_grad()
    def decode(self, latents: Tensor, state: State | None = None) -> Pair:
        """Draw latents given h of `state` (zero where None); see `Decodes.decode`."""
        hidden = latents.new_zeros(*latents.shape[:2], self.config.hidden) if state is None else state["hidden"]
        appearance, logits = self._enlarge(*self.decoder(latents, hidden))
        return logits.softmax(1), appearance

    def drawing_state(self, before: State, after: State) -> State:
        """Return the state with the h of the last look at the frame; see `Decodes.drawing_state`."""
        return {**before, "hidden": after["drawing"]}


def _ramp(step: int, span: tuple[int, int]) -> float:
    """Grow from 0 at the first step of a span to 1 at its last."""
    start, end = span
    return 0.0 if step < start else min(1.0, (step - start) / (end - start)) if end > start else 1.0
