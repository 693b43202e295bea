"""What every source of videos offers."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.config import build, merge
from scenewise.errors import InputError
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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

    def viewpoints(self, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """Return what describes the camera of each view of scene `index`, float, shape (V, D).

        Raises:
            InputError: The source does not know its cameras.
        """
        known = self._viewpoints(index, start, frames)
        if known is None:
            problem = "does not know its viewpoints, which the model takes."
            raise InputError(self.facts.origin, problem, "Use a multi-view source, such as cle-mv.")
        return np.asarray(known, np.float32)

    def _viewpoints(self, index: int, start: int, frames: int | None) -> Any:
        """Return what extras hold as `viewpoints`, or None; sources that need no image for it say it more cheaply."""
        return self.sample(index, start, frames).extras.get("viewpoints")

    def length(self, index: int) -> int:
        """Return the number of frames of video `index`."""
        if self.facts.frames is not None:
            return self.facts.frames
        return len(self.sample(index).frames)


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a source before choosing it; `scenewise data list` shows it.

    Attributes:
        what: What it shows, in one line.
        kind: "generated" or "files".
        paper: Who introduced it or uses it.
        size: Frames, height and width, in words.
        factors: What is known of every object beyond its mask.
        licence: Of the files, or of what is generated.
        obtain: How to get the files; empty where it is generated.
    """

    what: str
    kind: str
    paper: str = ""
    size: str = ""
    factors: tuple[str, ...] = ()
    licence: str = "none needed"
    obtain: str = ""


SOURCES: Registry[Any] = Registry("data source", "scenewise.data", group="scenewise.sources")
"""Makers of sources: callables `(split="train"|"validation"|"test", **settings) -> Source`."""

DESCRIPTIONS: dict[str, Description] = {}
"""Descriptions by the name of the source."""


def register_source(name: str, description: Description) -> Callable[[Any], Any]:
    """Return a decorator that enters a maker of sources under `name`, with its description."""
    DESCRIPTIONS[name] = description
    return SOURCES.register(name)


def register_ready(
    name: str,
    description: Description,
    make: Callable[[Any, str, str], Source],
    settings: type,
    ready: Mapping[str, Any],
) -> None:
    """Enter a maker of sources from ready settings and changes to them.

    Args:
        name: Under which it is entered.
        description: Of the source.
        make: Takes settings, a split and the name; a class of sources.
        settings: The dataclass of the settings; the maker tells everything that is wrong with them as `build` does.
        ready: Plain settings that hold where nothing else is said.
    """
    register_source(name, description)(functools.partial(_of_ready, name, make, settings, ready))


def _of_ready(
    name: str,
    make: Callable[[Any, str, str], Source],
    settings: type,
    ready: Mapping[str, Any],
    /,
    split: str = "train",
    **changes: Any,
) -> Source:
    return make(build(settings, merge(ready, changes), f"source {name}"), split, name)
