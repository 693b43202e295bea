"""The pixel likelihoods of slot models, with their image-space gradients in closed form.

A pixel x_i is explained by K slots with mask m_ik = softmax_k(a_ik) and mean mu_ik:

- mixture: p(x_i) = sum_k m_ik N(x_i; mu_ik, sigma²) (IODINE eq. 1, PROVIDE eqs. 1, 6), joint over channels ("pixel") or
  one mixture per channel ("channel", as many public codes have it);
- composed: p(x_i) = N(x_i; sum_k m_ik mu_ik, sigma²), the likelihood of the image the slots compose.

N is a Gaussian, or a logistic density of the same standard deviation (IODINE's public code).

`composed_weight` w blends the two log-likelihoods, (1 - w) mixture + w composed.
All of it is float32 and in log space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scenewise.variational.gaussian import log_peak
from scenewise.variational.likelihood import output_gradient, output_log_density

if TYPE_CHECKING:
    from collections.abc import Callable


_LEAST = -87.0
"""Exponents below it give less than the least normal number of float32, at many times the cost."""


class memo:  # noqa: N801 - used like `property`
    """A property of a mixture that is worked out once, and once more where the first time left no graph but one is due.

    Image gradients are worked out under `torch.no_grad` and share what training differentiates; whichever comes first,
    neither may change the other.

    Args:
        work_out: Computes it.
    """

    def __init__(self, work_out: Callable[[SpatialMixture], Tensor]) -> None:
        self.work_out, self.__doc__ = work_out, work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name under which a mixture keeps it."""
        self.name = name

    def __get__(self, mixture: SpatialMixture | None, owner: type) -> Tensor:
        """Return it, with a graph wherever gradients are enabled and something the mixture is made of has one."""
        if mixture is None:
            return self  # type: ignore[return-value]
        values = vars(mixture)
        value: Tensor | None = values.get(self.name)
        if value is None or (not value.requires_grad and mixture.has_graph and torch.is_grad_enabled()):
            value = values[self.name] = self.work_out(mixture)
        return value

    def __set__(self, mixture: SpatialMixture, value: Tensor) -> None:
        """Refuse: mixtures do not change."""
        raise AttributeError(f"{self.name} cannot be set")


