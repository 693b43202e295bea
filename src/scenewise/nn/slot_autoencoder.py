"""MONet's autoencoder of one masked slot, which GENESIS shares (monet_genesis.md 1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import SlotConv2d, arranged, coordinates, pooled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Activation = Literal["relu", "elu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu_, "elu": functional.elu_}
"""In place: only one of the two images is kept for the backward pass."""


@dataclass(frozen=True)
class SlotEncoderSettings:
    """Which encoder sees an image under one slot's mask, and how large it is."""

    kind: Literal["strided", "means"] = setting("strided", "MONet's, or ours: means under the mask")
    channels: tuple[int, ...] = setting((32, 32, 64, 64), "Widths of the convolutions", minimum=1, maximum=1024)
    hidden: int = setting(256, "Width of the hidden layer", minimum=1, maximum=4096)
    activation: Activation = setting("relu", "Of the strided one; the other has ELU")
    padding: Literal[0, 1] = setting(1, "Zeros around the images of the strided one")
    pooling: int = setting(1, "Image and mask are pooled by this factor first (ours)", minimum=1, maximum=8)
    groups: int = setting(0, "Groups of group norms (ours); 0 for none", minimum=0, maximum=64)

    def __post_init__(self) -> None:
        """Raise InputError where the convolutions cannot be normed, or there are none."""
        if not self.channels or any(width % max(1, self.groups) for width in self.channels):
            problem = f"needs numbers divisible by groups = {self.groups}; found {list(self.channels)}."
            raise InputError("channels", problem)


