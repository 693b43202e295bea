"""The refinement network, from what a step found to an update of the posterior: encoders of image inputs, LSTM cells.

An encoder gives one code per slot. A cell has one predecessor, the last refinement, or two, the last frame besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import SlotConv2d
from scenewise.nn.slot_autoencoder import SlotEncoder

Pair = tuple[Tensor, Tensor]
EncoderKind = Literal["flat", "gap", "strided", "unpadded"]

_LEAST_UNPADDED = 31  # four unpadded convolutions of stride 2 leave one pixel of it


@dataclass(frozen=True)
class EncoderSettings:
    """Which encoder sees a slot's image inputs, and how large it is. What a kind has no use for is left alone by it."""

    kind: EncoderKind = setting("gap", "PROVIDE's, IODINE's pooled, ours strided, or MulMON's")
    channels: int = setting(64, "Width; the unpadded one's: 1, 1, 2, 2 times", minimum=1, maximum=1024)
    code: int = setting(256, "Size of the code it gives", minimum=1, maximum=4096)
    pooling: int = setting(1, "Image inputs are pooled by this factor first (ours)", minimum=1, maximum=8)
    groups: int = setting(4, "Groups of the group norms in the strided one", minimum=1, maximum=64)
    layers: int = setting(4, "Convolutions of the pooled one", minimum=1, maximum=16)
    kernel: Literal[3, 5] = setting(3, "Side of their kernels")
    stride: Literal[1, 2] = setting(2, "Their stride (IODINE's paper: 1 on sprites and Tetris)")
    code_layers: int = setting(1, "Linear layers from pool to code (IODINE's code: 2)", minimum=1, maximum=4)
    code_linear: bool = setting(False, "No ELU after the last of them (IODINE's code)")

    def __post_init__(self) -> None:
        """Raise InputError where the convolutions cannot be normed."""
        if self.kind == "strided" and self.channels % self.groups:
            raise InputError("channels", f"must be divisible by groups = {self.groups}; found {self.channels}.")

    def pooled_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (H, W) of what it sees of frames of a size."""
        return (size[0] // self.pooling, size[1] // self.pooling)

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError where it cannot see frames of a size (H, W)."""
        if self.kind == "unpadded" and min(self.pooled_size(size)) < _LEAST_UNPADDED:
            problem = f"encoder 'unpadded' needs sides of {_LEAST_UNPADDED} or more after pooling; found {size}."
            raise InputError("size", problem, "Use another encoder, such as encoder.kind=strided.")


