"""Iterative inference: one decode (sample, draw, score, refine), how many there are, and which of a frame's is kept.

Every iterative model runs on it. A decode makes one decoder graph: the training backward and the posterior gradient
share it, and at inference it is gone when the decode ends, so memory does not depend on the number of refinements or
frames.

More refinements than a network was trained with may lead its posterior astray. The evidence lower bound of a frame,
log p - KL, is known after every decode, so that a frame need not follow: of the last trained decode and all later ones
it keeps the one with the largest bound, and with it the posterior and the state that led to it. Weights of training do
not enter, and the bound is of the one sample drawn. Each frame of a batch chooses for itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from scenewise.config import setting
from scenewise.decomposition import Decomposition
from scenewise.errors import InputError
from scenewise.nn.layers import normalise, pooled
from scenewise.variational.duplicates import DuplicateSettings
from scenewise.variational.gaussian import Gaussian, posterior_of, scale_slope, seeded_noise
from scenewise.variational.mixture import SpatialMixture
from scenewise.variational.recomputation import recomputed
from scenewise.variational.refinement import (
    ImageGradients,
    Inputs,
    Weights,
    image_gradients,
    posterior_gradient,
    step_terms,
)

if TYPE_CHECKING:
    from torch import nn

Pair = tuple[Tensor, Tensor]
TERMS = ("nll", "kl", "entropy", "area_entropy", "duplicates")
"""Terms of one decode; the last is the LDS prior, for training only: no gradient input sees it."""


@dataclass(frozen=True)
class FrameContext:
    """What all decodes of a frame share.

    Attributes:
        frame: Shape (B, C, H, W).
        time: (h, c) left by the last frame, each (B, K, hidden).
        prior: p(z) of this frame.
        weights: Of the step loss.
        composed_weight: Weight of the composed image's likelihood.
        extra: More image inputs that are the same for all slots, each (B, channels, H, W).
    """

    frame: Tensor
    time: Pair
    prior: Gaussian
    weights: Weights
    composed_weight: float = 0.0
    extra: tuple[Tensor, ...] = ()


class Terms(Mapping[str, Tensor]):
    """Terms of a decode by name, computed when they are first looked at: streaming never does.

    Args:
        make: Computes them.
    """

    def __init__(self, make: Callable[[], dict[str, Tensor]]) -> None:
        self._make = make
        self._made: dict[str, Tensor] | None = None

    def __getitem__(self, name: str) -> Tensor:
        if self._made is None:
            self._made = self._make()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TERMS)

    def __len__(self) -> int:
        return len(TERMS)


@dataclass(frozen=True)
class Decode:
    """How one sample of the posterior draws and explains a frame.

    Attributes:
        latent: The sample, shape (B, K, M).
        drawing: Appearance and mask logits.
        mixture: How they explain the frame.
        terms: In nats per sample, each of shape (B,).
    """

    latent: Tensor
    drawing: Pair
    mixture: SpatialMixture
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class Engine:
    """A decoder and a refinement network at work.

    Attributes:
        decoder: (z, h) to appearance and mask logits.
        refiner: Image inputs, vectors and states to an update of the posterior and a state.
        inputs: Which inputs the refiner sees.
        sigma: Standard deviation of a pixel.
        mixture: "pixel" or "channel".
        output: "gaussian" or "logistic".
        scale: How the scale half of lambda gives the variance, a `gaussian.LambdaScale`.
        pooling: The image inputs are pooled by this factor.
        recompute: Recompute a decode in the backward pass instead of storing it.
        cut: Let the training gradient reach earlier refinements through the recurrent state alone, not through lambda
            and the images (iodine.md 4.4).
        duplicates: The prior against duplicate slots, a term of training.

    Class attributes:
        traceable: Whether a decode depends on nothing but the tensors of a frame, so that it can be compiled.
    """

    traceable: ClassVar[bool] = True

    decoder: nn.Module
    refiner: nn.Module
    inputs: Inputs
    sigma: float
    mixture: str = "pixel"
    output: str = "gaussian"
    scale: str = "log_variance"
    pooling: int = 1
    recompute: bool = False
    cut: bool = False
    duplicates: DuplicateSettings = field(default_factory=DuplicateSettings)

    def decode(
        self, context: FrameContext, posterior: Tensor, refinement: Pair, noise: Tensor, refine: bool
    ) -> tuple[Decode, Tensor, Pair]:
        """Run one decode, and refine.

        Args:
            context: The frame.
            posterior: lambda, shape (B, K, 2M).
            refinement: (h, c) of the last refinement.
            noise: Standard normal, shape (B, K, M).
            refine: Whether to refine after the decode.

        Returns:
            The decode, and posterior and state after it (as they were without `refine`).

        Raises:
            InputError: It is called in `torch.inference_mode`, where nothing can be differentiated.
        """
        if torch.is_inference_mode_enabled():
            problem = "refinement needs gradients of the decoder, which it forbids."
            raise InputError("torch.inference_mode", problem, "Use torch.no_grad instead.")
        if self.recompute and torch.is_grad_enabled():
            return self._recomputed(context, posterior, refinement, noise, refine)
        decode = self._draw(context, posterior, noise, refine)
        if not refine:
            return decode, posterior, refinement
        return decode, *self._refine(context, decode, posterior, refinement, noise)

    def posterior(self, raw: Tensor) -> Gaussian:
        """Return q(z; lambda) of lambda (..., 2M)."""
        return posterior_of(raw, self.scale)

    def explain(self, frame: Tensor, drawing: Pair, composed_weight: float = 0.0) -> SpatialMixture:
        """Return how a drawing of the slots explains a frame."""
        return SpatialMixture(frame, *drawing, self.sigma, self.mixture, composed_weight, self.output)

    def update(
        self,
        context: FrameContext,
        evidence: tuple[SpatialMixture, ImageGradients, Tensor],
        posterior: Tensor,
        refinement: Pair,
    ) -> tuple[Tensor, Pair]:
        """Return posterior and state after one refinement.

        Args:
            context: The frame.
            evidence: The mixture, the image-space gradients, and the gradient by the posterior (B, K, 2M).
            posterior: lambda.
            refinement: (h, c) of the last refinement.
        """
        mixture, gradients, by_posterior = evidence
        shared, per_slot = self.inputs.build(mixture, gradients, context.extra)
        if self.pooling > 1:
            shared, per_slot = pooled(shared, self.pooling), pooled(per_slot, self.pooling)
        if self.cut:
            shared, per_slot, posterior = shared.detach(), per_slot.detach(), posterior.detach()
        whole = "posterior_gradient" not in self.inputs.left_out
        vectors = torch.cat([posterior, normalise(by_posterior, 1)], -1) if whole else posterior
        update, state = self.refiner((shared, per_slot), vectors, context.time, refinement)
        return posterior + update, state

    def _draw(self, context: FrameContext, posterior: Tensor, noise: Tensor, refine: bool) -> Decode:
        """Sample, draw, score. Without a training graph only the decoder's own graph is made, and only to refine."""
        q = self.posterior(posterior)
        latent, hidden = q.sample(noise), context.time[0]
        training = torch.is_grad_enabled()
        with torch.set_grad_enabled(training or refine):
            if not (training and latent.requires_grad):  # at inference, or with nothing to train above it
                latent = latent.detach().requires_grad_(refine)
            hidden = hidden if training else hidden.detach()
            drawing = self.decoder(latent, hidden)
        visible = drawing if training else (drawing[0].detach(), drawing[1].detach())
        mixture = self.explain(context.frame, visible, context.composed_weight)
        if training:  # now, with a graph: what the image gradients share with the terms is then worked out once
            return Decode(latent, drawing, mixture, self._terms(mixture, q, context.prior, latent))
        return Decode(latent, drawing, mixture, Terms(lambda: self._terms(mixture, q, context.prior, latent)))

    def _terms(self, mixture: SpatialMixture, q: Gaussian, prior: Gaussian, latent: Tensor) -> dict[str, Tensor]:
        return step_terms(mixture, q, prior) | {"duplicates": self.duplicates.loss(latent, q.mean)}

    def _refine(
        self, context: FrameContext, decode: Decode, posterior: Tensor, refinement: Pair, noise: Tensor
    ) -> tuple[Tensor, Pair]:
        q, w = self.posterior(posterior), context.weights
        gradients = image_gradients(decode.mixture, w, self.inputs.mask_gradient == "mask")
        by_posterior = torch.zeros_like(posterior)
        if "posterior_gradient" not in self.inputs.left_out:
            slope = scale_slope(posterior.detach(), self.scale)
            by_posterior = posterior_gradient(
                decode.drawing, decode.latent, noise, q, context.prior, gradients, w, torch.is_grad_enabled(), slope
            )
        return self.update(context, (decode.mixture, gradients, by_posterior), posterior, refinement)

    def _recomputed(
        self, context: FrameContext, posterior: Tensor, refinement: Pair, noise: Tensor, refine: bool
    ) -> tuple[Decode, Tensor, Pair]:
        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            """Decode, and refine where wanted, from tensors to tensors, as recomputation takes it."""
            frame, h, c, mean, log_variance, lam, h_r, c_r, eps = tensors[:9]
            prior = Gaussian(mean, log_variance)
            local = FrameContext(frame, (h, c), prior, context.weights, context.composed_weight, tensors[9:])
            decode = self._draw(local, lam, eps, refine)
            after, state = self._refine(local, decode, lam, (h_r, c_r), eps) if refine else (lam, (h_r, c_r))
            drawing = decode.drawing
            if not torch.is_grad_enabled():
                drawing = (drawing[0].detach(), drawing[1].detach())
            return (after * 1, state[0] * 1, state[1] * 1, *drawing, *(decode.terms[name] for name in TERMS))

        inputs = (context.frame, *context.time, *context.prior, posterior, *refinement, noise, *context.extra)
        parameters = [*self.decoder.parameters(), *self.refiner.parameters()]
        after, h, c, appearance, logits, *terms = recomputed(run, inputs, parameters)
        mixture = self.explain(context.frame, (appearance.detach(), logits.detach()), context.composed_weight)
        return Decode(noise, (appearance, logits), mixture, dict(zip(TERMS, terms, strict=True))), after, (h, c)


