"""One step of iterative amortised inference: what the refinement network sees, in closed form.

Image-space gradients need no backward pass. Only the decoder is differentiated, once per step and with respect to the
latent alone, on the same graph the training loss uses; no second-order graph is built (iodine.md 4.1 and 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from scenewise.config import setting
from scenewise.nn.layers import coordinates, cosines, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scenewise.variational.gaussian import Gaussian
    from scenewise.variational.mixture import SpatialMixture

T = TypeVar("T")


@dataclass(frozen=True)
class Weights:
    """Weights of the step loss L = reconstruction NLL + kl KL + entropy H(k|pixel) + area_entropy H(k) pixels.

    A weight that a schedule moves may be a tensor of one number, which a captured graph of a training step reads anew
    (see `Numbers.live`).
    """

    reconstruction: float = 1.0
    kl: float = 1.0
    entropy: float = 0.0
    area_entropy: float | Tensor = 0.0


def area_entropy(masks: Tensor) -> Tensor:
    """Entropy of the share of the frame each slot takes, times the number of pixels; nats, shape (B,).

    It is the code length of the slot map under its own slot frequencies: it is smallest when one slot takes all that
    no other slot needs, so that an empty background goes to one slot.
    """
    share = masks.mean((2, 3, 4))
    return -(share * share.clamp_min(1e-9).log()).sum(1) * masks.shape[-1] * masks.shape[-2]


def step_terms(mixture: SpatialMixture, posterior: Gaussian, prior: Gaussian) -> dict[str, Tensor]:
    """Return the terms of one decode in nats per sample, each of shape (B,)."""
    return {
        "nll": -mixture.log_likelihood.sum((1, 2, 3)),
        "kl": posterior.kl(prior).sum((1, 2)),
        "entropy": mixture.mask_entropy.sum((1, 2, 3)),
        "area_entropy": area_entropy(mixture.masks),
    }


@dataclass(frozen=True)
class ImageGradients:
    """Gradients of the step loss in image space, without a graph.

    Attributes:
        appearance: With respect to mu, shape (B, K, C, H, W).
        masks: With respect to the masks taken as free, shape (B, K, 1, H, W); None where nobody asked.
        logits: With respect to the mask logits, shape (B, K, 1, H, W).
    """

    appearance: Tensor
    masks: Tensor | None
    logits: Tensor

    @classmethod
    def none(cls, mixture: SpatialMixture) -> ImageGradients:
        """Return gradients that are 0 everywhere: of a frame that nobody saw."""
        appearance, logits = torch.zeros_like(mixture.appearance), torch.zeros_like(mixture.logits)
        return cls(appearance, logits, logits)


@torch.no_grad()
def image_gradients(mixture: SpatialMixture, weights: Weights, masks: bool = True) -> ImageGradients:
    """Return the closed-form gradients of the weighted step loss.

    Args:
        mixture: What was drawn.
        weights: Of the step loss.
        masks: Whether the gradient by the masks taken as free is wanted.
    """
    regular: Tensor | None = None
    if weights.entropy:
        regular = -weights.entropy * (mixture.log_masks + 1)
    if isinstance(weights.area_entropy, Tensor) or weights.area_entropy:
        share = mixture.masks.mean((2, 3, 4), keepdim=True).clamp_min(1e-9)
        by_area = -weights.area_entropy * (share.log() + 1)
        regular = by_area if regular is None else regular + by_area
    by_mask = _scaled(mixture.mask_gradient(), weights.reconstruction) if masks else None
    by_logit = _scaled(mixture.logit_gradient(), weights.reconstruction)
    if regular is not None:
        by_mask = None if by_mask is None else by_mask + regular
        by_logit = by_logit + mixture.masks * (regular - (mixture.masks * regular).sum(1, keepdim=True))
    return ImageGradients(_scaled(mixture.appearance_gradient(), weights.reconstruction), by_mask, by_logit)


def _scaled(values: Tensor, weight: float) -> Tensor:
    return values if weight == 1 else weight * values


def posterior_gradient(
    drawing: tuple[Tensor, Tensor],
    latent: Tensor,
    noise: Tensor,
    posterior: Gaussian,
    prior: Gaussian,
    gradients: ImageGradients,
    weights: Weights,
    keep_graph: bool,
    slope: Tensor | float = 1.0,
) -> Tensor:
    """Return the gradient of the step loss, summed over the batch, with respect to lambda = (mean, scale).

    Args:
        drawing: The decoder's appearance and mask logits, with a graph down to `latent`.
        latent: The sample that was drawn, shape (B, K, Z).
        noise: Its noise, shape (B, K, Z).
        posterior: q, for the closed-form gradient of the KL.
        prior: p.
        gradients: Gradients at the decoder's output.
        weights: Of the step loss.
        keep_graph: Whether the training backward still needs the decoder's graph.
        slope: Derivative of the log-variance by the scale.

    Returns:
        Shape (B, K, 2Z), without a graph.
    """
    outputs = (gradients.appearance.to(drawing[0].dtype), gradients.logits.to(drawing[1].dtype))
    with torch.enable_grad():
        root = _Root.apply(*drawing, *outputs)
    (by_latent,) = torch.autograd.grad(root, latent, retain_graph=keep_graph)
    with torch.no_grad():
        by_mean, by_log_variance = posterior.kl_gradient(prior)
        through_std = 0.5 * by_latent * noise * (0.5 * posterior.log_variance).exp()
        by_scale = (through_std + weights.kl * by_log_variance) * slope
        return torch.cat([by_latent + weights.kl * by_mean, by_scale], -1)


class _Root(torch.autograd.Function):
    """A scalar whose gradients by a drawing are those given.

    torch.autograd.grad takes them too, and imports SymPy for it: half a second at the start of every command.
    """

    @staticmethod
    def forward(ctx: Any, appearance: Tensor, logits: Tensor, by_appearance: Tensor, by_logits: Tensor) -> Tensor:
        """Return 0, and keep the gradients."""
        ctx.save_for_backward(by_appearance, by_logits)
        return appearance.new_zeros(())

    @staticmethod
    def backward(ctx: Any, by_root: Tensor) -> tuple[Tensor | None, ...]:  # of 1
        """Return the gradients that were kept."""
        return (*ctx.saved_tensors, None, None)


RefinerInput = Literal[
    "image", "means", "masks", "mask_logits", "mean_gradient", "mask_gradient", "posterior_gradient", "mask_posterior",
    "likelihood", "leave_one_out", "coordinates",
]  # fmt: skip
INPUTS: tuple[str, ...] = get_args(RefinerInput)
"""The auxiliary inputs of the refinement network in the order of IODINE's section 2.2; lambda itself comes on top."""


