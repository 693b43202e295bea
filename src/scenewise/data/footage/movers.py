"""What stands or moves before a still camera: parts of frames that differ from the background picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scenewise.data.footage.background import Background
from scenewise.nn.light import brightening, light_between
from scenewise.nn.parts import Limits, Memory, guess

STRANGE, CLEAR = 0.05, 0.08
"""Distances from the background's colour, of [0, 1], of an object's pixels and of its clear ones."""

_BRIGHTNESS = 0.7  # share of a pixel's change of brightness that is the background's
_LEAST_AREA = 0.001  # of the frame
_MOST = 24  # objects of a frame that are counted
_TOGETHER = 32  # frames


@dataclass(frozen=True)
class Movers:
    """Objects of some frames.

    Attributes:
        counts: How many each frame shows, shape (T,).
        widths: Of each, as a share of the frame's width.
        heights: Of each, as a share of the frame's height.
    """

    counts: np.ndarray
    widths: np.ndarray
    heights: np.ndarray

    @property
    def busy(self) -> int:
        """Objects in a busy frame: the 95th percentile over frames; 0 where there are none."""
        return round(float(np.percentile(self.counts, 95))) if self.counts.size else 0

    def small(self, size: tuple[int, int]) -> float:
        """Return the narrower side of a small object, the 20th percentile, in pixels of frames of (H, W)."""
        sides = np.minimum(self.widths * size[1], self.heights * size[0])
        return float(np.percentile(sides, 20)) if sides.size else 0.0


def movers(frames: np.ndarray, background: Background) -> Movers:
    """Look for objects in frames.

    Args:
        frames: uint8, shape (T, H, W, C).
        background: Of these frames, at their size.
    """
    picture = torch.from_numpy(np.moveaxis(background.picture, -1, 0).copy()).unsqueeze(0)
    limits = Limits(STRANGE, CLEAR, max(6.0, _LEAST_AREA * frames[0, :, :, 0].size))
    counts, windows = [], []
    for begin in range(0, len(frames), _TOGETHER):
        seen = torch.from_numpy(np.moveaxis(frames[begin : begin + _TOGETHER], -1, 1) / np.float32(255))
        lit = light_between(picture, seen).on(picture).clamp(0, 1)
        wall = lit + _BRIGHTNESS * brightening(seen - lit, lit)
        parts = guess((seen - wall).norm(dim=1), seen - lit, _nothing(seen), limits)
        counts.append(parts.births.sum(1).numpy())
        windows.append(parts.windows[parts.births][:, 2:].exp().numpy())
    sides = np.concatenate(windows)
    return Movers(np.concatenate(counts), sides[:, 0], sides[:, 1])


def _nothing(frames: torch.Tensor) -> Memory:
    """Return the memory of who has seen nothing yet."""
    batch, channels, height, width = frames.shape
    owner, off = torch.zeros(batch, height, width).long(), torch.zeros(batch, _MOST + 1)
    return Memory(owner, off, off.bool(), torch.zeros(*off.shape, 4), torch.zeros(*off.shape, channels))
