"""What a model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenewise.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """Frames of a video, views of a scene, or single images.

    Attributes:
        frames: Float in [0, 1], shape (B, T, C, H, W): T frames of a video, V views of a scene, or T = 1.
        ids: Ground truth for metrics only, int64, shape (B, T, H, W): 0 background, -1 ignore, 1.. objects.
            No model reads it.
        viewpoints: Camera descriptions for multi-view models, shape (B, T, D).
        background: What a still camera shows where nothing stands in the way, float in [0, 1], shape (B, C, H, W), for
            models that draw over it.
    """

    frames: Tensor
    ids: Tensor | None = None
    viewpoints: Tensor | None = None
    background: Tensor | None = None

    def __post_init__(self) -> None:
        """Check ranks and agreement of shapes; raises InputError."""
        if self.frames.ndim != 5:
            raise InputError("frames", f"must have shape (B, T, C, H, W); found {tuple(self.frames.shape)}.")
        batch, time, _, height, width = self.frames.shape
        if self.viewpoints is not None and (self.viewpoints.ndim != 3 or self.viewpoints.shape[:2] != (batch, time)):
            problem = f"must have shape (B, T, D) = {(batch, time, 'D')}; found {tuple(self.viewpoints.shape)}."
            raise InputError("viewpoints", problem, "Give one viewpoint for each frame.")
        if self.ids is not None and tuple(self.ids.shape) != (batch, time, height, width):
            raise InputError("ids", f"must have shape {(batch, time, height, width)}; found {tuple(self.ids.shape)}.")
        expected = (batch, *self.frames.shape[2:])
        if self.background is not None and tuple(self.background.shape) != expected:
            raise InputError("background", f"must have shape {expected}; found {tuple(self.background.shape)}.")

    def to(self, device: torch.device | str) -> Observation:
        """Return the observation on another device."""
        moved = (None if t is None else t.to(device) for t in (self.frames, self.ids, self.viewpoints, self.background))
        return Observation(*moved)  # type: ignore[arg-type]
