"""Convolutional encoder and decoder of one slot with layer norm everywhere (R-NEM; rnem.md 4).

Layer norm is over all axes but the batch, with gain and bias per channel, epsilon 1e-12; always layer, norm,
activation. Maps are flattened channels first, which against R-NEM's code only reorders weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

EPSILON = 1e-12


def map_norm(channels: int) -> nn.GroupNorm:
    """Return the layer norm of maps (N, C, H, W)."""
    return nn.GroupNorm(1, channels, eps=EPSILON)


def vector_norm(size: int) -> nn.LayerNorm:
    """Return the layer norm of vectors (..., size)."""
    return nn.LayerNorm(size, eps=EPSILON)


@torch.no_grad()
def xavier_(module: nn.Module) -> None:
    """Start all weights Xavier-uniform and all biases at 0; norms are left as they are."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                part.bias.zero_()


class NormedEncoder(nn.Module):
    """4x4 convolutions of stride 2 and one fully connected layer, ELU.

    Args:
        channels: C of the images.
        widths: Output channels of the convolutions.
        code: Size of the output.
        size: (H, W), divisible by 2 to the number of convolutions.
    """

    def __init__(self, channels: int, widths: Sequence[int], code: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise([channels, *widths])
        )
        self.norms = nn.ModuleList(map_norm(width) for width in widths)
        cells = (size[0] >> len(widths)) * (size[1] >> len(widths))
        self.linear, self.norm = nn.Linear(widths[-1] * cells, code), vector_norm(code)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, H, W); return (N, code)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.elu(norm(convolution(x)))
        return functional.elu(self.norm(self.linear(x.flatten(1))))


class EnlargingConv2d(nn.Module):
    """Enlarge twofold by repeating pixels, then a 4x4 convolution that keeps the size: in one go at the small size.

    A row of the large map sees two or three rows of the small one, so that four 3x3 kernels, one for each pixel of a
    2x2 block, do the same with half of the multiplications. Zeros pad one row and column before and two after.

    Args:
        inputs: Input channels.
        out: Output channels.
    """

    def __init__(self, inputs: int, out: int) -> None:
        super().__init__()
        whole = nn.Conv2d(inputs, out, 4)
        nn.init.xavier_uniform_(whole.weight)
        self.weight, self.bias = whole.weight, nn.Parameter(torch.zeros(out))
        taps = torch.zeros(2, 3, 4)  # which small row each row of the kernel meets, for even and odd rows
        for odd, rows in enumerate(((0, 1, 1, 2), (1, 1, 2, 2))):
            taps[odd, rows, range(4)] = 1
        self.taps: Tensor
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, out, 2 H, 2 W)."""
        kernels = torch.einsum("pai,qbj,ocij->opqcab", self.taps, self.taps, self.weight).flatten(0, 2)
        return functional.pixel_shuffle(functional.conv2d(x, kernels, self.bias.repeat_interleave(4), padding=1), 2)


class NormedDecoder(nn.Module):
    """Two fully connected layers to a small map, then enlarging convolutions; ReLU, sigmoid at the end.

    Args:
        inputs: Size of the vector it draws.
        code: Size of the first layer.
        widths: Channels, mirrored: the small map has the last of them.
        channels: C of the images.
        size: (H, W), divisible by 2 to the number of widths.
    """

    def __init__(self, inputs: int, code: int, widths: Sequence[int], channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.start = (widths[-1], size[0] >> len(widths), size[1] >> len(widths))
        cells = self.start[0] * self.start[1] * self.start[2]
        self.linears = nn.ModuleList([nn.Linear(inputs, code), nn.Linear(code, cells)])
        self.linear_norms = nn.ModuleList([vector_norm(code), vector_norm(cells)])
        planes = [*reversed(widths), channels]
        self.convolutions = nn.ModuleList(EnlargingConv2d(a, b) for a, b in pairwise(planes))
        self.norms = nn.ModuleList(map_norm(width) for width in planes[1:-1])

    def forward(self, vector: Tensor) -> Tensor:
        """Take (N, inputs); return means in (0, 1), shape (N, C, H, W)."""
        x = vector
        for linear, norm in zip(self.linears, self.linear_norms, strict=True):
            x = norm(linear(x)).relu()
        x = x.unflatten(1, self.start)
        *hidden, last = self.convolutions
        for convolution, norm in zip(hidden, self.norms, strict=True):
            x = norm(convolution(x)).relu()
        return last(x).sigmoid()
