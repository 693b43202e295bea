"""What every source of videos offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scenewise.registry import Registry

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Facts:
    """What is true of a whole source; protocols and recipes read it from here.

    Attributes:
        channels: C of its frames.
        size: (H, W) of its frames.
        frames: Number of frames of a video, or None where it varies.
        max_objects: Largest number of objects in a video, or None where unknown.
        background_ids: Ids that count as background.
        overlap: "top" (one id per pixel, the visible object) or "ignore" (overlaps are -1).
        binary: Whether frames hold only 0 and 1.
        has_ids: Whether samples carry ground truth.
        origin: Where the data come from: a paper, a file, a generator.
    """

    channels: int
    size: tuple[int, int]
    frames: int | None
    max_objects: int | None
    background_ids: tuple[int, ...] = (0,)
    overlap: str = "top"
    binary: bool = False
    has_ids: bool = True
    origin: str = ""


@dataclass(frozen=True)
class Sample:
    """One video.

    Attributes:
        frames: uint8, shape (T, C, H, W).
        ids: int64, shape (T, H, W), or None: 0 background, -1 ignore, 1.. objects, constant over time.
        extras: Other ground truth by name (positions, velocities, collisions ...), leading axis T where per frame.
    """

    frames: np.ndarray
    ids: np.ndarray | None = None
    extras: dict[str, Any] = field(default_factory=dict)


class Source(ABC):
    """An indexed collection of videos; the same index always gives the same bytes."""

    facts: Facts

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of videos of this split (generators name a large nominal number)."""

    @abstractmethod
    def sample(self, index: int, start: int = 0, frames: int | None = None) -> Sample:
        """Return video `index`, or `frames` of its frames from `start` on, reading no more than needed."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash that changes when the data change (settings, seed, file contents)."""

    def length(self, index: int) -> int:
        """Return the number of frames of video `index`."""
        if self.facts.frames is not None:
            return self.facts.frames
        return len(self.sample(index).frames)


SOURCES: Registry[Any] = Registry("data source", "scenewise.data")
"""Makers of sources: callables `(split="train"|"validation"|"test", **settings) -> Source`."""
