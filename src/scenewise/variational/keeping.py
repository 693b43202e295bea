"""What is kept of the decodes of a frame: the last, or beyond the trained number of refinements the best.

More refinements than a network was trained with may lead its posterior astray. The evidence lower bound of a frame,
log p - KL, is known after every decode, so that a frame need not follow: of the last trained decode and all later ones
it keeps the one with the largest bound, and with it the posterior and the state that led to it. Weights of training do
not enter, and the bound is of the one sample drawn. Each frame of a batch chooses for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from scenewise.nn.refiner import Pair
    from scenewise.variational.engine import Cell
    from scenewise.variational.mixture import SpatialMixture

EXTRA = ("better", "all")
"""Refinements beyond the trained number that count: those that raise a frame's bound, or all."""


@dataclass(frozen=True)
class Kept:
    """A decode and what led to it.

    Attributes:
        mixture: How the slots explain the frame.
        posterior: The lambda they were drawn from, shape (B, K, 2M).
        carried: (h, c) that go with it, each (B, K, hidden).
        bound: log p - KL of the frame, nats, shape (B,); None where nothing is compared.
    """

    mixture: SpatialMixture
    posterior: Tensor
    carried: Pair
    bound: Tensor | None = None

    def unless(self, other: Kept) -> Kept:
        """Return `other` for the samples in which its bound is larger, this one for the rest; NaN is never larger."""
        if self.bound is None or other.bound is None:
            return other
        better = other.bound > self.bound
        (h, c), (new_h, new_c) = self.carried, other.carried
        mixture = replace(
            self.mixture,
            appearance=_where(better, other.mixture.appearance, self.mixture.appearance),
            logits=_where(better, other.mixture.logits, self.mixture.logits),
        )
        carried = (_where(better, new_h, h), _where(better, new_c, c))
        posterior = _where(better, other.posterior, self.posterior)
        return Kept(mixture, posterior, carried, torch.where(better, other.bound, self.bound))


class Keeping:
    """Looks at the decodes of a frame, one after the other.

    Args:
        decodes: How many there will be.
        trained: How many there are with the trained number of refinements; from the last of them on bounds are
            compared. None where all refinements count.

    Attributes:
        kept: What is kept so far.
    """

    kept: Kept

    def __init__(self, decodes: int, trained: int | None) -> None:
        self._compared_from = decodes if trained is None or decodes <= trained else trained - 1

    def see(self, r: int, cell: Cell, posterior: Tensor, carried: Pair) -> None:
        """Look at a decode.

        Args:
            r: Its number, from 0.
            cell: The decode.
            posterior: The lambda it was drawn from.
            carried: The state to hand on if it is kept.
        """
        compared = r >= self._compared_from
        bound = -(cell.terms["nll"] + cell.terms["kl"]).detach() if compared else None
        new = Kept(cell.mixture, posterior, carried, bound)
        self.kept = self.kept.unless(new) if compared and r else new


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (new.ndim - 1)), new, old)
