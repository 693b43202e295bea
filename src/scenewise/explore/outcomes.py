"""One frame explained again and again: posteriors of slots may settle in several ways (IODINE's multi-stability)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scenewise.explore.exploration import VideoExploration
from scenewise.metrics import adjusted_rand_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.explore.exploration import Exploration
    from scenewise.explore.moment import Moment

ALIKE = 0.95
"""Adjusted Rand index from which on two explanations divide the pixels alike."""


@dataclass(frozen=True)
class OutcomeGroup:
    """Explanations that divide a frame alike.

    Attributes:
        first: The first of them.
        seeds: Those that led to it.
    """

    first: Moment
    seeds: tuple[int, ...]


def again(
    exploration: Exploration, number: int, seed: int, slots: int | None = None, refinements: int | None = None
) -> Moment:
    """Explain a frame under another seed, or with other numbers of slots and refinements.

    A video is explained anew for it, from a few frames before the frame on where a model has a memory.

    Args:
        exploration: Of a video or scene.
        number: The frame.
        seed: Of the posterior noise.
        slots: K; that of the exploration where None.
        refinements: R; that of the exploration where None.

    Raises:
        InputError: A number is out of range, or the model cannot change it.
    """
    request = exploration.request
    changes = {"slots": slots or request.slots, "refinements": refinements or request.refinements}
    other = exploration.anew(replace(request, seed=seed, **changes))  # type: ignore[arg-type]
    return other.alone(number) if isinstance(other, VideoExploration) else other.moment(number)


def tally(moments: Sequence[Moment], seeds: Sequence[int]) -> list[OutcomeGroup]:
    """Group explanations of one frame by how they divide its pixels, the most frequent first.

    Args:
        moments: The explanations.
        seeds: What each was made with.
    """
    groups: list[tuple[Moment, list[int]]] = []
    for moment, seed in zip(moments, seeds, strict=True):
        for first, members in groups:
            if agreement(first, moment) >= ALIKE:
                members.append(seed)
                break
        else:
            groups.append((moment, [seed]))
    groups.sort(key=lambda group: -len(group[1]))
    return [OutcomeGroup(first, tuple(members)) for first, members in groups]


def agreement(one: Moment, other: Moment) -> float:
    """Return the adjusted Rand index of two explanations of one frame: 1 where they divide its pixels alike."""
    labels = (moment.decomposition.labels[0].cpu().numpy() for moment in (one, other))
    return float(adjusted_rand_index(*labels, foreground=False).mean)
