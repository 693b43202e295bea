"""A spatial transformer of scale and shift: draw a small image into a frame, or crop it out again (ddpae.md 3).

A pose is (s, tx, ty). Where the frame has coordinates u in [-1, 1]^2, the small image is looked up at s u + t,
bilinear, with zeros outside: it covers 1 / s of the frame's side, about u = -t / s. Both ends of a side are the centres
of its first and last pixel (`align_corners=True` elsewhere). As nothing turns, rows and columns are two products.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_in(images: Tensor, pose: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw images into empty frames.

    Args:
        images: Shape (..., C, h, w); leading axes broadcast against those of `pose`.
        pose: (s, tx, ty), shape (..., 3).
        size: (H, W) of the frames.

    Returns:
        Shape (..., C, H, W).
    """
    scale, across, down = pose.unsqueeze(-2).unbind(-1)  # (..., 1)
    rows = _weights(scale, down, size[0], images.shape[-2])
    columns = _weights(scale, across, size[1], images.shape[-1])
    return rows @ images @ columns.mT


def crop_out(frames: Tensor, pose: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop out of frames what `draw_in` drew with the same pose.

    Args:
        frames: Shape (..., C, H, W); leading axes broadcast against those of `pose`.
        pose: (s, tx, ty), shape (..., 3), s above 0.
        size: (h, w) of the crops.

    Returns:
        Shape (..., C, h, w).
    """
    scale, shift = pose[..., :1], pose[..., 1:]
    return draw_in(frames, torch.cat([1 / scale, -shift / scale], -1), size)


def centres(pose: Tensor) -> Tensor:
    """Return where the middle of what is drawn lies, (x, y) as shares of the frame's sides, shape (..., 2)."""
    return (1 - pose[..., 1:] / pose[..., :1]) / 2


def _weights(scale: Tensor, shift: Tensor, outer: int, inner: int) -> Tensor:
    """Return weights of `inner` pixels at each of `outer`, shape (..., 1, outer, inner); arguments (..., 1)."""
    u = torch.linspace(-1, 1, outer, device=scale.device)
    place = (scale * u + shift + 1) * ((inner - 1) / 2)  # (..., outer), in pixels of the inner side
    pixels = torch.arange(inner, device=scale.device)
    return (1 - (place.unsqueeze(-1) - pixels).abs()).clamp_min(0).unsqueeze(-3)
