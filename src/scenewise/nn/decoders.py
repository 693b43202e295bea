"""Decoders from one slot's latent to its appearance and mask logit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import BroadcastConv2d, arranged, coordinates, shuffled
from scenewise.nn.slot_autoencoder import Activation, UnpaddedBroadcastDecoder

DecoderKind = Literal["broadcast", "unpadded", "deconv", "coarse"]


@dataclass(frozen=True)
class DecoderSettings:
    """Which decoder draws a slot, and how large it is. What a kind has no use for is left alone by it."""

    kind: DecoderKind = setting("broadcast", "Broadcast, padded or not; its ablation; or ours from 1 / factor on")
    channels: int | tuple[int, ...] = setting(
        64, "Width of the convolutions, or of each of the unpadded one's", minimum=1, maximum=1024
    )
    kernel: Literal[3, 5] = setting(3, "Side of the broadcast decoder's kernels")
    activation: Activation = setting("relu", "Of the unpadded one; all others have ELU")
    factor: Literal[4, 8] = setting(4, "Our decoder begins at 1 / factor of the size")
    profiles: int = setting(0, "Row-times-column profiles in our decoder", minimum=0, maximum=256)
    groups: int = setting(4, "Groups of the group norms in our decoder", minimum=1, maximum=64)
    colour: Literal["image", "flat"] = setting("image", "Our decoder draws an image, or one colour per slot")

    def __post_init__(self) -> None:
        """Raise InputError where the convolutions cannot be normed, or there are none."""
        if isinstance(self.channels, tuple) and not self.channels:
            raise InputError("channels", "must name at least one convolution.")
        if self.kind == "coarse" and self.width % self.groups:
            raise InputError("channels", f"must be divisible by groups = {self.groups}; found {self.width}.")

    @property
    def width(self) -> int:
        """Width of the convolutions, or of the first."""
        return self.channels if isinstance(self.channels, int) else self.channels[0]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each of the unpadded decoder's convolutions, which are four where one number stands for all."""
        return (self.channels,) * 4 if isinstance(self.channels, int) else self.channels

    @property
    def is_flat(self) -> bool:
        """Whether a slot has one colour, which is drawn in [0, 1] and needs no activation."""
        return self.kind == "coarse" and self.colour == "flat"

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError where frames of a size (H, W) cannot be drawn."""
        if self.kind == "deconv" and (size[0] % 16 or size[1] % 16):
            raise InputError("size", f"decoder 'deconv' needs sides divisible by 16; found {size[0]} x {size[1]}.")


class BroadcastDecoder(nn.Module):
    """Spatial broadcast decoder at full resolution (IODINE appendix C, decoder tables; provide.md 5).

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
        x = shuffled(self.output(x), self.shuffle)[..., : self.size[0], : self.size[1]]
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


class FlatCanvas(nn.Module):
    """Draws slots of one colour each: nothing but the mask tells places apart (ours, for sprites).

    A slot that holds two colours cannot be drawn, so that MONet's attention learns to part them within minutes.

    Args:
        inputs: Size of the vector it draws.
        colours: C of the frames.
        shape: Draws the mask logit, and no colour.
    """

    def __init__(self, inputs: int, colours: int, shape: nn.Module) -> None:
        super().__init__()
        self.colour, self.shape = nn.Linear(inputs, colours), shape

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Draw (N, Z): appearance in [0, 1] (N, C, H, W) and mask logit (N, 1, H, W)."""
        logit = self.shape(vector)[1]
        with torch.autocast(vector.device.type, enabled=False):
            colour = self.colour(vector).sigmoid()
        return colour[:, :, None, None].expand(-1, -1, *logit.shape[2:]), logit


def make_decoder(
    settings: DecoderSettings, inputs: int, colours: int, size: tuple[int, int], logit: bool = True
) -> nn.Module:
    """Return the decoder of a vector to appearance and mask logit.

    Args:
        settings: Which.
        inputs: Size of the vector it draws.
        colours: C of the frames.
        size: (H, W) it draws.
        logit: Whether it draws a mask logit; without, what it returns is to be joined: C channels in all.

    Raises:
        InputError: Slots of one colour are to be drawn without masks.
    """
    planes = colours if logit else colours - 1  # all but the unpadded one take the last plane for the logit
    if settings.kind == "broadcast":
        return BroadcastDecoder(inputs, settings.width, 4, planes, size, settings.kernel)
    if settings.kind == "unpadded":
        widths, activation = settings.widths, settings.activation
        return UnpaddedBroadcastDecoder(inputs, colours, size, widths=widths, activation=activation, logit=logit)
    if settings.kind == "deconv":
        return DeconvDecoder(inputs, settings.width, planes, size)
    if not settings.is_flat:
        shape = (settings.width, settings.groups, planes, size, settings.factor, settings.profiles)
        return CoarseToFineDecoder(inputs, *shape)
    if not logit:
        raise InputError("decoder.colour", "'flat' is for slots with masks.", "Use decoder.colour=image.")
    mask = CoarseToFineDecoder(inputs, settings.width, settings.groups, 0, size, settings.factor, settings.profiles)
    return FlatCanvas(inputs, colours, mask)


class SlotDecoder(nn.Module):
    """g: (z, optionally a recurrent state h) to means and mask logits (PROVIDE eq. 6; provide.md 5).

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


def make_slot_decoder(
    settings: DecoderSettings,
    latent: int,
    colours: int,
    size: tuple[int, int],
    *,
    condition: int = 0,
    sigmoid: bool = True,
    bf16: bool = False,
) -> SlotDecoder:
    """Return g with the decoder of the settings.

    Args:
        settings: Which.
        latent: M, size of z.
        colours: C of the frames.
        size: (H, W) it draws.
        condition: Size of h; 0 where z is seen alone.
        sigmoid: Whether means go through a sigmoid.
        bf16: Whether to draw in bfloat16.
    """
    canvas = make_decoder(settings, settings.width if condition else latent, colours, size)
    return SlotDecoder(canvas, latent, condition, settings.width, sigmoid and not settings.is_flat, bf16)
