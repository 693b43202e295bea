"""Parts of a frame that its background does not explain: a first guess of objects, made without learning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

_DARKEST_SHADOW = 0.35  # of [0, 1]
_SQUARE = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])  # eight neighbours in the same frame
_CROSS = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))])  # four
_APART = 2  # pixels from what a slot owns
_CLEAR_PIXELS = 0.15  # of a part must differ clearly


@dataclass(frozen=True)
class Parts:
    """Parts of B frames, the largest first, N at most.

    Attributes:
        windows: Their boxes as windows, shape (B, N, 4).
        colours: Mean difference from the background, shape (B, N, C).
        valid: Which of the N there are, shape (B, N).
    """

    windows: Tensor
    colours: Tensor
    valid: Tensor


def strangeness(difference: Tensor, picture: Tensor, shadow: float) -> Tensor:
    """Return by how much each pixel differs from the background; what a shadow does counts for less.

    Along the background's colour a difference of all channels counts once, across it twice; darkening along it that a
    shadow may do counts `shadow` times that.

    Args:
        difference: Frame minus background, shape (B, C, H, W).
        picture: The background, shape (B, C, H, W).
        shadow: In [0, 1].

    Returns:
        Shape (B, H, W).
    """
    hue = picture / picture.norm(dim=1, keepdim=True).clamp_min(0.1)
    along = (difference * hue).sum(1)
    across = (difference - along.unsqueeze(1) * hue).square().sum(1)
    along = torch.where((along < 0) & (along > -_DARKEST_SHADOW), shadow * along, along)
    return (along.square() / difference.shape[1] + 2 * across).sqrt()


def parts_of(
    strange: Tensor, difference: Tensor, owned: Tensor, most: int, limits: tuple[float, float], least: float
) -> Parts:
    """Return connected parts of strange pixels that nobody owns.

    Args:
        strange: How much pixels differ, shape (B, H, W).
        difference: Frame minus background, shape (B, C, H, W).
        owned: Pixels that slots own already, bool, shape (B, H, W); two pixels about them are left out too.
        most: N, largest number of parts of a frame.
        limits: Strangeness of a part's pixels, and that of at least 15 % of them.
        least: Area of a part, pixels.
    """
    values, taken = strange.detach().cpu().numpy(), owned.cpu().numpy()
    near = ndimage.binary_dilation(taken, _CROSS, iterations=_APART)
    on = (values > limits[0]) & ~near
    solid = ndimage.uniform_filter(on.astype(np.float32), (0, 3, 3), mode="constant") > 0.5  # no specks, no threads
    labels, count = ndimage.label(on & ndimage.binary_dilation(solid, _CROSS), _SQUARE)
    batch, channels, height, width = difference.shape
    parts = Parts(torch.zeros(batch, most, 4), torch.zeros(batch, most, channels), torch.zeros(batch, most).bool())
    if count and most:
        numbers = np.arange(1, count + 1)
        areas = ndimage.sum_labels(np.ones_like(values), labels, numbers)
        clear = ndimage.sum_labels(values > limits[1], labels, numbers)
        lawful = (areas >= least) & (clear >= np.maximum(2, _CLEAR_PIXELS * areas))
        boxes, colour, filled = ndimage.find_objects(labels), difference.detach().cpu().numpy(), [0] * batch
        for n in np.argsort(-areas, kind="stable"):
            frame, rows, columns = boxes[n]
            b = frame.start
            if not lawful[n] or filled[b] == most:
                continue
            inside = labels[b, rows, columns] == n + 1
            mean = colour[b][:, rows, columns][:, inside].mean(1)
            parts.windows[b, filled[b]] = torch.tensor(_window(rows, columns, height, width))
            parts.colours[b, filled[b]] = torch.from_numpy(mean)
            parts.valid[b, filled[b]] = True
            filled[b] += 1
    return Parts(*(tensor.to(strange.device) for tensor in (parts.windows, parts.colours, parts.valid)))


def _window(rows: slice, columns: slice, height: int, width: int) -> list[float]:
    """Return (x, y, log half width, log half height) of a box of pixels."""
    x, y = ((side.start + side.stop - 1) / max(n - 1, 1) - 1 for side, n in ((columns, width), (rows, height)))
    wide, high = ((side.stop - side.start) / n for side, n in ((columns, width), (rows, height)))
    return [x, y, math.log(wide), math.log(high)]
