"""What objects are usually like, learned while each is alone in its part of a frame: looks, sides and course.

Where parts of several objects are joined, none of this can be read from the frame. There an object keeps its sides,
goes on its course within the part, and waits in it while it is hidden; when it comes out, its looks tell who it is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scenewise.nn.looks import BANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from scenewise.nn.frame_parts import Part

NOWHERE = 9.0
"""Coordinates of what is in no frame."""

_SETTLED = 4  # frames alone after which it is known what an object is usually like
_STEADY = 0.08  # log units by which a side across the border of the frame may change where nothing comes in
_SLOWLY = 0.1  # share by which looks and sides follow what is seen
_COURSE = 0.25  # share by which the course does
_ALONE_AGAIN = 3  # frames for which two that were joined are held against their looks
_CROWDED, _ROOM = 3, 1.2  # frames after which one is hidden; times the larger's usual area below which two have no room
_BORDER = 0.99  # of the way from the middle of a frame, beyond which the edge of a window is at its border
_BETTER = 0.7  # of the distance of looks as slots are, below which they are better exchanged
_CLEARLY = 0.03  # of [0, 1]; and by how much


@dataclass(frozen=True)
class Habits:
    """What the objects of K slots are usually like; tensors of B videos, or arrays of one without the first axis.

    Attributes:
        looks: Mean differences from the background in three bands from the top, shape (B, K, 3 C).
        alone: Frames in which each was alone in its part and all in the frame, int64, shape (B, K).
        sides: Log half sides as of a window, shape (B, K, 2).
        spots: Where its part was in the last frame, were it alone there; else `NOWHERE`, shape (B, K, 2).
        courses: How far it goes in a frame, in units of a window, shape (B, K, 2).
        doubts: Frames for which two slots that were joined are still to be told apart, int64, shape (B, K, K).
        crowding: Frames in a row in which its part was too small for all that share it, int64, shape (B, K).
    """

    looks: Any
    alone: Any
    sides: Any
    spots: Any
    courses: Any
    doubts: Any
    crowding: Any

    @classmethod
    def unknown(cls, zeros: Tensor, channels: int) -> Habits:
        """Return what is known of objects (B, K) that nobody has seen."""
        each = zeros.unsqueeze(2)
        pairs = (zeros.unsqueeze(1) + each).long()
        spots = torch.full_like(each.expand(-1, -1, 2), NOWHERE)
        two = each.repeat(1, 1, 2)
        return cls(each.repeat(1, 1, BANDS * channels), zeros.long(), two, spots, two.clone(), pairs, zeros.long())

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Habits:
        """Return those of a model's state."""
        return cls(*(state[field.name] for field in fields(cls)))

    def arrays(self) -> Habits:
        """Return copies of its tensors as arrays."""
        return Habits(*(getattr(self, field.name).cpu().numpy().copy() for field in fields(self)))

    def tensors(self, device: torch.device) -> Habits:
        """Return its arrays as tensors on a device."""
        return Habits(*(torch.from_numpy(getattr(self, field.name)).to(device) for field in fields(self)))

    def __getitem__(self, video: int) -> Habits:
        """Return one video's arrays; what changes them changes these."""
        return Habits(*(getattr(self, field.name)[video] for field in fields(self)))

    @property
    def settled(self) -> np.ndarray:
        """Slots of which it is known what their objects are usually like, bool, shape (K,)."""
        settled: np.ndarray = self.alone >= _SETTLED
        return settled

    @property
    def colours(self) -> np.ndarray:
        """Mean differences from the background of the bands of looks, shape (K, C)."""
        colours: np.ndarray = self.looks.reshape(len(self.looks), BANDS, -1).mean(1)
        return colours

    def expected(self, windows: np.ndarray, speeds: np.ndarray, seen: np.ndarray, leaving: bool) -> np.ndarray:
        """Return windows of a frame ago as they should be now, those of settled slots: they go on as they go, or went.

        Args:
            windows: Shape (K, 4).
            speeds: How far they went in the last frame, shape (K, 2).
            seen: Where enough was seen of them to know, if they moved, bool, shape (K,).
            leaving: Whether windows at the border of the frame may go on beyond it: what has partly left the frame is
                where its edge inside says.
        """
        places = windows.copy()
        if leaving:
            outside = np.exp(self.sides) - np.exp(windows[:, 2:])
            at_border = np.abs(windows[:, :2]) + np.exp(windows[:, 2:]) > _BORDER
            places[:, :2] += np.where(at_border & (outside > 0), np.sign(windows[:, :2]) * outside, 0)
        steps = np.where(seen[:, None] & speeds.any(1, keepdims=True), speeds, self.courses)
        places[self.settled, :2] += steps[self.settled]
        places[self.settled, 2:] = self.sides[self.settled]
        return places

    def forget(self, slot: int) -> None:
        """Let a slot begin with an object that nobody has seen."""
        self.alone[slot], self.courses[slot], self.spots[slot] = 0, 0.0, NOWHERE
        self.doubts[slot], self.doubts[:, slot] = 0, 0

    def adopt(self, slot: int, kind: int) -> None:
        """Let a slot's object, which is one more of another's kind, be like that one."""
        self.looks[slot], self.sides[slot], self.alone[slot] = self.looks[kind], self.sides[kind], _SETTLED

    def begin(self, slot: int, part: Part, size: tuple[int, int]) -> None:
        """Begin anew to learn of an object that is not settled, and is not alone or not all in the frame."""
        self.alone[slot], self.sides[slot] = 0, part.window(*size)[2:]

    def learn(self, slot: int, part: Part, size: tuple[int, int]) -> None:
        """Learn from a part of a frame (H, W) in which an object is alone, unless it is in doubt whose it is."""
        spot = part.middle(*size)
        if self.doubts[slot].any():
            self.spots[slot] = spot
            return
        window, first = part.window(*size), self.alone[slot] == 0
        share = 1.0 if first else max(_SLOWLY, 1 / (1 + self.alone[slot]))
        self.looks[slot] += share * (part.look - self.looks[slot])
        self.sides[slot] += share * (np.array(window[2:]) - self.sides[slot])
        if self.spots[slot, 0] != NOWHERE:
            step = spot - self.spots[slot]
            self.courses[slot] += max(_COURSE, 1 / self.alone[slot].clip(1)) * (step - self.courses[slot])
        self.spots[slot] = spot
        self.alone[slot] += 1

    def enters(self, slot: int, part: Part, size: tuple[int, int]) -> bool:
        """Return whether a part at the border of a frame (H, W) may come in or go out: what goes along it does not."""
        rows, columns = part.at_border(size)
        change = np.abs(np.array(part.window(*size)[2:]) - self.sides[slot])
        return bool((change > _STEADY)[[columns, rows]].any())

    def join(self, slots: np.ndarray) -> None:
        """Say that the objects of slots share a part, so that it must be told afresh who is who when they leave it."""
        known = slots[self.settled[slots]]
        for slot in known:
            self.doubts[slot, known[known != slot]] = _ALONE_AGAIN

    def hiding(self, parts: np.ndarray, areas: np.ndarray, owned: np.ndarray, extents: np.ndarray) -> dict[int, int]:
        """Return settled slots that must be hidden by another: their part has been too small for both for some frames.

        Args:
            parts: Number of the part of each slot's object, 0 for none, shape (K,).
            areas: Of parts, by number.
            owned: Pixels of slots in the last frame, shape (K,).
            extents: Usual areas of the parts of slots, shape (K,).

        Returns:
            For each slot that shows least of its object, the one that shows most of its own.
        """
        groups = companies(np.where(self.settled, parts, 0))
        tight = [group for group in groups if areas[parts[group[0]]] < _ROOM * extents[group].max()]
        crowded = np.zeros(len(parts), bool)
        crowded[[slot for group in tight for slot in group]] = True
        self.crowding[...] = np.where(crowded, self.crowding + 1, 0)
        hidden = {}
        for group in tight:
            shown = owned[group] / extents[group].clip(1)
            last = int(group[shown.argmin()])
            if self.crowding[last] >= _CROWDED:
                hidden[last] = int(group[shown.argmax()])
        return hidden

    def exchanges(self, parts: dict[int, Part]) -> list[list[int]]:
        """Return pairs of slots that have each other's object, by their looks, and exchange what is known of these.

        Args:
            parts: Of slots that are alone now.
        """
        pairs = []
        for slot, other in zip(*np.nonzero(np.triu(self.doubts)), strict=True):
            if slot not in parts or other not in parts:
                continue
            self.doubts[slot, other] = self.doubts[other, slot] = self.doubts[slot, other] - 1
            as_is, crossed = (
                float(
                    np.abs(self.looks[slot] - parts[a].look).mean() + np.abs(self.looks[other] - parts[b].look).mean()
                )
                for a, b in ((slot, other), (other, slot))
            )
            if crossed < _BETTER * as_is and as_is - crossed > _CLEARLY:
                pairs.append([int(slot), int(other)])
                self.doubts[slot, other] = self.doubts[other, slot] = 0
                for values in (self.looks, self.alone, self.sides, self.courses):
                    values[[slot, other]] = values[[other, slot]]
        return pairs


def companies(parts: np.ndarray) -> list[np.ndarray]:
    """Return the slots that share a part with others, each company by itself.

    Args:
        parts: Number of the part of each slot's object, 0 for none, shape (K,).
    """
    groups = (np.flatnonzero(parts == number) for number in np.unique(parts[parts > 0]))
    return [group for group in groups if len(group) > 1]


def within(window: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return a window (4,) moved as little as it takes to lie in another, about whose centre it is if it is larger."""
    room = np.maximum(np.exp(whole[2:]) - np.exp(window[2:]), 0)
    return np.concatenate([np.clip(window[:2], whole[:2] - room, whole[:2] + room), window[2:]])


def about(windows: Tensor, seen: Tensor) -> Tensor:
    """Return windows (..., 4) moved as little as it takes to hold others, as far as they are large enough to."""
    room = (windows[..., 2:].exp() - seen[..., 2:].exp()).clamp_min(0)
    centres = windows[..., :2].clamp(seen[..., :2] - room, seen[..., :2] + room)
    larger = (seen[..., 2:] > windows[..., 2:]).any(-1, keepdim=True)
    return torch.cat([torch.where(larger, windows[..., :2], centres), windows[..., 2:]], -1)
