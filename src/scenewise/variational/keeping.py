"""What is kept of the decodes of a frame: the last, or beyond the trained number of refinements the best.

More refinements than a network was trained with may lead its posterior astray. The evidence lower bound of a frame,
log p - KL, is known after every decode, so that a frame need not follow: of the last trained decode and all later ones
it keeps the one with the largest bound, and with it the posterior and the state that led to it. Weights of training do
not enter, and the bound is of the one sample drawn. Each frame of a batch chooses for itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from scenewise.config import setting
from scenewise.variational.gaussian import seeded_noise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from scenewise.nn.refiner import Pair
    from scenewise.variational.engine import Decode
    from scenewise.variational.mixture import SpatialMixture

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
