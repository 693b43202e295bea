"""What every model returns: one explanation of the frames as slots."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

LabelRule = Literal["responsibility", "masks"]
"""Who owns a pixel of a frame that was seen: the slot that explains it best, or that with the largest mask."""
LABEL_RULES: tuple[LabelRule, ...] = get_args(LabelRule)


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
        positions: Where slots are, (x, y) as shares of width and height, shape (B, T, K, 2), NaN for those without a
            place; None of models that say it by masks alone.
        responsibilities: Probability that a slot explains the pixel that was seen, m_k N_k / sum_j m_j N_j, shape
            (B, T, K, 1, H, W); None of models whose masks are read off the frame themselves, and of frames that nobody
            saw.
        tracks: Which object a slot holds, int64, shape (B, T, K): another number for another object in the same slot,
            0 for the background, -1 for a slot that holds none; None of models whose slots are the objects.
    """

    masks: Tensor
    appearance: Tensor
    mean: Tensor
    log_variance: Tensor
    prior_mean: Tensor
    prior_log_variance: Tensor
    log_likelihood: Tensor
    kl: Tensor
    positions: Tensor | None = None
    responsibilities: Tensor | None = None
    tracks: Tensor | None = None

    @property
    def reconstruction(self) -> Tensor:
        """Sum over slots of mask times appearance, shape (B, T, C, H, W); not clipped."""
        return (self.masks * self.appearance).sum(2)

    @property
    def labels(self) -> Tensor:
        """The slot that owns each pixel, int64, shape (B, T, H, W); ties go to the lowest index.

        It is the slot that explains the pixel that was seen best where that is known, else the largest mask.
        """
        shares = self.masks if self.responsibilities is None else self.responsibilities
        return shares.squeeze(3).max(2).indices  # on a CPU twenty times as fast as argmax

    def labelled(self, rule: LabelRule) -> Decomposition:
        """Return the decomposition with `labels` by a rule; without responsibilities they follow the masks anyway."""
        return replace(self, responsibilities=None) if rule == "masks" else self

    @property
    def slots(self) -> int:
        """K."""
        return self.masks.shape[2]

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by name, without those that are None."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def map(self, change: Callable[[Tensor], Tensor]) -> Decomposition:
        """Return the decomposition with every tensor changed alike."""
        return Decomposition(**{name: change(tensor) for name, tensor in self.tensors().items()})

    def detach(self) -> Decomposition:
        """Return the same decomposition without a graph."""
        return self.map(lambda tensor: tensor.detach())

    def frame(self, t: int) -> Decomposition:
        """Return what it says of frame `t`, with T = 1."""
        return self.map(lambda tensor: tensor[:, t : t + 1])

    def to(self, device: torch.device | str) -> Decomposition:
        """Return the decomposition on another device."""
        return self.map(lambda tensor: tensor.to(device))

    @staticmethod
    def join(parts: Sequence[Decomposition]) -> Decomposition:
        """Concatenate decompositions of consecutive frames along T; what one of them lacks, all lack."""
        import torch

        if len(parts) == 1:
            return parts[0]
        each = [part.tensors() for part in parts]
        names = [name for name in each[0] if all(name in tensors for tensors in each)]
        return Decomposition(**{name: torch.cat([tensors[name] for tensors in each], 1) for name in names})
