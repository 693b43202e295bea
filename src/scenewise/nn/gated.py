"""Gated convolutional encoder and decoder of GENESIS's masks and of its baseline VAEs (monet_genesis.md 2.2, 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import WholeConv2d, WholeConvTranspose2d, arranged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LAYERS = 5
"""Layers of the encoder before the one that leaves a single pixel."""

_KERNEL = 5


@dataclass(frozen=True)
class GatedSettings:
    """Gated layers; defaults are GENESIS's at 64 x 64."""

    channels: int = setting(32, "c, width of the outer layers", minimum=1, maximum=1024)
    strides: tuple[int, ...] = setting(
        (1, 2, 1, 2, 1), "Strides of the layers (128x128: 2, 2, 2, 1, 1)", minimum=1, maximum=4
    )
    norm: Literal["batch", "group"] = setting("batch", "Norm of the layers; group is ours and needs no batch")

    def __post_init__(self) -> None:
        """Raise InputError where the layers cannot be made."""
        if len(self.strides) != LAYERS:
            raise InputError("strides", f"needs {LAYERS} numbers; found {list(self.strides)}.")
        self._check_width("channels", self.channels)

    def check(self, size: tuple[int, int], outputs: Mapping[str, int]) -> None:
        """Raise InputError where they cannot see or draw frames of a size (H, W).

        Args:
            size: Of the frames.
            outputs: Sizes of their outputs, by the setting that each comes from.
        """
        factor = math.prod(self.strides)
        if size[0] % factor or size[1] % factor:
            problem = f"must be divisible by the product of gated.strides, {factor}; found {size[0]} x {size[1]}."
            raise InputError("size", problem)
        for name, width in outputs.items():
            self._check_width(name, width)

    def _check_width(self, name: str, width: int) -> None:
        if self.norm == "group" and width % 4:
            raise InputError(name, f"must be divisible by 4 for group norms; found {width}.")


class Gated(nn.Module):
    """A convolution to 2n channels, a norm, then the first half times the sigmoid of the second.

    Args:
        convolution: The convolution, with 2n output channels.
        norm: "batch" or "group"; group norms have 8 groups, 4 in each half.
    """

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, norm: str) -> None:
        super().__init__()
        self.convolution = convolution
        channels = convolution.out_channels
        self.norm: nn.Module = nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, n, H', W')."""
        images = self.convolution(x)
        norm: Any = self.norm
        fixed = type(norm) is nn.BatchNorm2d and not norm.training
        if fixed and not torch.is_grad_enabled():
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            shift = norm.bias - norm.running_mean * scale
            images.mul_(scale[:, None, None]).add_(shift[:, None, None])  # in place: no image is larger
        else:
            images = norm(images)
        return functional.glu(images, 1)


class GatedEncoder(nn.Module):
    """Five gated 5x5 convolutions and one as large as the map they leave.

    Args:
        inputs: Channels of the images.
        channels: c: the layers have c, c, 2c, 2c, 2c channels.
        outputs: Size of the output.
        size: (H, W) of the images, divisible by the product of the strides.
        strides: Of the five layers.
        norm: "batch" or "group".
    """

    def __init__(
        self, inputs: int, channels: int, outputs: int, size: tuple[int, int], strides: Sequence[int], norm: str
    ) -> None:
        super().__init__()
        widths = [inputs, channels, channels, *[2 * channels] * 3]
        layers = [
            nn.Conv2d(a, 2 * b, _KERNEL, stride, _KERNEL // 2)
            for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        ]
        last = WholeConv2d(widths[-1], 2 * outputs, bottom_of(size, strides))
        self.layers = nn.Sequential(*(Gated(layer, norm) for layer in [*layers, last]))

    def forward(self, images: Tensor) -> Tensor:
        """Take (N, C, H, W); return (N, outputs)."""
        return self.layers(arranged(images)).flatten(1)  # type: ignore[no-any-return]


class GatedDecoder(nn.Module):
    """The encoder's mirror: transposed gated convolutions, then a 1x1 convolution.

    Args:
        inputs: Size of the vector it draws.
        channels: c: the layers have 2c, 2c, c, c, c, c channels.
        outputs: Channels of the image.
        size: (H, W) it draws.
        strides: Of the encoder's five layers; here they come in reverse.
        norm: "batch" or "group".
    """

    def __init__(
        self, inputs: int, channels: int, outputs: int, size: tuple[int, int], strides: Sequence[int], norm: str
    ) -> None:
        super().__init__()
        widths = [*[2 * channels] * 2, *[channels] * 4]
        first = WholeConvTranspose2d(inputs, 2 * widths[0], bottom_of(size, strides))
        layers = [
            nn.ConvTranspose2d(a, 2 * b, _KERNEL, stride, _KERNEL // 2, stride - 1)
            for (a, b), stride in zip(pairwise(widths), reversed(strides), strict=True)
        ]
        self.layers = nn.Sequential(*(Gated(layer, norm) for layer in [first, *layers]))
        self.output = nn.Conv2d(channels, outputs, 1)

    def forward(self, vector: Tensor) -> Tensor:
        """Take (N, inputs); return (N, outputs, H, W)."""
        maps = self.layers[0](vector[:, :, None, None])
        if not torch.is_grad_enabled():  # channels-last, transposed convolutions take half of the time and memory, but
            maps = arranged(maps)  # their backward passes more
        return self.output(self.layers[1:](maps))  # type: ignore[no-any-return]


def bottom_of(size: tuple[int, int], strides: Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of the map that strided layers leave."""
    factor = math.prod(strides)
    return size[0] // factor, size[1] // factor


def check_batch(module: nn.Module, images: Tensor, norm: str) -> None:
    """Raise InputError where batch norms are to be trained on a single image (monet_genesis.md 2.6)."""
    if norm == "batch" and module.training and len(images) < 2:
        problem = "a batch norm cannot be trained on one frame at a time; found a batch of 1."
        remedy = "Use a larger batch or less accumulation, set gated.norm=group, or put the model in evaluation mode."
        raise InputError("training.batch", problem, remedy)
