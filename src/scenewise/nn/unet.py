"""The attention U-Net of MONet and GENESIS-V2 (monet_genesis.md 1.2)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.errors import InputError
from scenewise.nn.layers import arranged

_BOTTOM = 4  # side of the bottom map: an instance norm of 2 x 2 pixels degenerates


def count_blocks(size: tuple[int, int], subject: str = "size") -> int:
    """Return how many blocks lead from frames of a size to a bottom map of 4 x 4: log2(side) - 1.

    Args:
        size: (H, W) of the frames.
        subject: What an error calls the size.

    Raises:
        InputError: The sides differ, or are no power of two from 8 on.
    """
    height, width = size
    blocks = height.bit_length() - 2
    if height != width or height < 2 * _BOTTOM or height != _BOTTOM << (blocks - 1):
        problem = f"the attention U-Net ends at 4 x 4 and takes squares of 8, 16, 32, 64, ..; found {height} x {width}."
        raise InputError(subject, problem, "Crop or resize the frames, for example to 64 x 64.")
    return blocks


def block_channels(blocks: int, channels: int) -> tuple[list[int], list[int]]:
    """Return the output channels of the blocks on the way down and on the way up (table in monet_genesis.md 1.2)."""
    down = ([channels] * (blocks - 3) + [2 * channels] * 3)[-blocks:]
    up = ([2 * channels] * 2)[: blocks - 1] + [channels] * max(1, blocks - 2)
    return down, up


def shown_finer(weight: Tensor, planes: int, shuffle: int) -> Tensor:
    """Return a first convolution for images whose pixels are unshuffled finer: it sees means of the new pixels.

    Args:
        weight: Of the convolution over `pixel_unshuffle(images, s)`, shape (out, planes s², k, k).
        planes: Channels of the images.
        shuffle: The new s, a multiple of the old.
    """
    side = math.isqrt(weight.shape[1] // planes)
    factor = shuffle // side
    blocks = weight.unflatten(1, (planes, side, side)) / factor**2
    return blocks.repeat_interleave(factor, 2).repeat_interleave(factor, 3).flatten(1, 3)


class Block(nn.Module):
    """A 3x3 convolution without bias, a norm with trained gain, ReLU.

    Args:
        inputs: Input channels.
        out: Output channels.
        groups: Groups of the norm; as many as channels make it an instance norm.
    """

    def __init__(self, inputs: int, out: int, groups: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, out, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, out)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, out, H, W)."""
        return functional.relu_(self.norm(self.convolution(x)))


class AttentionUNet(nn.Module):
    """Blocks down to 4 x 4 and up again with skips, and an MLP at the bottom through which all places meet.

    Args:
        inputs: Input channels.
        channels: Width c of the outer blocks; the inner ones have 2c.
        size: (H, W) of the input, see `count_blocks`.
        outputs: Output channels of the last 1x1 convolution; None for no such convolution, the output has c channels.
        norm: "instance" or "group".
        groups: Groups of the group norm.
        code: Width of the MLP.

    Raises:
        InputError: The size cannot be halved to 4 x 4, or the groups do not divide the channels.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        size: tuple[int, int],
        outputs: int | None = 1,
        *,
        norm: str = "instance",
        groups: int = 8,
        code: int = 128,
    ) -> None:
        super().__init__()
        if norm == "group" and channels % groups:
            raise InputError("channels", f"of the U-Net must be divisible by groups = {groups}; found {channels}.")
        down, up = block_channels(count_blocks(size), channels)
        below = [down[-1], *up[:-1]]
        self.down = nn.ModuleList(Block(a, b, groups if norm == "group" else b) for a, b in pairwise([inputs, *down]))
        self.up = nn.ModuleList(
            Block(a + skip, b, groups if norm == "group" else b)
            for a, skip, b in zip(below, reversed(down), up, strict=True)
        )
        bottom = _BOTTOM**2 * down[-1]
        self.bottom = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([bottom, code, code, bottom]))
        self.output = nn.Identity() if outputs is None else nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, outputs or c, H, W)."""
        skips: list[Tensor] = []
        x = arranged(x)
        for block in self.down:
            x = block(skips[-1][..., ::2, ::2] if skips else x)  # nearest
            skips.append(x)
        bottom = x.shape[1:]
        x = x.flatten(1)  # (N, 4 * 4 * 2c)
        for linear in self.bottom:
            x = functional.relu_(linear(x))
        x = arranged(x.unflatten(1, bottom))
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], 1))
            if skips:
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.output(x)  # type: ignore[no-any-return]
