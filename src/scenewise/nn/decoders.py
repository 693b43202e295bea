"""Decoders from one slot's latent to its appearance and mask logit."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.nn.layers import BroadcastConv2d, arranged, coordinates


class BroadcastDecoder(nn.Module):
    """Spatial broadcast decoder at full resolution (PROVIDE appendix, IODINE table of the decoder; provide.md 5).

    Args:
        inputs: Size of the vector it draws.
        channels: Width of the hidden layers.
        layers: Number of hidden convolutions.
        colours: C of the frames.
        size: (H, W) it draws.
        kernel: Side of all kernels.
    """

    def __init__(
        self, inputs: int, channels: int, layers: int, colours: int, size: tuple[int, int], kernel: int = 3
    ) -> None:
        super().__init__()
        rest = [nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(layers - 1)]
        self.hidden = nn.ModuleList([BroadcastConv2d(inputs, channels, kernel, size), *rest])
        self.output = nn.Conv2d(channels, colours + 1, kernel, padding=kernel // 2)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Draw (N, Z): appearance before its activation (N, C, H, W) and mask logit (N, 1, H, W)."""
        first, *rest = self.hidden
        x = first(vector)
        for layer in rest:
            x = functional.elu_(layer(x))  # in place: only one of the two images is kept for the backward pass
        x = self.output(x)
        return x[:, :-1], x[:, -1:]


