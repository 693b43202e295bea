"""Small layers of the field: coordinate maps, layer norm without gain, split convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def coordinates(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return x and y in [-1, 1], both ends included, shape (2, H, W); a side of one pixel gets 0."""
    ys = torch.linspace(-1, 1, height, device=device) if height > 1 else torch.zeros(1, device=device)
    xs = torch.linspace(-1, 1, width, device=device) if width > 1 else torch.zeros(1, device=device)
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x, grid_y])


def arranged(x: Tensor) -> Tensor:
    """Return images in the memory layout that convolutions and group norm are quickest in.

    Channels-last in float32 (a third quicker on CPU); under bfloat16 autocast the plain layout, since PyTorch's
    channels-last group norm is then several times slower on CPU.
    """
    plain = torch.is_autocast_enabled(x.device.type) and x.device.type == "cpu"
    return x.contiguous(memory_format=torch.contiguous_format if plain else torch.channels_last)


def normalise(x: Tensor, dims: int, eps: float = 1e-5) -> Tensor:
    """Layer norm without gain over the last `dims` axes, in float32; eps is added to the variance (iodine 4.3)."""
    return functional.layer_norm(x.float(), x.shape[-dims:], eps=eps)


class SlotConv2d(nn.Module):
    """A convolution over inputs of which some are the same for all slots: those are convolved once, not K times.

    Equal to a `Conv2d` over the channel-wise concatenation (shared, per slot).

    Args:
        shared: Channels that do not depend on the slot.
        per_slot: Channels that do.
        out: Output channels.
        kernel: Side of the kernel; padding keeps the size at stride 1.
        stride: Stride.
    """

    def __init__(self, shared: int, per_slot: int, out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.shared, self.stride, self.padding = shared, stride, kernel // 2
        whole = nn.Conv2d(shared + per_slot, out, kernel, stride=stride, padding=kernel // 2)
        self.weight, self.bias = whole.weight, whole.bias

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B * K, out, H', W')."""
        batch, slots = per_slot.shape[:2]
        once = functional.conv2d(shared, self.weight[:, : self.shared], self.bias, self.stride, self.padding)
        own = arranged(per_slot.flatten(0, 1))
        each = functional.conv2d(own, self.weight[:, self.shared :], None, self.stride, self.padding)
        return (each.unflatten(0, (batch, slots)) + once.unsqueeze(1)).flatten(0, 1)