@dataclass(frozen=True)
class SpatialMixture:
    """A frame as explained by K slots.

    Attributes:
        frame: Shape (B, C, H, W).
        appearance: mu, shape (B, K, C, H, W).
        logits: a, shape (B, K, 1, H, W).
        sigma: Standard deviation of a pixel.
        mixture: "pixel" or "channel".
        composed_weight: w in [0, 1].
        output: "gaussian" or "logistic".
    """

    frame: Tensor
    appearance: Tensor
    logits: Tensor
    sigma: float
    mixture: str = "pixel"
    composed_weight: float = 0.0
    output: str = "gaussian"

    @property
    def has_graph(self) -> bool:
        """Whether anything it is made of has a graph."""
        return self.appearance.requires_grad or self.logits.requires_grad or self.frame.requires_grad

    @memo
    def log_masks(self) -> Tensor:
        """Log m, shape (B, K, 1, H, W)."""
        return self.logits.log_softmax(1)

    @memo
    def masks(self) -> Tensor:
        """Shape (B, K, 1, H, W)."""
        return self.log_masks.exp()

    @memo
    def composed(self) -> Tensor:
        """The reconstruction sum_k m_k mu_k, shape (B, C, H, W)."""
        return (self.masks * self.appearance).sum(1)

    @memo
    def log_components(self) -> Tensor:
        """Log N(x; mu_k), shape (B, K, 1, H, W), or (B, K, C, H, W) for one mixture per channel."""
        if self.output == "gaussian":
            squares = self.difference.square()
            joint = self.mixture == "pixel"
            channels = squares.shape[2] if joint else 1
            squares = squares.sum(2, keepdim=True) if joint else squares
            return torch.add(channels * log_peak(self.sigma), squares, alpha=-0.5 / self.sigma**2)
        log_n = output_log_density(self.frame.unsqueeze(1), self.appearance, self.sigma, self.output)
        return log_n.sum(2, keepdim=True) if self.mixture == "pixel" else log_n

    @memo
    def difference(self) -> Tensor:
        """mu_k - x, shape (B, K, C, H, W)."""
        return self.appearance - self.frame.unsqueeze(1)

    @memo
    def log_mixture(self) -> Tensor:
        """Log of the mixture, shape (B, 1 or C, H, W)."""
        return _logsumexp(self.joint)

    @memo
    def joint(self) -> Tensor:
        """Log m_k N(x; mu_k), shape (B, K, 1 or C, H, W)."""
        return self.log_masks + self.log_components

    @memo
    def log_likelihood(self) -> Tensor:
        """Blended log p(x_i) in nats, shape (B, 1, H, W), constants included."""
        weight = self.composed_weight
        total: Tensor | float = 0.0
        if weight < 1:
            each = self.log_mixture
            total = each if each.shape[1] == 1 else each.sum(1, keepdim=True)
            total = total if weight == 0 else (1 - weight) * total
        if weight > 0:
            log_n = output_log_density(self.frame, self.composed, self.sigma, self.output)
            total = total + weight * log_n.sum(1, keepdim=True)
        return total  # type: ignore[return-value]

    @memo
    def mask_entropy(self) -> Tensor:
        """Entropy of the masks over slots in nats, shape (B, 1, H, W)."""
        return -(self.masks * self.log_masks).sum(1)

    @memo
    def mask_posterior(self) -> Tensor:
        """p(x | mu_k) / sum_j p(x | mu_j), all channels together and masks left out (IODINE 2.2), (B, K, 1, H, W)."""
        log_n = self.log_components
        return (log_n if log_n.shape[2] == 1 else log_n.sum(2, keepdim=True)).softmax(1)

    @memo
    def softmax_of_likelihoods(self) -> Tensor:
        """Softmax over slots of exp(-sum_c (x - mu_k)² / (2 sigma²)) (PROVIDE's public code), (B, K, 1, H, W)."""
        squares = self.difference.square().sum(2, keepdim=True)
        return (squares * (-0.5 / self.sigma**2)).exp().softmax(1)

    @memo
    def responsibilities(self) -> Tensor:
        """rho_k = m_k N_k / P, shape (B, K, 1 or C, H, W)."""
        logs = self.joint - self.log_mixture.unsqueeze(1)
        return logs.exp() if logs.requires_grad else logs.clamp_min_(_LEAST).exp_()

    @memo
    def leave_one_out(self) -> Tensor:
        """Log p(x_i) under the other slots with their masks renormalised, shape (B, K, 1, H, W); for K = 1 it is 0.

        The stable form of iodine.md 4.1: LSE_{j != k}(a_j + log N_j) - LSE_{j != k}(a_j).
        """
        slots = self.logits.shape[1]
        if slots == 1:
            return torch.zeros_like(self.logits)
        ratio = _others_logsumexp(self.joint) - _others_logsumexp(self.log_masks)
        return ratio if ratio.shape[2] == 1 else ratio.sum(2, keepdim=True)

    def appearance_gradient(self) -> Tensor:
        """d(-sum log p)/d mu_k, shape (B, K, C, H, W)."""
        weight = self.composed_weight
        gradient: Tensor | float = 0.0
        if weight < 1:
            gradient = self._own_gradient(1 - weight)
        if weight > 0:
            gradient = gradient + self.masks * self._composed_gradient() * weight
        return gradient  # type: ignore[return-value]

    def _own_gradient(self, weight: float) -> Tensor:
        """Return `weight` times the gradient of the mixture's part."""
        if self.output == "gaussian":
            return self.difference * (self.responsibilities * (weight / self.sigma**2))
        gradient = output_gradient(self.frame.unsqueeze(1), self.appearance, self.sigma, self.output)
        return gradient * (self.responsibilities * weight)

    def mask_gradient(self) -> Tensor:
        """d(-sum log p)/d m_k with the masks taken as free, shape (B, K, 1, H, W)."""
        weight = self.composed_weight
        gradient: Tensor | float = 0.0
        if weight < 1:
            ratio = (self.log_components - self.log_mixture.unsqueeze(1)).clamp(max=60.0).exp()
            gradient = ratio.sum(2, keepdim=True) * (weight - 1)
        if weight > 0:
            gradient = gradient + self._composed_mask_gradient() * weight
        return gradient  # type: ignore[return-value]

    def logit_gradient(self) -> Tensor:
        """d(-sum log p)/d a_k, shape (B, K, 1, H, W)."""
        weight = self.composed_weight
        gradient: Tensor | float = 0.0
        if weight < 1:
            gradient = self.masks - self.responsibilities
            gradient = gradient if gradient.shape[2] == 1 else gradient.sum(2, keepdim=True)
            gradient = gradient if weight == 0 else gradient * (1 - weight)
        if weight > 0:
            by_mask = self._composed_mask_gradient() * weight
            gradient = gradient + self.masks * (by_mask - (self.masks * by_mask).sum(1, keepdim=True))
        return gradient  # type: ignore[return-value]

    def _composed_gradient(self) -> Tensor:
        return output_gradient(self.frame, self.composed, self.sigma, self.output).unsqueeze(1)

    def _composed_mask_gradient(self) -> Tensor:
        return (self.appearance * self._composed_gradient()).sum(2, keepdim=True)


def composed(appearance: Tensor, logits: Tensor) -> Tensor:
    """Return the image (B, C, H, W) that drawn slots compose: means (B, K, C, H, W), mask logits (B, K, 1, H, W)."""
    return (logits.softmax(1) * appearance).sum(1)


def _logsumexp(values: Tensor) -> Tensor:
    """Log-sum-exp over slots of (B, K, ...), shape (B, ...): PyTorch's own where training differentiates it.

    Densities of a small sigma lie hundreds of nats apart, where exponentials take ten to thirty times as long.
    """
    if values.requires_grad:
        return torch.logsumexp(values, 1)
    largest = values.amax(1, keepdim=True)
    return (values - largest).clamp_min_(_LEAST).exp_().sum(1).log_().add_(largest.squeeze(1))


def _others_logsumexp(values: Tensor) -> Tensor:
    """Log-sum-exp over all other slots, shape as `values` (B, K, ...), K > 1.

    From running sums of the slots before and after: no subtraction, so no digits are lost where one slot dominates.
    """
    slots = values.unbind(1)
    before, after = [slots[0]], [slots[-1]]
    for ahead, behind in zip(slots[1:-1], reversed(slots[1:-1]), strict=True):
        before.append(torch.logaddexp(before[-1], ahead))
        after.append(torch.logaddexp(after[-1], behind))
    after.reverse()
    middle = [torch.logaddexp(b, a) for b, a in zip(before[:-1], after[1:], strict=True)]
    return torch.stack([after[0], *middle, before[-1]], 1)