class SlotEncoder(nn.Module):
    """3x3 convolutions of stride 2 over image and log mask, a hidden layer, a linear layer.

    The image is the same for all slots; its part of the first convolution is computed once.

    Args:
        shared: Channels of the image.
        per_slot: Channels per slot: 1 for the log mask.
        outputs: Size of the output.
        size: (H, W) of the input.
        widths: Channels of the convolutions.
        hidden: Width of the hidden layer.
        activation: "relu" or "elu".
        padding: Of the convolutions, 0 or 1.
        groups: Groups of group norms after the convolutions; 0 for none (ours: with them it learns sooner).
    """

    def __init__(
        self,
        shared: int,
        per_slot: int,
        outputs: int,
        size: tuple[int, int],
        *,
        widths: Sequence[int] = (32, 32, 64, 64),
        hidden: int = 256,
        activation: str = "relu",
        padding: int = 1,
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.first = SlotConv2d(shared, per_slot, widths[0], stride=2, padding=padding)
        self.rest = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=padding) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) if groups else nn.Identity() for width in widths)
        height, width = size
        for _ in widths:
            height, width = ((side + 2 * padding - 3) // 2 + 1 for side in (height, width))
        self.hidden = nn.Linear(widths[-1] * height * width, hidden)
        self.output = nn.Linear(hidden, outputs)
        self.activation = activation

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B * K, outputs)."""
        activate = ACTIVATIONS[self.activation]
        first, *norms = self.norms
        x = activate(first(self.first(shared, per_slot).flatten(0, 1)))
        for layer, norm in zip(self.rest, norms, strict=True):
            x = activate(norm(layer(x)))
        x = activate(self.hidden(x.flatten(1)))
        with torch.autocast(x.device.type, enabled=False):  # a posterior's mean needs more digits than bfloat16 has
            return self.output(x.to(self.output.weight.dtype))  # type: ignore[no-any-return]


class MaskedMeansEncoder(nn.Module):
    """Means of an image's features under every slot's mask, and an MLP (ours, after GENESIS-V2's slot features).

    Colours and coordinates are among the features: where a slot is and what colour it has need not be learned. The
    convolutions see the image once, not once per slot.

    Args:
        shared: Channels of the image.
        outputs: Size of the output.
        size: (H, W) of the input, each divisible by 2.
        widths: Channels of the convolutions, all at half the size.
        hidden: Width of the hidden layer.
        groups: Groups of the group norms; 0 for none.
    """

    def __init__(
        self,
        shared: int,
        outputs: int,
        size: tuple[int, int],
        *,
        widths: Sequence[int] = (16, 32),
        hidden: int = 128,
        groups: int = 4,
    ) -> None:
        super().__init__()
        strides = [2] + [1] * (len(widths) - 1)
        layers = zip(pairwise([shared, *widths]), strides, strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, stride=stride, padding=1) for (a, b), stride in layers)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, width) if groups else nn.Identity() for width in widths)
        place = coordinates(size[0] // 2, size[1] // 2)
        self.place: Tensor
        self.register_buffer("place", torch.cat([place, place.square(), place[:1] * place[1:]]), persistent=False)
        self.hidden = nn.Linear(widths[-1] + shared + len(self.place) + 1, hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take the image (B, S, H, W) and log masks (B, K, 1, H, W); return (B * K, outputs)."""
        x = shared
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.elu_(norm(layer(x)))
        with torch.autocast(x.device.type, enabled=False):
            places = self.place.expand(len(x), -1, -1, -1)
            features = torch.cat([x.to(shared.dtype), pooled(shared, 2), places], 1).flatten(2)
            masks = pooled(per_slot.exp(), 2).flatten(2)  # (B, K, H/2 * W/2)
            area = masks.sum(2, keepdim=True)
            means = torch.cat([(masks / area) @ features.transpose(1, 2), area.log()], 2).flatten(0, 1)
            return self.output(functional.elu_(self.hidden(means)))  # type: ignore[no-any-return]


class UnpaddedBroadcastDecoder(nn.Module):
    """Spatial broadcast decoder on a canvas so large that four 3x3 convolutions without padding leave the frame.

    The first convolution sees the same vector everywhere: it is a linear map of the vector plus a fixed image, the
    response to the coordinates. So it is computed, exactly, at a thousandth of the cost.

    Args:
        inputs: Size of the vector it draws.
        colours: C of the frames.
        size: (H, W) it draws.
        widths: Channels of the convolutions, as many as there are.
        activation: "relu" or "elu".
        logit: Whether to draw a mask logit too.
    """

    def __init__(
        self,
        inputs: int,
        colours: int,
        size: tuple[int, int],
        *,
        widths: Sequence[int] = (32, 32, 32, 32),
        activation: str = "relu",
        logit: bool = True,
    ) -> None:
        super().__init__()
        self.inputs, self.colours, self.activation = inputs, colours, activation
        self.first = nn.Conv2d(inputs + 2, widths[0], 3)
        self.rest = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in pairwise(widths))
        self.output = nn.Conv2d(widths[-1], colours + logit, 1)
        self.grid: Tensor
        border = 2 * len(widths)
        self.register_buffer("grid", coordinates(size[0] + border, size[1] + border), persistent=False)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Draw (N, Z): appearance before its activation (N, C, H, W) and mask logit (N, 1 or 0, H, W)."""
        activate = ACTIVATIONS[self.activation]
        by_vector, by_place = self.first.weight.split([self.inputs, 2], 1)
        place = functional.conv2d(self.grid.unsqueeze(0), by_place, self.first.bias)
        x = functional.linear(vector, by_vector.sum((2, 3)))[:, :, None, None]
        x = activate(arranged(x + place))
        for layer in self.rest:
            x = activate(layer(x))
        x = self.output(x)
        return x[:, : self.colours], x[:, self.colours :]


def make_slot_encoder(settings: SlotEncoderSettings, shared: int, outputs: int, size: tuple[int, int]) -> nn.Module:
    """Return the encoder of an image and log masks, both pooled, to `outputs` numbers per slot.

    Args:
        settings: Which.
        shared: Channels of the image.
        outputs: Size of the output.
        size: (H, W) of the image before it is pooled.
    """
    size = (size[0] // settings.pooling, size[1] // settings.pooling)
    widths, hidden, groups = settings.channels, settings.hidden, settings.groups
    if settings.kind == "means":
        return MaskedMeansEncoder(shared, outputs, size, widths=widths, hidden=hidden, groups=groups)
    more: dict[str, Any] = {"activation": settings.activation, "padding": settings.padding, "groups": groups}
    return SlotEncoder(shared, 1, outputs, size, widths=widths, hidden=hidden, **more)