class FlatEncoder(nn.Module):
    """Four 3x3 convolutions, average pool 4, flatten, linear (PROVIDE; provide.md 4). Tied to one frame size.

    Args:
        shared: Input channels that are the same for all slots.
        per_slot: Input channels per slot.
        channels: Width.
        code: Size of the output.
        size: (H, W) of the input.
    """

    def __init__(self, shared: int, per_slot: int, channels: int, code: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.first = SlotConv2d(shared, per_slot, channels)
        self.rest = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.linear = nn.Linear(channels * (size[0] // 4) * (size[1] // 4), code)

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B * K, code)."""
        x = functional.elu_(self.first(shared, per_slot)).flatten(0, 1)
        for layer in self.rest:
            x = functional.elu_(layer(x))
        return functional.elu(self.linear(functional.avg_pool2d(x, 4).flatten(1)))


class PooledEncoder(nn.Module):
    """Convolutions, global average pool, MLP (IODINE; iodine.md 6). Any frame size.

    Args:
        shared: Input channels that are the same for all slots.
        per_slot: Input channels per slot.
        channels: Width.
        code: Size of the output.
        layers: Number of convolutions.
        kernel: Side of their kernels.
        stride: Their stride.
        mlp: Widths of hidden layers between pool and output.
        last_linear: Leave the ELU after the output out.
    """

    def __init__(
        self,
        shared: int,
        per_slot: int,
        channels: int,
        code: int,
        *,
        layers: int = 4,
        kernel: int = 3,
        stride: int = 2,
        mlp: tuple[int, ...] = (),
        last_linear: bool = False,
    ) -> None:
        super().__init__()
        self.first = SlotConv2d(shared, per_slot, channels, kernel, stride)
        self.rest = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel, stride=stride, padding=kernel // 2) for _ in range(layers - 1)
        )
        self.mlp = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([channels, *mlp, code]))
        self.last_linear = last_linear

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B * K, code)."""
        x = functional.elu_(self.first(shared, per_slot)).flatten(0, 1)
        for layer in self.rest:
            x = functional.elu_(layer(x))
        x = x.mean((2, 3))
        *hidden, last = self.mlp
        for linear in hidden:
            x = functional.elu(linear(x))
        return last(x) if self.last_linear else functional.elu(last(x))


class StridedEncoder(nn.Module):
    """Three stride-2 3x3 convolutions with group norm, flatten, linear (ours; the preset `fast` uses it).

    Args:
        shared: Input channels that are the same for all slots.
        per_slot: Input channels per slot.
        channels: Width.
        groups: Groups of the group norms.
        code: Size of the output.
        size: (H, W) of the input.
    """

    def __init__(
        self, shared: int, per_slot: int, channels: int, groups: int, code: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.first = SlotConv2d(shared, per_slot, channels, stride=2)
        self.rest = nn.ModuleList(nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(3))
        rows, columns = (-(-side // 8) for side in size)
        self.linear = nn.Linear(channels * rows * columns, code)

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B * K, code)."""
        x = functional.elu_(self.norms[0](self.first(shared, per_slot).flatten(0, 1)))
        for layer, norm in zip(self.rest, list(self.norms)[1:], strict=True):
            x = functional.elu_(norm(layer(x)))
        return functional.elu(self.linear(x.flatten(1)))


def make_encoder(settings: EncoderSettings, shared: int, per_slot: int, size: tuple[int, int]) -> nn.Module:
    """Return the encoder of image inputs, pooled, to codes.

    Args:
        settings: Which.
        shared: Input channels that are the same for all slots.
        per_slot: Input channels per slot.
        size: (H, W) of the image inputs before they are pooled.
    """
    size, width, code = settings.pooled_size(size), settings.channels, settings.code
    if settings.kind == "flat":
        return FlatEncoder(shared, per_slot, width, code, size)
    if settings.kind == "strided":
        return StridedEncoder(shared, per_slot, width, settings.groups, code, size)
    if settings.kind == "unpadded":
        return SlotEncoder(shared, per_slot, code, size, widths=(width, width, 2 * width, 2 * width), padding=0)
    return PooledEncoder(
        shared,
        per_slot,
        width,
        code,
        layers=settings.layers,
        kernel=settings.kernel,
        stride=settings.stride,
        mlp=(code,) * (settings.code_layers - 1),
        last_linear=settings.code_linear,
    )


class Refiner(nn.Module):
    """Image inputs and (lambda, gradient by lambda) to an additive update of lambda, through an LSTM if there is one.

    Args:
        encoder: Takes shared and per-slot images, returns one code per slot.
        cell: Takes code and vectors, and the states of the last frame and of the last refinement; may be None.
        hidden: Size of the cell's states; without a cell, of code and vectors together.
        outputs: Size of lambda.
        bf16: Whether to encode in bfloat16.
    """

    def __init__(
        self, encoder: nn.Module, cell: nn.Module | None, hidden: int, outputs: int, bf16: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.cell, self.bf16 = encoder, cell, bf16
        self.update = nn.Linear(hidden, outputs)

    def forward(self, images: Pair, vectors: Tensor, time: Pair, refinement: Pair) -> tuple[Tensor, Pair]:
        """Return the update (B, K, outputs) and the new state, each (B, K, hidden)."""
        with torch.autocast(vectors.device.type, torch.bfloat16, enabled=self.bf16):
            code = self.encoder(*images)
        u = torch.cat([code.float().unflatten(0, vectors.shape[:2]), vectors], -1)
        if self.cell is None:
            return self.update(u), refinement
        state = self.cell(u, time, refinement)
        return self.update(state[0]), state


class LambdaLSTM2d(nn.Module):
    """The gated 2D cell: c = f (l c_T + (1 - l) c_R) + i c~, h = o tanh(c) (arXiv 1810.03975; provide.md 3).

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.by_input = nn.Linear(inputs, 5 * hidden)
        self.by_time = nn.Linear(hidden, 5 * hidden)
        self.by_refinement = nn.Linear(hidden, 5 * hidden)

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and two states (h, c) of (N, hidden); return the new (h, c)."""
        a = self.by_input(u) + self.by_time(time[0]) + self.by_refinement(refinement[0])
        i, f, o, gate, candidate = a.chunk(5, -1)
        gate = gate.sigmoid()
        c = f.sigmoid() * (gate * time[1] + (1 - gate) * refinement[1]) + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class GravesLSTM2d(LambdaLSTM2d):
    """The multi-dimensional LSTM with one forget gate per axis: c = f_T c_T + f_R c_R + i c~ (Graves et al. 2007).

    Without peepholes from cells to gates, of which PROVIDE's text says nothing.
    """

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and two states (h, c) of (N, hidden); return the new (h, c)."""
        a = self.by_input(u) + self.by_time(time[0]) + self.by_refinement(refinement[0])
        i, f_refinement, o, f_time, candidate = a.chunk(5, -1)
        memory = f_time.sigmoid() * time[1] + f_refinement.sigmoid() * refinement[1]
        c = memory + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class RefinementLSTM(nn.Module):
    """The plain LSTM along refinements (IODINE); the forget gate starts at 1, as in its public code.

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.by_input = nn.Linear(inputs, 4 * hidden)
        self.by_refinement = nn.Linear(hidden, 4 * hidden, bias=False)
        with torch.no_grad():
            self.by_input.bias[hidden : 2 * hidden] = 1.0

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and the last refinement's (h, c), each (N, hidden); `time` is not looked at."""
        i, f, o, candidate = (self.by_input(u) + self.by_refinement(refinement[0])).chunk(4, -1)
        c = f.sigmoid() * refinement[1] + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class ViewLSTM(RefinementLSTM):
    """The LSTM along refinements that sees the viewpoint, and its products with all other inputs (ours).

    What an image shows of places is turned with its camera, which is linear in these products.

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
        viewpoint: D.
    """

    def __init__(self, inputs: int, hidden: int, viewpoint: int) -> None:
        super().__init__(inputs * (1 + viewpoint) + viewpoint, hidden)

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs), the viewpoint (N, D) in place of `time`, and the last (h, c); return the new (h, c)."""
        viewpoint = time[0]
        products = (u.unsqueeze(-1) * viewpoint.unsqueeze(-2)).flatten(-2)
        return super().forward(torch.cat([u, viewpoint, products], -1), time, refinement)
