"""MulMON: object representations of a static scene from several viewpoints (NeurIPS 2020).

A scene is K slots with latents z_k that do not depend on the view. A slot is drawn at a viewpoint v by projecting
z_k and a code of v to u_k, which IODINE's broadcast decoder draws. The posterior q(z_k; lambda_k) starts at a trained
lambda0 and takes one view after the other: every view runs IODINE's refinement (mulmon.md 3.2) with its LSTM at zero,
and the posterior of one view is the prior of the next, not detached, so that a view that makes lambda forget what
others showed costs KL. Training also scores views that were not observed, drawn from the final posterior (mulmon.md 4).

Symbols used here: lambda = (mean, log-variance) of q; R refinements of a view, R + 1 decodes; V views; D numbers of
a viewpoint. The T of the contract is V: a frame is a view. In training mode, how many views are observed and in which
order comes from `seed`, one choice for the whole batch (parts of a batch that are computed apart have their own); in
evaluation mode all views given are observed in the order given. Either way the decomposition shows every view as the
final posterior draws it, one sample for all views; its `kl` is that of this posterior against the first view's prior.

What differs from the paper and its public code, and why (mulmon.md 3.3): the KL is the closed form, not one sample of
it (`kl_estimate: sample` scores the sample; what the refinement network is shown stays the closed form); masks inside
the mixture are log-softmax instead of log(m + 1e-6); the likelihoods among the inputs are logs, the gradient is that by
mask logits, all as in IODINE here, and layer norm adds its epsilon to the variance, so that empty slots are not fed
noise. `mixture: channel` (paper) mixes per colour channel; `pixel` is IODINE's joint mixture. Viewpoint noise is the
same for all scenes of a batch. Where fewer than 7 views are given, one is left to be a query.

The preset `paper` has the public code's layers and numbers, `lds` the changes of the LDS papers, `fast` is ours: a
coarse decoder, and a projection that begins as u_k = z_k; it and the refinement network know products of their inputs
and the viewpoint, in which a turn of the camera is linear. It learns on a CPU, and may start from IODINE's weights.

Published (mulmon.md 7): CLE-MV mIoU .783 and .791 with LDS, squared error summed over channels .0019; second hand, RMSE
of novel views .046. Ours, on 200 test scenes of 3 to 6 objects at 32 x 32, recipe `mulmon-cle-mv`: RMSE of novel views
.062 (copying the nearest view: .144), mIoU .536.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.models.contract import Decodes, Output, Renders, SceneModel, Weighs, register_model
from scenewise.models.mulmon_config import PRESETS, MulmonConfig
from scenewise.nn.decoders import SlotDecoder, make_slot_decoder
from scenewise.nn.layers import normal_numbers
from scenewise.nn.refiner import Pair, RefinementLSTM, Refiner, ViewLSTM, make_encoder
from scenewise.observation import Observation
from scenewise.variational.engine import Decode, Engine, FrameContext, Refines, decomposed
from scenewise.variational.gaussian import Gaussian, seeded_noise
from scenewise.variational.importance import importance_log_weights
from scenewise.variational.refinement import Weights

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from scenewise.models.contract import State

_ORDER, _NUMBER, _JITTER = 1 << 20, 1 << 21, 1 << 22  # keys of random streams, beyond those of views


class ViewDecoder(nn.Module):
    """g: (z, viewpoint) to means and mask logits, by projecting both to what one decoder of all views draws.

    Args:
        slot: Draws projected slots.
        config: Settings.
    """

    def __init__(self, slot: SlotDecoder, config: MulmonConfig) -> None:
        super().__init__()
        latent, code, projection = config.latent, config.viewpoint_code, config.projection
        inputs = latent + code + latent * code * int(projection.products)
        self.products = projection.products
        self.view = nn.Sequential(nn.Linear(config.viewpoint, 128), nn.ReLU(), nn.Linear(128, code))
        self.project = nn.Sequential(nn.Linear(inputs, projection.hidden), nn.ReLU())
        self.projected = nn.Linear(projection.hidden, latent)
        self.turns = nn.Parameter(torch.zeros(config.viewpoint, latent, latent)) if projection.residual else None
        if projection.residual:
            with torch.no_grad():
                self.projected.weight.mul_(0.1)  # so that u_k is nearly z_k at first
        self.slot = slot

    def project_slots(self, latent: Tensor, viewpoint: Tensor) -> Tensor:
        """Return u_k (B, K, Z) of latents (B, K, Z) at viewpoints (B, K, D)."""
        code = self.view(viewpoint)
        parts = [latent, code]
        if self.products:
            parts.append((latent.unsqueeze(-1) * code.unsqueeze(-2)).flatten(-2))
        projection: Tensor = self.projected(self.project(torch.cat(parts, -1)))
        if self.turns is None:
            return projection
        return latent + torch.einsum("bkd,dzy,bky->bkz", viewpoint, self.turns, latent) + projection

    def forward(self, latent: Tensor, viewpoint: Tensor) -> Pair:
        """Take (B, K, Z) and (B, K, D); return means (B, K, C, H, W) and logits (B, K, 1, H, W)."""
        return self.slot(self.project_slots(latent, viewpoint), viewpoint[..., :0])


@register_model("mulmon")
class Mulmon(Refines, SceneModel, Renders, Decodes, Weighs):
    """The model."""

    config_class: ClassVar[type] = MulmonConfig
    presets: ClassVar[Mapping[str, Any]] = MappingProxyType(PRESETS)
    runtime_settings: ClassVar[tuple[str, ...]] = ("recompute", "bf16_convolutions")
    config: MulmonConfig
    engine: Engine

    def __init__(self, config: MulmonConfig | None = None) -> None:
        super().__init__()
        config = config or MulmonConfig()
        self.config = config
        shared, per_slot = config.inputs.channels(config.channels)
        encoder = make_encoder(config.encoder, shared, per_slot, config.size)
        code, plain = config.encoder.code + 4 * config.latent, not config.inputs.viewpoint
        cell = RefinementLSTM(code, config.hidden) if plain else ViewLSTM(code, config.hidden, config.viewpoint)
        self.refine = Refiner(encoder, cell, config.hidden, 2 * config.latent, config.bf16_convolutions)
        sigmoid = config.mean_activation == "sigmoid"
        shape = (config.latent, config.channels, config.size)
        slot = make_slot_decoder(config.decoder, *shape, sigmoid=sigmoid, bf16=config.bf16_convolutions)
        self.decoder = ViewDecoder(slot, config)
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
        self.initial = nn.Parameter(normal_numbers(2 * config.latent).sub_(0.5))  # lambda0

    # -- what training asks -------------------------------------------------------------------------------------

    @property
    def viewpoint_size(self) -> int:
        """D."""
        return self.config.viewpoint

    @property
    def weights(self) -> Weights:
        """Weights of the step loss."""
        config = self.config
        return Weights(config.reconstruction_weight, config.kl_weight, area_entropy=config.area_entropy_weight)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return NLL + KL of observed views and NLL of queries as weighted (mulmon.md 4), shape (B,)."""
        config = self.config
        total = config.reconstruction_weight * terms["nll"] + config.kl_weight * terms["kl"]
        total = (
            total + config.duplicates.weight * terms["duplicates"] + config.area_entropy_weight * terms["area_entropy"]
        )
        return total + config.query_weight * terms["query"]

    def begin_step(self, step: int) -> None:
        """Set sigma to max(sigma_start (1 - step / sigma_steps), sigma) (mulmon.md 4)."""
        config = self.config
        super().begin_step(step)
        sigma = max(config.sigma_start * (1 - step / config.sigma_steps), config.sigma)
        if sigma != self.engine.sigma:
            self.engine = dataclasses.replace(self.engine, sigma=sigma)

    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes of an observed view, R + 1, the same for every view.

        Raises:
            InputError: Fewer than one refinement is asked for.
        """
        steps = self.config.refinements if refinements is None else refinements
        if steps < 1:
            raise InputError("refinements", f"must be at least 1; found {steps}.")
        return steps + 1

    def noise_shape(
        self, batch: int, frames: int, slots: int | None = None, refinements: int | None = None
    ) -> tuple[int, ...]:
        """Return (B, V, R + 2, K, Z): the decodes of every view; the first view's last draws all from the end."""
        shape = super().noise_shape(batch, frames, slots, refinements)
        return (*shape[:2], shape[2] + 1, *shape[3:])

    def split(self, views: int, seed: int) -> tuple[list[int], list[int]]:
        """Return which views are observed, in their order, and which are queried.

        Args:
            views: V.
            seed: Decides in training mode; in evaluation mode all views are observed in order.
        """
        if not self.training:
            return list(range(views)), []
        config = self.config
        most = max(1, min(config.views.most, views - 1))
        least = min(config.views.least, most)
        observed = least + int(seeded_noise((most - least + 1,), seed, _NUMBER).argmax())  # each as likely as any
        shuffled: list[int] = seeded_noise((views,), seed, _ORDER).argsort().tolist()
        return shuffled[:observed], shuffled[observed:][: config.views.queries or views]

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let the model start from IODINE, which draws what is left of a slot once its viewpoint is taken care of."""
        if not any(name.startswith("decoder.canvas.") for name in weights):
            return weights
        own = {name: w.clone() for name, w in self.state_dict().items()}
        start = {name.replace("decoder.canvas.", "decoder.slot.canvas."): w for name, w in weights.items()}
        if self.config.inputs.viewpoint:  # what it makes of the viewpoint is nothing at first
            name = "refine.cell.by_input.weight"
            start[name] = functional.pad(start[name], (0, own[name].shape[1] - start[name].shape[1]))
        return own | start

    # -- a scene ------------------------------------------------------------------------------------------------

    def forward(
        self,
        observation: Observation,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        noise: Tensor | None = None,
    ) -> Output:
        """Explain a scene; see `SceneModel.forward`. Terms are weighted means over decodes and views, queries apart."""
        self.check(observation)
        frames, cameras = observation.frames, self._cameras(observation, seed)
        batch, views = frames.shape[:2]
        posterior = self.beginning(batch, slots)
        first, totals = self._first_prior(posterior), dict[str, Any]()
        decodes, (observed, queried) = self.decodes(0, self.count_refinements(refinements)), self.split(views, seed)
        for rank, v in enumerate(observed):
            eps = [self._noise(posterior, seed, v, r) if noise is None else noise[:, v, r] for r in range(decodes)]
            context = self.context(frames[:, v], cameras[:, v], self.engine.posterior(posterior) if rank else first)
            posterior, terms = self.refine_view(context, posterior, eps, scored=True)
            weight = 2 * (rank + 1) / (len(observed) * (len(observed) + 1))
            totals = {name: totals.get(name, 0.0) + weight * term for name, term in terms.items()}
        last = self._noise(posterior, seed, 0, decodes) if noise is None else noise[:, 0, decodes]
        contexts = [self.context(frames[:, v], cameras[:, v], first) for v in range(views)]
        totals["query"] = self._query([contexts[v] for v in queried], posterior, last)
        return Output(lambda: self._explain(contexts, posterior, last), totals)

    # -- view after view ----------------------------------------------------------------------------------------

    def initial_state(self, batch: int = 1, slots: int | None = None, seed: int = 0) -> State:
        """Return the state before the first view: lambda0 in every slot, `posterior` (B, K, 2Z), and no viewpoint."""
        viewpoint = self.initial.new_zeros(batch, self.config.viewpoint)
        posterior = self.beginning(batch, slots).detach().clone()
        return super().initial_state(batch, slots, seed) | {"posterior": posterior, "viewpoint": viewpoint.detach()}

    def frame_form(self, frame: int, refinements: int | None = None) -> Hashable:
        """Return whether the prior of a view is the posterior before it; see `SceneModel.frame_form`."""
        return frame > 0 or self.config.first_prior == "lam0"

    @torch.no_grad()
    def explain_frame(self, frame: Tensor, state: State, refinements: int | None = None) -> tuple[Decomposition, State]:
        """Let one more view of a scene, from the state's `viewpoint`, teach the slots; see `SceneModel.explain_frame`.

        The view is drawn from the posterior that it left, under the same sample for all views: what `forward` says of
        the last of the views so far.
        """
        view, before = int(state["frame"]), state["posterior"]
        decodes = self.decodes(refinements=self.count_refinements(refinements))
        seed, first = int(state["seed"]), self._first_prior(before)
        prior = self.engine.posterior(before) if self.frame_form(view) else first
        eps = [self._noise(before, seed, view, r) for r in range(decodes)]
        context = self.context(frame, state["viewpoint"], prior)
        posterior, _ = self.refine_view(context, before, eps, scored=False)
        last = self._noise(before, seed, 0, decodes)
        part = self._draw(dataclasses.replace(context, prior=first), posterior, last)
        return part, state | {"posterior": posterior, "frame": state["frame"] + 1}

    @torch.no_grad()
    def infer(
        self,
        frames: Tensor,
        viewpoints: Tensor,
        slots: int | None = None,
        refinements: int | None = None,
        seed: int = 0,
        posterior: Gaussian | None = None,
    ) -> Gaussian:
        """Return the posterior after views of a scene; see `Renders.infer`."""
        observation = Observation(frames, None, viewpoints)
        self.check(observation)
        views = frames.shape[1]
        if not views:
            raise InputError("frames", "hold no view to observe.", "Give at least one.")
        begun = posterior is not None
        state = torch.cat([*posterior], -1) if posterior is not None else self.beginning(len(frames), slots).detach()
        for v in range(views):
            prior = self.engine.posterior(state) if begun or v else self._first_prior(state)
            eps = [self._noise(state, seed, v, r) for r in range(self.decodes(refinements=refinements))]
            context = self.context(frames[:, v], viewpoints[:, v], prior)
            state, _ = self.refine_view(context, state, eps, scored=False)
        return self.engine.posterior(state)

    @torch.no_grad()
    def render(self, posterior: Gaussian, viewpoints: Tensor, seed: int | None = 0) -> Decomposition:
        """Draw a scene from viewpoints; see `Renders.render`."""
        batch = len(posterior.mean)
        if viewpoints.ndim != 3 or viewpoints.shape[0] != batch or viewpoints.shape[2] != self.config.viewpoint:
            problem = f"must have shape (B, V, D) = {(batch, 'V', self.config.viewpoint)}; "
            raise InputError("viewpoints", f"{problem}found {tuple(viewpoints.shape)}.")
        raw = torch.cat([*posterior], -1)
        noise = torch.zeros_like(posterior.mean) if seed is None else self._noise(raw, seed, 0, 0)
        blank = raw.new_zeros(batch, *self.frame_shape)
        contexts = [self.context(blank, v, self._first_prior(raw)) for v in viewpoints.to(raw).unbind(1)]
        return Decomposition.join([self._draw(context, raw, noise, invented=True) for context in contexts])

    @torch.no_grad()
    def decode(self, latents: Tensor, state: dict[str, Tensor] | None = None) -> Pair:
        """Draw latents; see `Decodes.decode`.

        Args:
            latents: Shape (B, K, Z).
            state: `viewpoint`, shape (B, D); a viewpoint of zeros where None.
        """
        batch, slots = latents.shape[:2]
        viewpoint = latents.new_zeros(batch, self.config.viewpoint) if state is None else state["viewpoint"]
        appearance, logits = self.decoder(latents, viewpoint.unsqueeze(1).expand(-1, slots, -1))
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
        """Weigh samples of the posterior after the last view, by that view and its prior alone; shape (B, 1, S)."""
        self.check(observation)
        frames, cameras = observation.frames, self._cameras(observation, seed)
        settings = (slots, refinements, seed)
        q = self.infer(frames, cameras, *settings)
        prior = self._first_prior(torch.cat([*q], -1))
        if frames.shape[1] > 1:
            prior = self.infer(frames[:, :-1], cameras[:, :-1], *settings)

        def log_likelihood(n: int, latents: Tensor) -> dict[str, Tensor]:
            viewpoint = cameras[n, -1].expand(*latents.shape[:2], -1)
            mixture = self.engine.explain(frames[n : n + 1, -1], self.decoder(latents, viewpoint))
            return {"": mixture.log_likelihood.double().sum((1, 2, 3))}

        weights = importance_log_weights(q, prior, log_likelihood, samples, seed)
        return {name: w.unsqueeze(1) for name, w in weights.items()}

    # -- parts of it --------------------------------------------------------------------------------------------

    def beginning(self, batch: int, slots: int | None = None) -> Tensor:
        """Return lambda (B, K, 2Z) before the first view.

        Raises:
            InputError: Fewer than one slot is asked for.
        """
        return self.initial.expand(batch, self.count_slots(slots), -1)

    def refine_view(
        self, context: FrameContext, posterior: Tensor, noise: Sequence[Tensor], scored: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return lambda (B, K, 2Z) after one view, whose LSTM starts at zero, and the weighted terms where wanted.

        `noise` is that of each decode, (B, K, Z).
        """
        zeros = posterior.new_zeros(*posterior.shape[:2], self.config.hidden)
        carry, totals, decodes = (zeros, zeros), dict[str, Any](), len(noise)
        selection, gradient_start = self.selection(decodes), self.gradient_start(decodes)
        for r, eps in enumerate(noise):
            source = posterior
            with torch.set_grad_enabled(torch.is_grad_enabled() and r >= gradient_start):
                decode, posterior, carry = self.engine.decode(context, posterior, carry, eps, refine=r + 1 < decodes)
            selection.see(r, decode, source, carry)
            if scored and r >= gradient_start:
                weight = 2 * (r + 1) / (decodes * (decodes + 1))
                terms = self.terms_of(decode, context, source, eps)
                totals = {name: totals.get(name, 0.0) + weight * term for name, term in terms.items()}
        return selection.best.posterior, totals

    def terms_of(self, decode: Decode, context: FrameContext, posterior: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return the terms of a decode, each (B,); the KL in closed form or of the one sample, as settings say."""
        terms = dict(decode.terms)
        if self.config.kl_estimate == "sample":
            q = self.engine.posterior(posterior)
            away = (q.sample(noise) - context.prior.mean).square() * (-context.prior.log_variance).exp()
            kl = 0.5 * (context.prior.log_variance + away - q.log_variance - noise.square())
            terms["kl"] = kl.sum((1, 2))
        return terms

    def _query(self, contexts: Sequence[FrameContext], posterior: Tensor, noise: Tensor) -> Tensor:
        """Return the mean NLL of queried views, shape (B,); 0 where there are none."""
        zero = posterior.new_zeros(len(posterior))
        decodes = (self.engine.decode(each, posterior, each.time, noise, refine=False)[0] for each in contexts)
        return sum((decode.terms["nll"] for decode in decodes), zero) / max(1, len(contexts))

    def _explain(self, contexts: Sequence[FrameContext], posterior: Tensor, noise: Tensor) -> Decomposition:
        with torch.no_grad():
            return Decomposition.join([self._draw(context, posterior.detach(), noise) for context in contexts])

    def _draw(self, context: FrameContext, posterior: Tensor, noise: Tensor, invented: bool = False) -> Decomposition:
        """Return one view as the posterior draws it; where nobody has seen it, what is drawn is taken for it."""
        decode, *_ = self.engine.decode(context, posterior, context.time, noise, refine=False)
        mixture = decode.mixture
        if invented:
            mixture = self.engine.explain(mixture.composed, decode.drawing)
        return decomposed(mixture, self.engine.posterior(posterior), context.prior, seen=not invented)

    def context(self, image: Tensor, viewpoint: Tensor, prior: Gaussian) -> FrameContext:
        """Return what all decodes of a view (B, C, H, W) share; the decoder finds viewpoints where h of a video is."""
        viewpoint = viewpoint.unsqueeze(1).expand(-1, prior.mean.shape[1], -1)
        return FrameContext(image, (viewpoint, viewpoint), prior, self.weights)

    def _first_prior(self, posterior: Tensor) -> Gaussian:
        """Return the prior of the first view, (B, K, Z)."""
        lam0 = self.initial.expand_as(posterior)
        return self.engine.posterior(lam0 if self.config.first_prior == "lam0" else torch.zeros_like(lam0))

    def _cameras(self, observation: Observation, seed: int) -> Tensor:
        """Return the viewpoints, in training with noise that is the same for all scenes of the batch."""
        viewpoints = observation.viewpoints
        if viewpoints is None:
            raise InputError("viewpoints", "are not given.")
        viewpoints = viewpoints.to(observation.frames)
        if not (self.training and self.config.viewpoint_noise):
            return viewpoints
        noise = seeded_noise(tuple(viewpoints.shape[1:]), seed, _JITTER, device=viewpoints.device)
        return viewpoints + self.config.viewpoint_noise * noise

    def _noise(self, posterior: Tensor, seed: int, *keys: int) -> Tensor:
        shape = (*posterior.shape[:2], self.config.latent)
        return seeded_noise(shape, seed, *keys, device=posterior.device)
