"""What a protocol that runs a model itself is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scenewise.data.contract import Source
    from scenewise.decomposition import LabelRule
    from scenewise.models.contract import SceneModel


@dataclass(frozen=True)
class EvaluationRequest:
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
        labels: Who owns a pixel that was seen: the slot that explains it best, or that with the largest mask.
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
    labels: LabelRule = "responsibility"
