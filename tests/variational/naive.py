"""The refinement engine the plain way: every gradient by autograd, every convolution over the whole concatenation.

What `scenewise.variational.engine` does in closed form and shared between slots is written here as the papers have it,
so that tests can compare the two and a benchmark can tell what the difference is worth. Nothing here is quick, and
nothing of the product needs it.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from scenewise.nn.layers import BroadcastConv2d, SlotConv2d, coordinates, cosines
from scenewise.variational.engine import Decode, Engine, FrameContext
from scenewise.variational.gaussian import Gaussian
from scenewise.variational.refinement import ImageGradients, Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Pair = tuple[Tensor, Tensor]
RATIO_LIMIT = 60.0
"""The gradient by a mask, N_k / P, is bounded by exp of this."""


@contextlib.contextmanager
def engaged(model: nn.Module) -> Iterator[None]:
    """Within this context the same model with the same weights computes the plain way."""
    plain = {BroadcastConv2d: broadcast_convolution, SlotConv2d: slot_convolution}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(functional, "elu_", functional.elu))
        for module in model.modules():
            if type(module) in plain:
                stack.enter_context(_instead(module, "forward", MethodType(plain[type(module)], module)))
        engine = model.engine
        plain_engine = engine if isinstance(engine, NaiveEngine) else NaiveEngine(engine)
        stack.enter_context(_instead(model, "engine", plain_engine))
        yield


@contextlib.contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of an instance; afterwards it is as it was, absent where it was absent."""
    before = vars(owner).get(name, _instead)
    setattr(owner, name, value)
    try:
        yield
    finally:
        vars(owner).pop(name)
        if before is not _instead:
            setattr(owner, name, before)


