"""What is kept of the decodes of a frame: the last, or beyond the trained number of refinements the best.

More refinements than a network was trained with may lead its posterior astray. The evidence lower bound of a frame,
log p - KL, is known after every decode, so that a frame need not follow: of the last trained decode and all later ones
it keeps the one with the largest bound, and with it the posterior and the state that led to it. Weights of training do
not enter, and the bound is of the one sample drawn. Each frame of a batch chooses for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from scenewise.config import setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from scenewise.nn.refiner import Pair
    from scenewise.variational.engine import Cell
    from scenewise.variational.mixture import SpatialMixture

ExtraRefinements = Literal["better", "all"]
"""Refinements beyond the trained number that count: those that raise a frame's bound, or all."""


@dataclass(frozen=True)
class RefiningConfig:
    """Settings that all models which refine share, beside `refinements`, the R they use where none is asked for.

    `most_refinements`: every training step draws its R from `refinements` to this one, each as likely, so that a user
    may ask for any of them. `gradient_decodes`: only the last decodes of a frame have a gradient and count in the loss;
    those before them lead anywhere at less cost. `extra_refinements`: with "better", a frame keeps of its decodes from
    the last trained one on the one with the largest bound; the papers have "all".
    """

    most_refinements: int = setting(0, "Largest R that training draws; 0 for R always (ours)", minimum=0, maximum=64)
    gradient_decodes: int = setting(0, "Last decodes of a frame that are trained; 0: all (ours)", minimum=0, maximum=64)
    extra_refinements: ExtraRefinements = setting("all", "At test, beyond the trained R: only better ones, or all")


@dataclass(frozen=True)
class Kept:
    """A decode and what led to it.

    Attributes:
        mixture: How the slots explain the frame.
        posterior: The lambda they were drawn from, shape (B, K, 2M).
        carried: (h, c) that go with it, each (B, K, hidden).
        terms: Of the decode, in nats, each (B,); `nll` and `kl` are looked at.
    """

    mixture: SpatialMixture
    posterior: Tensor
    carried: Pair
    terms: Mapping[str, Tensor]

    def unless(self, other: Kept) -> Kept:
        """Return `other` for the samples in which its bound is larger, this one for the rest; NaN is never larger."""
        ours, theirs = (-(kept.terms["nll"] + kept.terms["kl"]) for kept in (self, other))
        better = theirs > ours
        mixture = replace(
            self.mixture,
            appearance=_where(better, other.mixture.appearance, self.mixture.appearance),
            logits=_where(better, other.mixture.logits, self.mixture.logits),
        )
        (h, c), (new_h, new_c) = self.carried, other.carried
        terms = {name: _where(better, other.terms[name], self.terms[name]) for name in ("nll", "kl")}
        posterior = _where(better, other.posterior, self.posterior)
        return Kept(mixture, posterior, (_where(better, new_h, h), _where(better, new_c, c)), terms)


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
        self._compared_after = decodes if trained is None else trained - 1

    def see(self, r: int, cell: Cell, posterior: Tensor, carried: Pair) -> None:
        """Look at a decode.

        Args:
            r: Its number, from 0.
            cell: The decode.
            posterior: The lambda it was drawn from.
            carried: The state to hand on if it is kept.
        """
        new = Kept(cell.mixture, posterior, carried, cell.terms)
        self.kept = self.kept.unless(new) if r > self._compared_after else new


def _where(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *(1,) * (new.ndim - 1)), new, old)
