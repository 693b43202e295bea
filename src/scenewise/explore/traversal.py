"""Latent traversals: one number of one slot's latent is changed, all else stays, and the slots are drawn again.

IODINE's figures 6 and 30 to 32 set each number to values between -1.25 and 1.25; MulMON's shift it by -4 to 4. Rows are
dimensions by their KL, largest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from scenewise.errors import InputError
from scenewise.explore.figure import FigureRow, figure

if TYPE_CHECKING:
    from scenewise.explore.moment import Drawing, Moment

Around = Literal["prior", "posterior"]
SPAN, WIDE_SPAN = 1.5, 6.0
MOST_PICTURES = 64
"""Pictures that are drawn at once; bounds the memory."""


@dataclass(frozen=True)
class Traversal:
    """One slot under changes of D dimensions to V values each.

    Attributes:
        slot: Which, from 0.
        dimensions: Which, by their KL, shape (D,).
        kl: Of each, in nats, shape (D,).
        values: What each is set to, shape (D, V).
        steps: The same in standard deviations of the prior from the centre, shape (V,).
        own: The posterior's mean of each, shape (D,).
        drawn: The frame from the posterior's means, N = 1.
        drawings: For each dimension the V pictures.
        around: What the values lie around.
    """

    slot: int
    dimensions: np.ndarray
    kl: np.ndarray
    values: np.ndarray
    steps: np.ndarray
    own: np.ndarray
    drawn: Drawing
    drawings: list[Drawing]
    around: Around

    def figure(self, title: str, alone: bool = False) -> np.ndarray:
        """Return the figure, uint8, shape (height, width, 3).

        Args:
            title: Over it.
            alone: Draw the slot by itself, as strongly as its mask is; otherwise all slots together.
        """
        first = self.drawn.alone(self.slot) if alone else self.drawn.images
        rows = []
        for d, dimension in enumerate(self.dimensions):
            pictures = self.drawings[d].alone(self.slot) if alone else self.drawings[d].images
            nearest = 1 + int(np.abs(self.values[d] - self.own[d]).argmin())
            inside = self.values[d].min() <= self.own[d] <= self.values[d].max()
            note = f"{self.kl[d]:.2f} nats"
            rows.append(FigureRow(f"z{dimension}", [first[0], *pictures], note, nearest if inside else None))
        columns = ["as it is", *(f"{step:+.2g} sd" for step in self.steps)]
        return figure(title, columns, rows)


def traverse(
    moment: Moment,
    slot: int | None = None,
    *,
    dimensions: int = 8,
    steps: int = 9,
    span: float | None = None,
    around: Around = "prior",
) -> Traversal:
    """Change a slot's latent, one dimension after the other.

    Args:
        moment: The frame.
        slot: Which slot, from 0; the one that is most informed where None.
        dimensions: How many, those with the largest KL.
        steps: Values of each.
        span: How far they go to either side, in standard deviations of the prior; `SPAN` where None, or `WIDE_SPAN`
            where the prior is predicted for each frame, which makes it narrow.
        around: What they lie around: "prior", so that they are set whatever the posterior says, or "posterior", so that
            they are shifts of its mean.

    Raises:
        InputError: A number is out of range, or the model cannot draw latents.

    Examples:
        >>> import scenewise as sw
        >>> from scenewise.explore import VideoExploration
        >>> model = sw.load("iodine-balls-colour", device="cpu")
        >>> frames = np.zeros((1, *model.size, 3), np.uint8)
        >>> moment = VideoExploration.of(model, frames).moment(0)
        >>> traverse(moment, slot=1, dimensions=2, steps=3).values.round(1).tolist()
        [[-1.5, 0.0, 1.5], [-1.5, 0.0, 1.5]]
    """
    posterior, prior = moment.posterior, moment.prior
    _check(dimensions, 1, posterior.mean.shape[1], "dimensions")
    _check(steps, 2, 99, "steps")
    if span is None:
        fixed = bool((prior.log_variance == prior.log_variance[0, 0]).all())
        span = SPAN if fixed else WIDE_SPAN
    if not 0 < span <= 100:
        raise InputError("span", f"must be more than 0 and at most 100; found {span:g}.")
    slot = moment.most_informed if slot is None else moment.checked(slot)
    ranking = moment.ranking(slot)[:dimensions].copy()
    offsets = torch.linspace(-span, span, steps)
    chosen = torch.from_numpy(ranking).to(prior.mean.device)
    spread = (0.5 * prior.log_variance[slot, chosen]).exp()
    centre = (prior if around == "prior" else posterior).mean[slot, chosen]
    values = centre[:, None] + spread[:, None] * offsets.to(centre)  # (D, V)
    drawings = [_draw(moment, slot, *change) for change in zip(ranking.tolist(), values, strict=True)]
    return Traversal(
        slot=slot,
        dimensions=ranking,
        kl=moment.kl[slot, ranking],
        values=values.cpu().numpy(),
        steps=offsets.numpy(),
        own=posterior.mean[slot, chosen].cpu().numpy(),
        drawn=moment.draw(posterior.mean[None]),
        drawings=drawings,
        around=around,
    )


def _draw(moment: Moment, slot: int, dimension: int, values: torch.Tensor) -> Drawing:
    """Draw the frame with one dimension of a slot's latent set to each of V values."""
    from scenewise.explore.moment import Drawing

    latents = moment.posterior.mean.repeat(len(values), 1, 1)  # (V, K, Z)
    latents[:, slot, dimension] = values
    parts = [moment.draw(part) for part in latents.split(MOST_PICTURES)]
    return Drawing(np.concatenate([p.masks for p in parts]), np.concatenate([p.appearance for p in parts]))


def _check(value: int, low: int, high: int, name: str) -> None:
    if not low <= value <= high:
        raise InputError(name, f"must lie in [{low}, {high}]; found {value}.")