def broadcast_convolution(self: BroadcastConv2d, vector: Tensor) -> Tensor:
    """Take (N, inputs); return (N, out, H, W): repeat at every pixel, append coordinates, convolve, ELU."""
    repeated = vector[:, :, None, None].expand(-1, -1, *self.size)
    grid = self.grid.to(vector.dtype).expand(len(vector), -1, -1, -1)
    whole = torch.cat([repeated, grid], 1)
    return functional.elu(functional.conv2d(whole, self.weight, self.bias, padding=self.kernel // 2))


def slot_convolution(self: SlotConv2d, shared: Tensor, per_slot: Tensor) -> Tensor:
    """Take (B, S, H, W) and (B, K, P, H, W); return (B, K, out, H', W'): shared inputs repeated over slots."""
    batch, slots = per_slot.shape[:2]
    repeated = shared.unsqueeze(1).expand(-1, slots, -1, -1, -1)
    whole = torch.cat([repeated, per_slot], 2).flatten(0, 1)
    out = functional.conv2d(whole, self.weight, self.bias, self.stride, self.padding)
    return out.unflatten(0, (batch, slots))


def layer_norm(x: Tensor, dims: int, eps: float = 1e-5) -> Tensor:
    """Normalise over the last `dims` axes: biased variance, eps added to it, no gain."""
    axes = tuple(range(-dims, 0))
    x = x.float()
    away = x - x.mean(axes, keepdim=True)
    return away / (away.square().mean(axes, keepdim=True) + eps).sqrt()


def log_density(x: Tensor, mean: Tensor, sigma: float, output: str) -> Tensor:
    """Return log p(x | mean) of a Gaussian, or of a logistic, with standard deviation `sigma`."""
    if output == "gaussian":
        return -((x - mean) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    scale = sigma * math.sqrt(3) / math.pi
    away = (x - mean) / scale
    return functional.logsigmoid(away) + functional.logsigmoid(-away) - math.log(scale)


@dataclass(frozen=True)
class NaiveMixture:
    """What `SpatialMixture` is, without closed forms.

    Attributes:
        frame: Shape (B, C, H, W).
        appearance: mu, shape (B, K, C, H, W).
        logits: a, shape (B, K, 1, H, W).
        engine: Has sigma, mixture and output.
        composed_weight: Of the composed image's likelihood.
        nudge: Zeros like `logits`, added to the masks wherever the loss sees them: the gradient by it is the gradient
            by the masks taken as free, also where a mask is too small to divide by.
    """

    frame: Tensor
    appearance: Tensor
    logits: Tensor
    engine: Engine
    composed_weight: float = 0.0
    nudge: Tensor | None = None

    @cached_property
    def log_masks(self) -> Tensor:
        return functional.log_softmax(self.logits, 1)

    @cached_property
    def masks(self) -> Tensor:
        return functional.softmax(self.logits, 1)

    @cached_property
    def free_masks(self) -> Tensor:
        return self.masks if self.nudge is None else self.masks + self.nudge

    @cached_property
    def log_components(self) -> Tensor:
        log_n = log_density(self.frame.unsqueeze(1), self.appearance, self.engine.sigma, self.engine.output)
        return log_n.sum(2, keepdim=True) if self.engine.mixture == "pixel" else log_n

    @cached_property
    def responsibilities(self) -> Tensor:
        """Share of each slot in what explains a pixel: m_k N_k / sum_j m_j N_j."""
        return functional.softmax(self.log_masks + self.log_components, 1)

    @cached_property
    def log_mixture(self) -> Tensor:
        """Log sum_k (m_k + nudge_k) N_k = log P + log(1 + sum_k nudge_k N_k / P)."""
        log_p = torch.logsumexp(self.log_masks + self.log_components, 1)
        if self.nudge is None:
            return log_p
        ratio = (self.log_components - log_p.unsqueeze(1)).clamp(max=RATIO_LIMIT).exp()
        return log_p + (self.nudge * ratio).sum(1).log1p()

    @cached_property
    def log_likelihood(self) -> Tensor:
        weight, total = self.composed_weight, torch.zeros_like(self.frame[:, :1])
        if weight < 1:
            total = total + (1 - weight) * self.log_mixture.sum(1, keepdim=True)
        if weight > 0:
            composed = (self.free_masks * self.appearance).sum(1)
            log_n = log_density(self.frame, composed, self.engine.sigma, self.engine.output)
            total = total + weight * log_n.sum(1, keepdim=True)
        return total

    @cached_property
    def mask_entropy(self) -> Tensor:
        """-sum_k m_k log m_k; where nudged to first order, (m + n) log(m + n) = (m + n) log m + n."""
        entropy = -(self.free_masks * self.log_masks).sum(1)
        return entropy if self.nudge is None else entropy - self.nudge.sum(1)

    @cached_property
    def area_entropy(self) -> Tensor:
        share = self.free_masks.mean((2, 3, 4))
        pixels = self.frame.shape[-1] * self.frame.shape[-2]
        return -(share * share.clamp(min=1e-9).log()).sum(1) * pixels

    @cached_property
    def leave_one_out(self) -> Tensor:
        """Log of the mixture of the other slots with their masks renormalised, (B, K, 1, H, W); 0 for one slot."""
        slots, joint = self.logits.shape[1], self.log_masks + self.log_components
        if slots == 1:
            return torch.zeros_like(self.logits)
        found = []
        for k in range(slots):
            others = [j for j in range(slots) if j != k]
            log_p = torch.logsumexp(joint[:, others], 1) - torch.logsumexp(self.log_masks[:, others], 1)
            found.append(log_p.sum(1, keepdim=True))
        return torch.stack(found, 1)

    def mask_posterior(self, kind: str) -> Tensor:
        if kind == "softmax_of_lik":  # no constants, whatever the density
            away = (self.frame.unsqueeze(1) - self.appearance) ** 2 / (2 * self.engine.sigma**2)
            return functional.softmax((-away.sum(2, keepdim=True)).exp(), 1)
        return functional.softmax(self.log_components.sum(2, keepdim=True), 1)


def duplicates(latent: Tensor) -> Tensor:
    """Return -sum over pairs h != j of log N(cosine of z_h and z_j; 0, 0.1²), shape (B,)."""
    found = torch.zeros(len(latent), device=latent.device, dtype=latent.dtype)
    slots = latent.shape[1]
    for h in range(slots):
        for j in range(slots):
            if h != j:
                cosine = functional.cosine_similarity(latent[:, h], latent[:, j], dim=-1, eps=1e-6)
                found = found - log_density(cosine, torch.zeros_like(cosine), 0.1, "gaussian")
    return found


@dataclass(frozen=True)
class NaiveEngine:
    """What `Engine` is, with all gradients by autograd and everything in one graph.

    Attributes:
        plain: The engine whose networks and settings it takes.
    """

    plain: Engine

    def posterior(self, raw: Tensor) -> Gaussian:
        mean, scale = raw.chunk(2, -1)
        return Gaussian(mean, scale if self.plain.scale == "log_variance" else functional.softplus(scale).log())

    def explain(
        self, frame: Tensor, drawn: Pair, composed_weight: float = 0.0, nudge: Tensor | None = None
    ) -> NaiveMixture:
        return NaiveMixture(frame, *drawn, self.plain, composed_weight, nudge)

    def decode(
        self, context: FrameContext, posterior: Tensor, refinement: Pair, noise: Tensor, refine: bool
    ) -> tuple[Decode, Tensor, Pair]:
        training, gradients = torch.is_grad_enabled(), None
        with torch.set_grad_enabled(training or refine):
            if refine and not (training and posterior.requires_grad):
                posterior = posterior.detach().requires_grad_()
            decode = self._draw(context, posterior, noise, refine)
            if refine:
                gradients = self._gradients(decode, posterior, context.weights)
        if not training:
            decode = self._without_graph(context, decode)
        if gradients is None:
            return decode, posterior, refinement
        return decode, *self.update(context, (decode.mixture, *gradients), posterior, refinement)

    def update(
        self, context: FrameContext, evidence: tuple[Any, ImageGradients, Tensor], posterior: Tensor, refinement: Pair
    ) -> tuple[Tensor, Pair]:
        mixture, gradients, by_posterior = evidence
        shared, per_slot = self._images(context, mixture, gradients)
        if self.plain.pooling > 1:
            shared = functional.avg_pool2d(shared, self.plain.pooling)
            slots = [functional.avg_pool2d(image, self.plain.pooling) for image in per_slot.unbind(1)]
            per_slot = torch.stack(slots, 1)
        if self.plain.cut:
            shared, per_slot, posterior = shared.detach(), per_slot.detach(), posterior.detach()
        vectors = torch.cat([posterior, layer_norm(by_posterior, 1)], -1)
        if "posterior_gradient" in self.plain.inputs.left_out:
            vectors = posterior
        update, carried = self.plain.refiner((shared, per_slot), vectors, context.time, refinement)
        return posterior + update, carried

    def _draw(self, context: FrameContext, posterior: Tensor, noise: Tensor, refine: bool) -> Decode:
        q = self.posterior(posterior)
        latent = q.mean + (0.5 * q.log_variance).exp() * noise
        drawn = self.plain.decoder(latent, context.time[0])
        free = refine and self.plain.inputs.mask_gradient == "mask"
        nudge = torch.zeros_like(drawn[1]).requires_grad_() if free else None
        mixture = self.explain(context.frame, drawn, context.composed_weight, nudge)
        terms = {
            "nll": -mixture.log_likelihood.sum((1, 2, 3)),
            "kl": _kl(q, context.prior).sum((1, 2)),
            "entropy": mixture.mask_entropy.sum((1, 2, 3)),
            "area_entropy": mixture.area_entropy,
            "duplicates": duplicates(latent),
        }
        return Decode(latent, drawn, mixture, terms)

    def _gradients(self, decode: Decode, posterior: Tensor, weights: Weights) -> tuple[ImageGradients, Tensor]:
        """Return the gradients of the step loss by means, masks or logits, and lambda, all by one backward pass."""
        loss = weights.reconstruction * decode.terms["nll"] + weights.kl * decode.terms["kl"]
        if weights.entropy:
            loss = loss + weights.entropy * decode.terms["entropy"]
        if weights.area_entropy:
            loss = loss + weights.area_entropy * decode.terms["area_entropy"]
        by = decode.mixture.logits if decode.mixture.nudge is None else decode.mixture.nudge
        asked = (posterior, decode.mixture.appearance, by)
        by_posterior, *images = torch.autograd.grad(loss.sum(), asked, retain_graph=True, create_graph=False)
        return ImageGradients(images[0], images[1], images[1]), by_posterior

    def _images(self, context: FrameContext, mixture: Any, gradients: ImageGradients) -> Pair:
        """Return the image inputs, shared (B, S, H, W) and per slot (B, K, P, H, W)."""
        asked, frame = self.plain.inputs, context.frame
        make = coordinates if asked.coordinates == "linear" else cosines
        grid = make(*frame.shape[-2:], frame.device).expand(len(frame), -1, -1, -1)
        likelihood, others = mixture.log_likelihood.detach(), mixture.leave_one_out.detach()
        if asked.likelihood == "ratio":
            others = likelihood.unsqueeze(1) - others
        if asked.likelihood == "probability":
            likelihood, others = likelihood.exp(), others.exp()
        by_mask = gradients.masks if asked.mask_gradient == "mask" else gradients.logits
        shared = {"image": frame, "likelihood": layer_norm(likelihood, 3), "coordinates": grid}
        per_slot = {
            "means": mixture.appearance,
            "masks": mixture.masks,
            "mask_logits": mixture.logits,
            "mask_posterior": mixture.mask_posterior(asked.mask_posterior),
            "mean_gradient": layer_norm(gradients.appearance, 3),
            "mask_gradient": layer_norm(by_mask, 3),
            "leave_one_out": layer_norm(others, 3),
        }
        for name in asked.left_out:
            shared.pop(name, None)
            per_slot.pop(name, None)
        return torch.cat([*shared.values(), *context.extra], 1), torch.cat([*per_slot.values()], 2)

    def _without_graph(self, context: FrameContext, decode: Decode) -> Decode:
        drawn = (decode.drawing[0].detach(), decode.drawing[1].detach())
        terms = {name: term.detach() for name, term in decode.terms.items()}
        return Decode(decode.latent.detach(), drawn, self.explain(context.frame, drawn, context.composed_weight), terms)


def _kl(q: Gaussian, p: Gaussian) -> Tensor:
    variance, prior = q.log_variance.exp(), p.log_variance.exp()
    return 0.5 * ((variance + (q.mean - p.mean) ** 2) / prior - 1 + p.log_variance - q.log_variance)
