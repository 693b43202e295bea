"""Protocols that look at more than labels. They cost more, so they run only where they are asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenewise.errors import InputError, nearest
from scenewise.evaluation.protocols import PROTOCOLS
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.contract import Source
    from scenewise.models.contract import SceneModel

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Attributes:
        model: In evaluation mode, on its device.
        source: Videos or scenes with ids.
        videos: How many of its first ones.
        frames: Frames (views) of each from the start.
        seeds: Seeds of the posterior noise; every seed sees the same videos.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        batch: Videos that run side by side.
        meter: Called with the number of video frames just done.
    """

    model: SceneModel
    source: Source
    videos: int
    frames: int
    seeds: Sequence[int]
    slots: int | None
    refinements: int | None
    batch: int
    meter: Callable[[int], None]


ON_REQUEST: Registry[Callable[[Request], Rows]] = Registry("protocol", "scenewise.evaluation")
"""Protocols by name: from a request to rows as `evaluate` returns them."""


def check_protocols(names: Sequence[str]) -> None:
    """Raise InputError where a protocol is unknown; the message names the nearest spelling."""
    known = [*PROTOCOLS.names(), *ON_REQUEST.names()]
    for name in names:
        if name not in known:
            raise InputError(name, "is not a protocol.", nearest(name, known))