@dataclass(frozen=True)
class Inputs:
    """Which inputs the refinement network gets beside lambda (IODINE section 2.2 and appendix C)."""

    left_out: tuple[RefinerInput, ...] = setting((), "Inputs of the 11 that are left out")
    mask_gradient: Literal["mask", "logit"] = setting("mask", "Gradient by the mask, or by its logit (IODINE's code)")
    mask_posterior: Literal["exact", "softmax_of_lik"] = setting(
        "exact", "N_k / sum N_j, or softmax of likelihoods (PROVIDE's code)"
    )
    likelihood: Literal["log", "probability", "ratio"] = setting(
        "log", "log P, log P_(-k); P, P_(-k); or log P, log P / P_(-k) (IODINE's code)"
    )
    coordinates: Literal["linear", "cosine"] = setting("linear", "In [-1, 1], or the 8 lowest cosines (IODINE's code)")

    def channels(self, colours: int) -> tuple[int, int]:
        """Return the numbers of shared and per-slot channels for frames with `colours` channels."""
        shared = {"image": colours, "likelihood": 1, "coordinates": 2 if self.coordinates == "linear" else 8}
        per_slot = {"means": colours, "masks": 1, "mask_logits": 1, "mask_posterior": 1}
        per_slot |= {"mean_gradient": colours, "mask_gradient": 1, "leave_one_out": 1}
        return sum(self._chosen(shared)), sum(self._chosen(per_slot))

    def vectors(self, latent: int) -> int:
        """Return how many numbers it gets beside images: lambda and the gradient by it, each twice `latent`."""
        return 2 * latent * (1 if "posterior_gradient" in self.left_out else 2)

    def build(
        self, mixture: SpatialMixture, gradients: ImageGradients, extra_shared: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor]:
        """Return shared (B, S, H, W) and per-slot (B, K, P, H, W) inputs; gradient flows through mu, m and logits."""
        frame = mixture.frame
        shared: dict[str, Callable[[], Tensor]] = {
            "image": lambda: frame,
            "likelihood": lambda: self._likelihood(mixture),
            "coordinates": lambda: _grid(self.coordinates, *frame.shape[-2:], frame.device, frame.dtype).expand(
                len(frame), -1, -1, -1
            ),
        }
        per_slot: dict[str, Callable[[], Tensor]] = {
            "means": lambda: mixture.appearance,
            "masks": lambda: mixture.masks,
            "mask_logits": lambda: mixture.logits,
            "mask_posterior": lambda: (
                mixture.mask_posterior if self.mask_posterior == "exact" else mixture.softmax_of_likelihoods
            ),
            "mean_gradient": lambda: normalise(gradients.appearance, 3),
            "mask_gradient": lambda: normalise(self._by_mask(gradients), 3),
            "leave_one_out": lambda: self._others(mixture),
        }
        images = [make() for make in self._chosen(shared)]
        return torch.cat([*images, *extra_shared], 1), torch.cat([make() for make in self._chosen(per_slot)], 2)

    def _chosen(self, inputs: Mapping[str, T]) -> list[T]:
        return [value for name, value in inputs.items() if name not in self.left_out]

    def _by_mask(self, gradients: ImageGradients) -> Tensor:
        by_mask = gradients.masks if self.mask_gradient == "mask" else gradients.logits
        if by_mask is None:
            raise ValueError("the gradient by masks was not computed")
        return by_mask

    @torch.no_grad()
    def _likelihood(self, mixture: SpatialMixture) -> Tensor:
        values = mixture.log_likelihood
        return normalise(values.exp() if self.likelihood == "probability" else values, 3)

    @torch.no_grad()
    def _others(self, mixture: SpatialMixture) -> Tensor:
        values = mixture.leave_one_out
        if self.likelihood == "ratio":
            values = mixture.log_likelihood.unsqueeze(1) - values
        return normalise(values.exp() if self.likelihood == "probability" else values, 3)


@lru_cache(maxsize=32)
def _grid(kind: str, height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # what is kept must serve training too
        return (coordinates if kind == "linear" else cosines)(height, width, device).to(dtype)