@dataclass(frozen=True)
class DecodedFrame:
    """A frame as the slots of one of its decodes explain it.

    Attributes:
        frame: Shape (B, C, H, W).
        mixture: How the slots explain it, at the size at which the model works.
        posterior: q of the latents they were drawn from, (B, K, Z).
        prior: p(z), (B, K, Z).
        seen: Whether somebody saw the frame; not one that was predicted.
    """

    frame: Tensor
    mixture: SpatialMixture
    posterior: Gaussian
    prior: Gaussian
    seen: bool = field(default=True, kw_only=True)

    def decomposition(self) -> Decomposition:
        """Return it as a decomposition with T = 1, without a graph."""
        return decomposed(self.mixture, self.posterior, self.prior, self.seen)


@torch.no_grad()
def decomposed(mixture: SpatialMixture, posterior: Gaussian, prior: Gaussian, seen: bool = True) -> Decomposition:
    """Return one explained frame of each of B videos as a decomposition with T = 1, without a graph.

    Args:
        mixture: How the slots explain the frame.
        posterior: q of the latents they were drawn from, (B, K, Z).
        prior: p(z), (B, K, Z).
        seen: Whether somebody saw the frame: its pixels then have slots that explain them.
    """
    likelihood, kl = mixture.log_likelihood.sum((1, 2, 3)), posterior.kl(prior).sum((1, 2))
    parts = (mixture.masks, mixture.appearance, *posterior, *prior, likelihood, kl)
    decomposition = Decomposition(*(p.detach().unsqueeze(1) for p in parts))
    if not seen:
        return decomposition
    shares = mixture.responsibilities.mean(2, keepdim=True)  # of channels that are mixtures by themselves
    return replace(decomposition, responsibilities=shares.detach().unsqueeze(1))


