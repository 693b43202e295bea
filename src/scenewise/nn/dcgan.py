"""Encoder and decoder of square images by 4x4 convolutions of stride 2, after DCGAN (ddpae.md 4, dvip.md 3)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from scenewise.nn.layers import WholeConv2d, WholeConvTranspose2d

DcganNorm = Literal["batch", "group"]
"""Batch norm; or group norm, for which a video is the same alone and in a batch (ours)."""

DcganOutput = Literal["sigmoid", "linear", "relu"]
"""Activations of a decoder's images."""

_GROUPS = 4
_BOTTOM = 4  # side of the map between images and vector
_SLOPE = 0.2  # of the leaky ReLU
_LEAST = 8  # sides of images: one convolution to 4 x 4 at least


def fits(side: int) -> bool:
    """Return whether images of a side can be encoded and decoded: a power of two from 8 on."""
    return side >= _LEAST and side & (side - 1) == 0


class DcganEncoder(nn.Sequential):
    """Halve the side and double the channels until it is 4, then one vector, linear.

    Args:
        side: S of the images, see `fits`.
        channels: C of the images.
        width: Channels after the first convolution, divisible by 4 for group norm.
        out: Size of the vector.
        norm: A `DcganNorm`.
        norm_first: Whether a norm follows the first convolution too.
        bias: Whether convolutions have one.
    """

    def __init__(
        self,
        side: int,
        channels: int,
        width: int,
        out: int,
        norm: str = "batch",
        norm_first: bool = False,
        bias: bool = False,
    ) -> None:
        first = [_norm(norm, width)] if norm_first else []
        layers: list[nn.Module] = [_down(channels, width, bias), *first, nn.LeakyReLU(_SLOPE)]
        for _ in range(_doublings(side)):
            layers += [_down(width, 2 * width, bias), _norm(norm, 2 * width), nn.LeakyReLU(_SLOPE)]
            width *= 2
        super().__init__(*layers, WholeConv2d(width, out, (_BOTTOM, _BOTTOM), bias=bias))

    def forward(self, images: Tensor) -> Tensor:
        """Take (N, C, S, S); return (N, out)."""
        code: Tensor = super().forward(images)
        return code.flatten(1)


class DcganDecoder(nn.Sequential):
    """The way back: 4 x 4 pixels from a vector, then twice the side and half the channels each time.

    Args:
        inputs: Size of the vector.
        width: Channels before the last convolution, divisible by 4 for group norm.
        channels: C of the images.
        side: S of the images, see `fits`.
        norm: A `DcganNorm`; none follows the last convolution.
        bias: Whether convolutions have one.
        output: Activation of the images, a `DcganOutput`.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        channels: int,
        side: int,
        norm: str = "batch",
        bias: bool = False,
        output: str = "sigmoid",
    ) -> None:
        wide = width << _doublings(side)
        layers: list[nn.Module] = [
            WholeConvTranspose2d(inputs, wide, (_BOTTOM, _BOTTOM), bias=bias),
            _norm(norm, wide),
            nn.ReLU(),
        ]
        while wide > width:
            layers += [_up(wide, wide // 2, bias), _norm(norm, wide // 2), nn.ReLU()]
            wide //= 2
        activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "linear": nn.Identity}[output]
        super().__init__(*layers, _up(width, channels, bias), activation())

    def forward(self, vectors: Tensor) -> Tensor:
        """Take (N, inputs); return (N, C, S, S)."""
        images: Tensor = super().forward(vectors[:, :, None, None])
        return images


def _doublings(side: int) -> int:
    """Return how often channels double between the first convolution and 4 x 4 pixels."""
    return side.bit_length() - _LEAST.bit_length()


def _norm(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(_GROUPS, channels)


def _down(inputs: int, out: int, bias: bool) -> nn.Module:
    return nn.Conv2d(inputs, out, 4, stride=2, padding=1, bias=bias)


def _up(inputs: int, out: int, bias: bool) -> nn.Module:
    return nn.ConvTranspose2d(inputs, out, 4, stride=2, padding=1, bias=bias)
