"""Encoders of a slot's image-shaped refinement inputs to one code."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from scenewise.nn.layers import SlotConv2d


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


def make_encoder(
    kind: str, shared: int, per_slot: int, channels: int, code: int, size: tuple[int, int], *, groups: int = 4
) -> nn.Module:
    """Return the encoder called `kind`: "flat" (PROVIDE), "gap" (IODINE) or "strided" (ours)."""
    if kind == "flat":
        return FlatEncoder(shared, per_slot, channels, code, size)
    if kind == "gap":
        return PooledEncoder(shared, per_slot, channels, code)
    return StridedEncoder(shared, per_slot, channels, groups, code, size)
