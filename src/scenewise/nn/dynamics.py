"""How objects move, learned: an interaction network over the places objects had in the last frames.

Every object hears from every other what an MLP makes of the two, adds it up, and a second MLP says by how much the next
step differs from the last one (Battaglia et al. 2016, Interaction Networks, eq. 2 with objects for all relations).
R-NEM's recurrent step (van Steenkiste et al. 2018, eq. 5) has the same form: pairs of slots, summed. There it works on
hidden states and is trained with the decomposition; here it works on places and is trained after it. No parameter
depends on the number of objects, and objects that swap their slots swap their steps.

Places and half sides are those of windows (`nn.windows`): the frame is [-1, 1] along both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORY = 6
"""Frames whose places a step follows from: of fewer, speeds are too uncertain for where two objects will meet."""

_PER_STEP, _PER_DISTANCE, _PER_PLACE = 16.0, 4.0, 4.0  # what inputs are multiplied by: walls and meetings are sharp
_SIDES = 1.5  # minus the log half side of a common window
_FEATURES = 2 + 2 * (HISTORY - 1) + 2


@dataclass(frozen=True)
class Trail:
    """Where the objects in B videos' slots were.

    Attributes:
        places: In the last frames, the newest last, shape (B, K, HISTORY, 2).
        lasted: For how many frames in a row, the newest included, a slot has held the same object, int64, (B, K).
    """

    places: Tensor
    lasted: Tensor

    @classmethod
    def unknown(cls, zeros: Tensor) -> Trail:
        """Return the trail of slots, shape (B, K) of zeros, before the first frame."""
        return cls(zeros[..., None, None].repeat(1, 1, HISTORY, 2), zeros.long())

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Trail:
        """Return the trail that a model's state holds under the names of its attributes."""
        return cls(state["places"], state["lasted"])

    def after(self, place: Tensor, on: Tensor, begins: Tensor) -> Trail:
        """Return it after one more frame.

        Args:
            place: Where objects are in it, shape (B, K, 2); slots without one are taken to be where they were.
            on: Slots that hold one, bool, shape (B, K).
            begins: Slots that hold one they did not hold in the frame before, bool, shape (B, K).
        """
        place = torch.where(on.unsqueeze(2), place, self.places[:, :, -1])
        return Trail(self._with(place), torch.where(on, torch.where(begins, 1, self.lasted + 1), 0))

    def going(self, step: Tensor) -> Trail:
        """Return it after a frame that nobody saw, in which objects are taken to have gone on by `step` (B, K, 2)."""
        return Trail(self._with(self.places[:, :, -1] + step), self.lasted)

    def _with(self, place: Tensor) -> Tensor:
        return torch.cat([self.places[:, :, 1:], place.unsqueeze(2)], 2)


@dataclass(frozen=True)
class Sighting:
    """What a frame showed of the objects in B videos' slots, and how they would go on by their pace alone.

    Attributes:
        place: Shape (B, K, 2).
        sides: Log half sides of their windows, shape (B, K, 2).
        track: The object of each slot, from 1; 0 or less for slots without one, int64, shape (B, K).
        speed: The step that would follow by their pace, shape (B, K, 2).
        share: Share of a step that the next one keeps, shape (B, K, 1).
    """

    place: Tensor
    sides: Tensor
    track: Tensor
    speed: Tensor
    share: Tensor


class Dynamics(nn.Module):
    """An interaction network that says where objects are in the next frame.

    Args:
        width: Of its hidden layers.

    Before anything is learned objects go on by their last step, and `learned` is False.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.pair = nn.Sequential(nn.Linear(2 * _FEATURES + 1, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        last = nn.Linear(width, 2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = (nn.Linear(_FEATURES + width, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.change = nn.Sequential(*hidden, last)
        self.learned: Tensor
        self.register_buffer("learned", torch.zeros(1, dtype=torch.bool))

    def forward(self, places: Tensor, sides: Tensor, present: Tensor) -> Tensor:
        """Return where objects are in the next frame, shape (B, K, 2).

        Args:
            places: In the last frames, the newest last, shape (B, K, HISTORY, 2).
            sides: Log half sides of their windows, shape (B, K, 2).
            present: Which slots hold objects whose whole history is known, bool, shape (B, K); all others go on by
                their last step, and nobody hears from them.
        """
        steps, newest, slots = places.diff(dim=2), places[:, :, -1], places.shape[1]
        rest = torch.cat([_PER_STEP * steps.flatten(2), sides + _SIDES], 2)
        own = torch.cat([_PER_PLACE * newest, rest], 2)  # (B, K, F)
        away = _PER_DISTANCE * (newest.unsqueeze(1) - newest.unsqueeze(2))  # from slot i to slot j, (B, K, K, 2)
        other = torch.cat([away, rest.unsqueeze(1).expand(-1, slots, -1, -1)], 3)
        distance = away.square().sum(3, keepdim=True).clamp_min(1e-12).sqrt()
        effect = self.pair(torch.cat([own.unsqueeze(2).expand_as(other), other, distance], 3))
        pairs = present.unsqueeze(1) & present.unsqueeze(2) & ~torch.eye(slots, dtype=torch.bool, device=places.device)
        heard = (effect * pairs.unsqueeze(3)).sum(2)
        change = self.change(torch.cat([own, heard], 2)) * present.unsqueeze(2)
        return newest + steps[:, :, -1] + change / _PER_STEP

    def step(self, trail: Trail, sides: Tensor, on: Tensor, pace: Tensor) -> Tensor:
        """Return how far objects go to the next frame, shape (B, K, 2).

        Args:
            trail: Where they were.
            sides: Log half sides of their windows, shape (B, K, 2).
            on: Slots that hold an object, bool, shape (B, K).
            pace: How far those go, shape (B, K, 2), of which too little was seen; and all, before anything is learned.
        """
        present = on & (trail.lasted >= HISTORY)
        step = self(trail.places, sides, present) - trail.places[:, :, -1]
        return torch.where((present & self.learned).unsqueeze(2), step, pace)

    def rollout(self, places: Tensor, sides: Tensor, present: Tensor, frames: int) -> Tensor:
        """Return where objects are in the next `frames` frames, shape (B, frames, K, 2); arguments as of `forward`."""
        future = []
        for _ in range(frames):
            future.append(self(places, sides, present))
            places = torch.cat([places[:, :, 1:], future[-1].unsqueeze(2)], 2)
        return torch.stack(future, 1)
