"""Frames to come, made of what was seen: objects are cut out of the last frame and go on as they moved.

Also how far they moved: the displacement under which the pixels of an object in one frame look most like the frame
before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

_NONE = 1e-4  # share of a pixel below which a mask is none
_STILL = 0.5  # pixels by which an object must have gone to be taken along
_FARTHEST = 4  # pixels that are tried each way
_BETTER = 0.75  # of the error of no displacement, which the best must be below
_NEWEST = 0.5  # weight of the last step in the mean of steps
_STEADY, _PRIOR, _MEMORY = 0.4, 1.0, 0.95  # share of a speed that stays; weight of that guess in steps; decay


@dataclass(frozen=True)
class Motion:
    """How the objects of B videos move, in pixels per frame.

    Attributes:
        step: From the frame before the last to the last, shape (B, K, 2).
        pace: The mean of the last steps, shape (B, K, 2).
        steadiness: Sum of how alike neighbouring steps were, and their number, shape (B, K, 2).
    """

    step: Tensor
    pace: Tensor
    steadiness: Tensor

    @classmethod
    def unknown(cls, zeros: Tensor) -> Motion:
        """Return what is thought of objects (B, K, 2) that nobody has seen move."""
        return cls(zeros, zeros.clone(), (zeros + zeros.new_tensor([_STEADY, 1.0])) * _PRIOR)

    def after(self, step: Tensor, known: Tensor) -> Motion:
        """Return it after one more step (B, K, 2), which is known of some slots, bool (B, K)."""
        known = known.unsqueeze(2)
        compared = known & (self.step.norm(dim=2, keepdim=True) > 0)
        pace = torch.where(compared, torch.lerp(self.pace, step, _NEWEST), step)
        square = torch.maximum(step.square().sum(2), self.step.square().sum(2)).clamp_min(1e-6)
        alike = torch.stack([(step * self.step).sum(2) / square, torch.ones_like(square)], 2) * compared
        start = self.unknown(torch.zeros_like(step)).steadiness
        steadiness = torch.where(known, torch.lerp(start, self.steadiness, _MEMORY), start)
        return Motion(step, pace, steadiness + alike)

    @property
    def share(self) -> Tensor:
        """The share of its speed that an object keeps from one frame to the next, shape (B, K, 1)."""
        return (self.steadiness[..., :1] / self.steadiness[..., 1:]).clamp(0, 1)


def moved_cutouts(frame: Tensor, owner: Tensor, wall: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the objects out of frames, move them, and put what the background shows where they were.

    The farther an object goes, the nearer it is taken to be: it covers those that go less far.

    Args:
        frame: Shape (B, C, H, W).
        owner: Slot of each pixel, 0 the background, int64, shape (B, H, W).
        wall: What the background shows, shape (B, C, H, W).
        shift: How far each slot's object went, to the right and down, in units where a side's first and last pixel are
            -1 and 1, shape (B, K, 2).

    Returns:
        Means (B, K, C, H, W) and mask logits (B, K, 1, H, W), in which masks are shares of pixels.
    """
    slots = shift.shape[1]
    height, width = frame.shape[-2:]
    pixels = shift * shift.new_tensor([width - 1, height - 1]) / 2  # (B, K, 2)
    pixels = pixels * (pixels.norm(dim=2, keepdim=True) >= _STILL)
    masks = functional.one_hot(owner, slots).movedim(3, 1).unsqueeze(2).to(frame.dtype)  # (B, K, 1, H, W)
    empty = torch.where(masks[:, 0] > 0, frame, wall)
    rows, columns = (_shifted(pixels[..., axis], side) for axis, side in ((1, height), (0, width)))
    moved = rows @ torch.cat([masks, masks * frame.unsqueeze(1)], 2) @ columns.mT
    shares, colours = moved[:, 1:, :1], moved[:, 1:, 1:] / moved[:, 1:, :1].clamp_min(_NONE)
    order = pixels[:, 1:].norm(dim=2).argsort(dim=1, descending=True, stable=True)
    place = order.argsort(dim=1)[..., None, None, None]
    sorted_shares = shares.take_along_dim(order[..., None, None, None], 1)
    before = torch.cat([torch.ones_like(shares[:, :1]), (1 - sorted_shares).cumprod(1)], 1)  # not yet covered
    visible = (sorted_shares * before[:, :-1]).take_along_dim(place, 1)
    return torch.cat([empty.unsqueeze(1), colours], 1), torch.cat([before[:, -1:], visible], 1).clamp_min(_NONE).log()


def _shifted(pixels: Tensor, side: int) -> Tensor:
    """Return bilinear weights (B, K, 1, side, side) by which a side's pixels go on by `pixels` (B, K)."""
    place = torch.arange(side, device=pixels.device)
    return (1 - (place.unsqueeze(1) - pixels[..., None, None, None] - place).abs()).clamp_min(0)


@torch.no_grad()
def displacement(before: Tensor, now: Tensor, owner: Tensor, slots: int) -> Tensor:
    """Return how far the object of each slot went from one frame to the next, up to 4 pixels each way.

    Where no displacement explains its pixels clearly better than none, it stood still.

    Args:
        before: Shape (B, C, H, W).
        now: Shape (B, C, H, W).
        owner: Slot of each pixel of `now`, 0 the background, int64, shape (B, H, W).
        slots: K.

    Returns:
        Pixels to the right and down, with fractions, shape (B, K, 2); 0 for slots that own nothing, and for slot 0.
    """
    side, slots_seen = 2 * _FARTHEST + 1, owner.cpu().numpy()
    padded = functional.pad(before, (_FARTHEST,) * 4, mode="replicate")
    around = padded.unfold(2, now.shape[2], 1).unfold(3, now.shape[3], 1)  # (B, C, side, side, H, W), no copy
    total = now.new_zeros(len(now), slots, side * side)
    for video, image in enumerate(slots_seen):
        for slot, box in enumerate(ndimage.find_objects(image, slots - 1), 1):
            if box is None:
                continue
            owned, there = (owner[video, *box] == slot).to(now.dtype).flatten(), around[video, ..., *box]
            error = torch.sub(there, now[video, :, *box][:, None, None], out=now.new_empty(there.shape)).square_()
            total[video, slot] = (error.view(-1, side * side, len(owned)) @ owned).sum(0)
    steps = np.array([[_least(error.reshape(side, side)) for error in each] for each in total.cpu().numpy()])
    return torch.from_numpy(steps.astype(np.float32)).to(now)


def _least(error: np.ndarray) -> tuple[float, float]:
    """Return the displacement (to the right, down) of least error (side, side), 0 where it is not clearly the best."""
    down, across = divmod(int(error.argmin()), error.shape[1])
    if not error[down, across] < _BETTER * error[_FARTHEST, _FARTHEST]:
        return 0.0, 0.0
    return _FARTHEST - _lowest(error[down], across), _FARTHEST - _lowest(error[:, across], down)


def _lowest(values: np.ndarray, at: int) -> float:
    """Return where a parabola through the lowest of values (N,), at an index, and its neighbours is lowest."""
    if not 0 < at < len(values) - 1:
        return float(at)
    low, middle, high = values[at - 1 : at + 2].tolist()
    return at + min(max((low - high) / max(2 * (low - 2 * middle + high), 1e-9), -0.5), 0.5)
