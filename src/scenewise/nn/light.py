"""Light: what a change of exposure or lamps does to the picture of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ROUNDS = 4
_LARGEST_GAIN = 2.0
_LEAST_CONTRAST = 0.03  # standard deviation of a channel below which it cannot tell a gain from an offset
_LEAST_RESIDUAL = 0.015  # of [0, 1]; smaller differences are noise and never left out
_LEAST_PIXELS = 20
_DARK = 0.01  # squared length of a colour below which no share of it can be told
_LARGEST_CHANGE = 0.3  # of the brightness of a pixel


@dataclass(frozen=True)
class Lighting:
    """A change of light.

    Attributes:
        gain: Factor of each channel, shape (N, C, 1, 1).
        offset: Added to it, shape (N, C, 1, 1).
    """

    gain: Tensor
    offset: Tensor

    def on(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) under this light; values may leave [0, 1]."""
        return images * self.gain + self.offset


@torch.no_grad()
def light_between(images: Tensor, like: Tensor) -> Lighting:
    """Return the light under which images look like others: each channel times a gain plus an offset.

    Both are least squares over the pixels that differ least, found in rounds: what differs by more than 2.5 times the
    median residual is an object in one of the images and is left out of the next round. A fit with a gain beyond 2 or
    below 1/2 is no light, and the round before it stands.

    Args:
        images: Shape (N, C, H, W) in [0, 1].
        like: Shape (N, C, H, W), or (1, C, H, W) for all of them.
    """
    x, y = images[..., ::2, ::2].flatten(2), like[..., ::2, ::2].flatten(2)  # (N, C, P); every second pixel is enough
    x, y = torch.broadcast_tensors(x, y)
    weights = x.new_ones(len(x), 1, x.shape[2])
    gain, offset = x.new_ones(*x.shape[:2], 1), x.new_zeros(*x.shape[:2], 1)
    valid = torch.ones(len(x), 1, 1, dtype=torch.bool, device=x.device)
    for left in reversed(range(_ROUNDS)):
        new_gain, new_offset = _fit(x, y, weights)
        lawful = (new_gain > 1 / _LARGEST_GAIN) & (new_gain < _LARGEST_GAIN)
        valid = valid & lawful.all(1, keepdim=True) & (weights.sum(2, keepdim=True) >= _LEAST_PIXELS)
        gain, offset = torch.where(valid, new_gain, gain), torch.where(valid, new_offset, offset)
        if not left:
            break
        residual = (gain * x + offset - y).abs().amax(1, keepdim=True)
        limit = (2.5 * residual.median(2, keepdim=True).values).clamp_min(_LEAST_RESIDUAL)
        weights = (residual <= limit).to(x.dtype)
    return Lighting(gain.unsqueeze(3), offset.unsqueeze(3))


def brightening(difference: Tensor, picture: Tensor) -> Tensor:
    """Return what a change of brightness would do of a difference from a picture, pixel by pixel.

    Shadows, reflexes and automatic exposure change all channels by the same share; more than 0.3 is none of them.

    Args:
        difference: Image minus picture, shape (N, C, H, W).
        picture: Shape (N, C, H, W).

    Returns:
        Shape (N, C, H, W).
    """
    share = (difference * picture).sum(1, keepdim=True) / picture.square().sum(1, keepdim=True).clamp_min(_DARK)
    return share.clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE) * picture


def _fit(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return gain and offset (N, C, 1) of weighted least squares; a channel without contrast gets an offset alone."""
    total = weights.sum(2, keepdim=True).clamp_min(1)
    mean_x, mean_y = (weights * x).sum(2, keepdim=True) / total, (weights * y).sum(2, keepdim=True) / total
    variance = (weights * (x - mean_x).square()).sum(2, keepdim=True) / total
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum(2, keepdim=True) / total
    flat = variance.sqrt() < _LEAST_CONTRAST
    gain = torch.where(flat, torch.ones_like(variance), covariance / variance.clamp_min(1e-12))
    return gain, mean_y - gain * mean_x