# -- how many decodes there are, and which is kept -------------------------------------------------------------------

ExtraRefinements = Literal["better", "all"]
"""Refinements beyond the trained number that count: those that raise a frame's bound, or all."""


@dataclass(frozen=True)
class BudgetSettings:
    """How models spend refinements, beside `refinements`, the R they use where none is asked for.

    `most`: every training step draws its R from `refinements` to this one, each as likely, so that a user may ask for
    any of them. `gradient_decodes`: only the last decodes of a frame have a gradient and count in the loss; those
    before them lead anywhere at less cost. `extra`: with "better", a frame keeps of its decodes from the last trained
    one on the one with the largest bound; the papers have "all".
    """

    most: int = setting(0, "Largest R that training draws; 0 for R always (ours)", minimum=0, maximum=64)
    gradient_decodes: int = setting(0, "Last decodes of a frame that are trained; 0: all (ours)", minimum=0, maximum=64)
    extra: ExtraRefinements = setting("all", "At test, beyond the trained R: only better ones, or all")


@dataclass(frozen=True)
class Candidate:
    """A decode and what led to it.

    Attributes:
        mixture: How the slots explain the frame.
        posterior: The lambda they were drawn from, shape (B, K, 2M).
        carry: (h, c) that go with it, each (B, K, hidden).
        terms: Of the decode, in nats, each (B,); `nll` and `kl` are looked at.
    """

    mixture: SpatialMixture
    posterior: Tensor
    carry: Pair
    terms: Mapping[str, Tensor]

    def unless(self, other: Candidate) -> Candidate:
        """Return `other` for the samples in which its bound is larger, this one for the rest; NaN is never larger."""
        ours, theirs = (-(candidate.terms["nll"] + candidate.terms["kl"]) for candidate in (self, other))
        better = theirs > ours
        mixture = replace(
            self.mixture,
            appearance=_where(better, other.mixture.appearance, self.mixture.appearance),
            logits=_where(better, other.mixture.logits, self.mixture.logits),
        )
        (h, c), (new_h, new_c) = self.carry, other.carry
        terms = {name: _where(better, other.terms[name], self.terms[name]) for name in ("nll", "kl")}
        posterior = _where(better, other.posterior, self.posterior)
        return Candidate(mixture, posterior, (_where(better, new_h, h), _where(better, new_c, c)), terms)