class DeconvDecoder(nn.Module):
    """The ablation that does not broadcast: an MLP to a small image, then transposed convolutions (IODINE C.1).

    At 128 x 128 the paper's table row by row: 512 and 512 units, which are 8 channels of 8 x 8, four 5x5 transposed
    convolutions of stride 2, one 5x5 convolution, one 5x5 to the output. At other sizes the image starts at 1/16 of the
    size, and the second layer has as many units as that takes.

    Args:
        inputs: Size of the vector it draws.
        channels: Width of the convolutions.
        colours: C of the frames.
        size: (H, W) it draws, each divisible by 16.
    """

    def __init__(self, inputs: int, channels: int, colours: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.start = (8, size[0] // 16, size[1] // 16)
        widths = [inputs, 512, math.prod(self.start)]
        self.mlp = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        up = [
            nn.ConvTranspose2d(a, channels, 5, stride=2, padding=2, output_padding=1)
            for a in (8, channels, channels, channels)
        ]
        self.hidden = nn.ModuleList([*up, nn.Conv2d(channels, channels, 5, padding=2)])
        self.output = nn.Conv2d(channels, colours + 1, 5, padding=2)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Draw (N, Z): appearance before its activation (N, C, H, W) and mask logit (N, 1, H, W)."""
        x = vector
        for linear in self.mlp:
            x = functional.elu_(linear(x))
        x = arranged(x.unflatten(1, self.start))
        for layer in self.hidden:
            x = functional.elu_(layer(x))
        x = self.output(x)
        return x[:, :-1], x[:, -1:]


class Profiles(nn.Module):
    """A vector's products of a row profile and a column profile, mixed to channels: places and shapes at little cost.

    A few convolutions over broadcast coordinates learn blobs within minutes and corners within hours; with these
    products an autoencoder of one tetromino reaches the same error in a third of the steps.

    Args:
        inputs: Size of the vector.
        rank: Number of products.
        channels: Of the image.
        size: (H, W) of the image.
    """

    def __init__(self, inputs: int, rank: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.rank, self.size = rank, size
        self.profiles = nn.Linear(inputs, rank * sum(size))
        self.mix = nn.Conv2d(rank, channels, 1, bias=False)

    def forward(self, vector: Tensor) -> Tensor:
        """Take (N, inputs); return (N, channels, H, W)."""
        rows, columns = self.profiles(vector).unflatten(1, (self.rank, -1)).split(self.size, -1)
        return self.mix(rows.unsqueeze(3) * columns.unsqueeze(2))


class CoarseToFineDecoder(nn.Module):
    """A normalised decoder that draws at a fraction of the size and refines (ours; the preset `fast` uses it).

    The vector is projected and broadcast on a coarse grid together with a learned projection of the coordinates; 3x3
    convolutions with group norm follow, one nearest up-sampling by 2, and a pixel shuffle at the end. Normalisation is
    what lets slots leave the mean image within minutes.

    Args:
        inputs: Size of the vector it draws.
        channels: Width of the hidden layers.
        groups: Groups of the group norms.
        colours: C of the frames.
        size: (H, W) it draws; where `factor` does not divide it, more is drawn and the rest cut off.
        factor: Size over size of the coarse grid, 4 or 8: the pixel shuffle makes up all but 2 of it.
        rank: Number of `Profiles` added on both grids; 0 for none.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        groups: int,
        colours: int,
        size: tuple[int, int],
        factor: int = 4,
        rank: int = 0,
    ) -> None:
        super().__init__()
        self.shuffle = factor // 2
        self.project = nn.Linear(inputs, channels)
        self.place = nn.Conv2d(2, channels, 1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.third = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(4))
        self.output = nn.Conv2d(channels, self.shuffle**2 * (colours + 1), 3, padding=1)
        self.grid: Tensor
        self.size = size
        coarse = (-(-size[0] // factor), -(-size[1] // factor))
        self.register_buffer("grid", coordinates(*coarse), persistent=False)
        grids = (coarse, (2 * coarse[0], 2 * coarse[1])) if rank else ()
        self.profiles = nn.ModuleList(Profiles(inputs, rank, channels, grid) for grid in grids)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Draw (N, Z): appearance before its activation (N, C, H, W) and mask logit (N, 1, H, W)."""
        coarse, fine = (profiles(vector) for profiles in self.profiles) if self.profiles else (0.0, 0.0)
        x = arranged(self.project(vector)[:, :, None, None] + self.place(self.grid.unsqueeze(0)) + coarse)
        x = functional.elu_(self.norms[0](x))
        x = functional.elu_(self.norms[1](self.first(x)))
        x = functional.elu_(self.norms[2](self.second(x)))
        x = functional.interpolate(x, scale_factor=2, mode="nearest") + fine
        x = functional.elu_(self.norms[3](self.third(x)))
        x = self.output(x).contiguous()  # planes are cut apart next: whole ones, or every later step is slower
        x = functional.pixel_shuffle(x, self.shuffle)[..., : self.size[0], : self.size[1]]
        return x[:, :-1], x[:, -1:]


def finer(rows: Tensor, planes: int, shuffle: int) -> Tensor:
    """Return the last layer of a `CoarseToFineDecoder` for a finer pixel shuffle: every old pixel is repeated.

    Args:
        rows: Its weight (planes s², ...) or bias (planes s²).
        planes: Colours and mask logit.
        shuffle: The new shuffle, a multiple of s.
    """
    side = math.isqrt(len(rows) // planes)
    blocks = rows.unflatten(0, (planes, side, side))
    return blocks.repeat_interleave(shuffle // side, 1).repeat_interleave(shuffle // side, 2).flatten(0, 2)


def make_canvas(
    kind: str,
    inputs: int,
    channels: int,
    colours: int,
    size: tuple[int, int],
    *,
    groups: int = 4,
    factor: int = 4,
    kernel: int = 3,
    rank: int = 0,
) -> nn.Module:
    """Return the decoder called `kind`: "broadcast" at full size, "deconv", or "coarse" at 1 / `factor` of the size."""
    if kind == "broadcast":
        return BroadcastDecoder(inputs, channels, 4, colours, size, kernel)
    if kind == "deconv":
        return DeconvDecoder(inputs, channels, colours, size)
    return CoarseToFineDecoder(inputs, channels, groups, colours, size, factor, rank)


class SlotDecoder(nn.Module):
    """g: (z, optionally a recurrent state h) to means and mask logits (PROVIDE eq. 1; provide.md 5).

    Args:
        canvas: Draws one slot from a vector.
        latent: M, size of z.
        condition: Size of h; 0 where the decoder sees z alone.
        channels: Width of the conditioning MLP, the size of the canvas's vector.
        sigmoid: Whether means go through a sigmoid.
        bf16: Whether to draw in bfloat16.
    """

    def __init__(
        self, canvas: nn.Module, latent: int, condition: int, channels: int, sigmoid: bool, bf16: bool = False
    ) -> None:
        super().__init__()
        self.condition: nn.Module | None = None
        if condition:
            self.condition = nn.Sequential(
                nn.Linear(latent + condition, channels), nn.ELU(), nn.Linear(channels, channels), nn.ELU()
            )
        self.canvas, self.sigmoid, self.bf16 = canvas, sigmoid, bf16

    def forward(self, latent: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Take (B, K, M) and (B, K, condition); return means (B, K, C, H, W) and logits (B, K, 1, H, W)."""
        vector = latent if self.condition is None else self.condition(torch.cat([latent, h], -1))
        with torch.autocast(latent.device.type, torch.bfloat16, enabled=self.bf16):
            means, logits = self.canvas(vector.flatten(0, 1))
        means, logits = (t.float().unflatten(0, latent.shape[:2]) for t in (means, logits))
        return means.sigmoid() if self.sigmoid else means, logits
