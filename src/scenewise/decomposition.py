"""What every model returns: one explanation of the frames as slots."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Decomposition:
    """The slots of T frames.

    Attributes:
        masks: Shape (B, T, K, 1, H, W); at least 0, sums to 1 over K.
        appearance: Mean image of each slot, shape (B, T, K, C, H, W).
        mean: Posterior mean of each slot's latent, shape (B, T, K, Z).
        log_variance: Posterior log-variance, shape (B, T, K, Z).
        prior_mean: Prior mean, shape (B, T, K, Z).
        prior_log_variance: Prior log-variance, shape (B, T, K, Z).
        log_likelihood: log p(frame given slots) in nats, constants included, shape (B, T).
        kl: KL(posterior || prior) in nats summed over slots and dimensions, shape (B, T).
    """

    masks: Tensor
    appearance: Tensor
    mean: Tensor
    log_variance: Tensor
    prior_mean: Tensor
    prior_log_variance: Tensor
    log_likelihood: Tensor
    kl: Tensor

    @property
    def reconstruction(self) -> Tensor:
        """Sum over slots of mask times appearance, shape (B, T, C, H, W); not clipped."""
        return (self.masks * self.appearance).sum(2)

    @property
    def labels(self) -> Tensor:
        """The slot that owns each pixel, int64, shape (B, T, H, W); ties go to the lowest index."""
        return self.masks.squeeze(3).argmax(2)

    @property
    def slots(self) -> int:
        """K."""
        return self.masks.shape[2]

    def detach(self) -> Decomposition:
        """Return the same decomposition without a graph."""
        return Decomposition(*(getattr(self, f.name).detach() for f in fields(self)))

    def frame(self, t: int) -> Decomposition:
        """Return what it says of frame `t`, with T = 1."""
        return Decomposition(*(getattr(self, f.name)[:, t : t + 1] for f in fields(self)))

    def to(self, device: torch.device | str) -> Decomposition:
        """Return the decomposition on another device."""
        return Decomposition(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def join(parts: Sequence[Decomposition]) -> Decomposition:
        """Concatenate decompositions of consecutive frames along T."""
        import torch

        return Decomposition(*(torch.cat([getattr(p, f.name) for p in parts], dim=1) for f in fields(Decomposition)))