class DecodeSelection:
    """Looks at the decodes of a frame, one after the other, and keeps one.

    Args:
        decodes: How many there will be.
        trained: How many there are with the trained number of refinements; from the last of them on bounds are
            compared. None where all refinements count.

    Attributes:
        best: What it keeps so far.
    """

    best: Candidate

    def __init__(self, decodes: int, trained: int | None) -> None:
        self._free_choice = decodes if trained is None else trained - 1

    def see(self, r: int, decode: Decode, posterior: Tensor, carry: Pair) -> None:
        """Look at a decode.

        Args:
            r: Its number, from 0.
            decode: The decode.
            posterior: The lambda it was drawn from.
            carry: The state to hand on if it is kept.
        """
        new = Candidate(decode.mixture, posterior, carry, decode.terms)
        self.best = self.best.unless(new) if r > self._free_choice else new


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (new.ndim - 1)), new, old)


_REFINEMENTS = 1 << 20  # key of the random stream that numbers of refinements are drawn from


class Refines(ABC):
    """What models share that refine the posterior of every frame, decode by decode, under `BudgetSettings`.

    It goes before `SceneModel` among a model's bases.
    """

    config: Any
    training: bool
    _step = 0

    def begin_step(self, step: int) -> None:
        """Note the number of the training step, from which R is drawn."""
        self._step = step

    @abstractmethod
    def decodes(self, frame: int = 0, refinements: int | None = None) -> int:
        """Return the number of decodes of a frame; see `SceneModel.decodes`."""

    @property
    def refinement_range(self) -> tuple[int, int]:
        """Fewest and most refinements that training sees."""
        return self.config.refinements, max(self.config.refinements, self.config.budget.most)

    def count_refinements(self, refinements: int | None) -> int:
        """Return R, where None the settings' value, or in training the one drawn for the step.

        The draw depends on nothing but the step's number: all parts of its batch draw alike, and so does a resumed run.
        """
        least, most = self.refinement_range
        if refinements is not None or not self.training or least == most:
            return least if refinements is None else refinements
        return least + int(seeded_noise((most - least + 1,), self._step, _REFINEMENTS).argmax())  # each as likely

    def gradient_start(self, decodes: int) -> int:
        """Return the first of a frame's decodes that has a gradient and counts in the loss."""
        trained = self.config.budget.gradient_decodes if self.training else 0
        return max(0, decodes - trained) if trained else 0

    def selection(self, decodes: int, frame: int = 0) -> DecodeSelection:
        """Return what says which of a frame's decodes is kept: the last, in training and up to the trained R."""
        free = self.config.budget.extra == "better" and not self.training
        return DecodeSelection(decodes, self.decodes(frame, self.refinement_range[1]) if free else None)
