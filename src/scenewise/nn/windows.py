"""Slots that see and draw in windows of their own, over a background picture; no parameter knows size or number.

A window is (x, y, log half width, log half height) in units where the frame is [-1, 1] along both sides, ends being the
outer edges of its first and last pixel for half sides, and the centres of these pixels for places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import arranged

NUMBERS = 4  # of a window
_STEP = 0.25  # window units per unit of latent
_FARTHEST = 1.3  # a centre
_SMALLEST, _LARGEST = -3.2, 0.1  # log half sides
_MARGIN = 1.15  # a patch reaches beyond its window by this factor
_FALL, _DEEPEST = 2.0, 25.0  # mask logit at a window's edge, and the lowest
_OFF = -37.0  # mask logit of a slot that is off


@dataclass(frozen=True)
class WindowDecoderSettings:
    """Settings of what slots draw in their windows, and of the light of slot 0."""

    kind: Literal["window"] = setting("window", "Patches in windows over a picture")
    channels: int = setting(32, "Width of the decoder", minimum=1, maximum=1024)
    groups: int = setting(4, "Groups of its group norms", minimum=1, maximum=64)
    patch: int = setting(12, "Side of the image a slot draws, pixels; divisible by 4", minimum=4, maximum=128)
    light_fields: int = setting(6, "Latent fields of light of slot 0", minimum=1, maximum=64)

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        _check_divisible("decoder", ("patch", self.patch, 4), ("channels", self.channels, self.groups))


@dataclass(frozen=True)
class CropEncoderSettings:
    """Settings of what the refinement network sees through the windows."""

    kind: Literal["crop"] = setting("crop", "Crops at the windows")
    channels: int = setting(32, "Width of the encoder", minimum=1, maximum=1024)
    code: int = setting(128, "Size of a slot's code", minimum=1, maximum=2048)
    groups: int = setting(4, "Groups of its group norms", minimum=1, maximum=64)
    side: int = setting(16, "Side of a crop, pixels; divisible by 4", minimum=4, maximum=128)
    context: float = setting(1.5, "Side of a crop over side of its window", minimum=1, maximum=4)

    def __post_init__(self) -> None:
        """Raise InputError for settings that cannot work together."""
        _check_divisible("encoder", ("side", self.side, 4), ("channels", self.channels, self.groups))

    @property
    def pooling(self) -> int:
        """1: crops are not pooled first."""
        return 1


def _check_divisible(part: str, *values: tuple[str, int, int]) -> None:
    for name, value, divisor in values:
        if value % divisor:
            raise InputError(f"{part}.{name}", f"must be divisible by {divisor}; found {value}.")


@dataclass(frozen=True)
class WindowScene:
    """What slots of B frames draw into.

    Attributes:
        picture: The background, shape (B, C, H, W).
        windows: Where the windows were left, shape (B, K, 4); that of slot 0 is not looked at.
        on: 1 for slots that draw, else 0, shape (B, K); slot 0 always does.
    """

    picture: Tensor
    windows: Tensor
    on: Tensor

    def windows_at(self, latent: Tensor) -> Tensor:
        """Return the windows of latents (B, K, M), whose first four numbers move them; slot 0 has the whole frame."""
        raw = self.windows + _STEP * latent[..., :NUMBERS]
        windows = torch.cat([raw[..., :2].clamp(-_FARTHEST, _FARTHEST), raw[..., 2:].clamp(_SMALLEST, _LARGEST)], -1)
        return torch.cat([torch.zeros_like(windows[:, :1]), windows[:, 1:]], 1)


def interpolation(centre: Tensor, half: Tensor, outer: int, inner: int) -> Tensor:
    """Return bilinear weights of `inner` samples of a window at each of `outer` pixels of a side.

    Args:
        centre: Of the window, shape (N,).
        half: Its half side, shape (N,).
        outer: Pixels of the frame's side.
        inner: Samples along the window.

    Returns:
        Shape (N, outer, inner); 0 outside of the window.
    """
    place = (_inside(centre, half, outer) + 1) * ((inner - 1) / 2)
    return (1 - (place.unsqueeze(2) - torch.arange(inner, device=centre.device)).abs()).clamp_min(0)


def _inside(centre: Tensor, half: Tensor, outer: int) -> Tensor:
    """Return where the pixels of a side lie in windows, which are [-1, 1], shape (N, outer)."""
    return (torch.linspace(-1, 1, outer, device=centre.device) - centre.unsqueeze(1)) / half.unsqueeze(1)


class PatchCanvas(nn.Module):
    """Draws a small image from a vector.

    Args:
        inputs: Size of the vector.
        channels: Width of the hidden layers.
        colours: C.
        side: Of the image, divisible by 4.
        groups: Groups of the group norms.
    """

    def __init__(self, inputs: int, channels: int, colours: int, side: int, groups: int) -> None:
        super().__init__()
        self.start = nn.Linear(inputs, channels * (side // 4) ** 2)
        self.hidden = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(3))
        self.output = nn.Conv2d(channels, colours + 1, 3, padding=1)
        self.first = (channels, side // 4, side // 4)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Take (N, inputs); return means in [0, 1] (N, C, side, side) and mask logits (N, 1, side, side)."""
        x = functional.elu(self.norms[0](arranged(self.start(vector).unflatten(1, self.first))))
        for layer, norm in zip(self.hidden, list(self.norms)[1:], strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.elu(norm(layer(x)))
        x = self.output(x)
        return x[:, :-1].sigmoid(), x[:, -1:]


class WindowDecoder(nn.Module):
    """Slot 0 draws the background picture and its light, every other slot a patch in its window.

    Args:
        latent: M, at least 4 and `rank`.
        condition: Size of h.
        channels: Width of the conditioning MLP.
        canvas: Draws a patch.
        colours: C.
        rank: Number of light fields: z_0 weighs them.
    """

    def __init__(
        self, latent: int, condition: int, channels: int, canvas: PatchCanvas, colours: int, rank: int
    ) -> None:
        super().__init__()
        self.condition = nn.Sequential(
            nn.Linear(latent + condition, channels), nn.ELU(), nn.Linear(channels, channels), nn.ELU()
        )
        self.canvas = canvas
        self.light = nn.Parameter(0.02 * torch.randn(rank, colours, 3, 5))

    def forward(self, latent: Tensor, h: Tensor, scene: WindowScene) -> tuple[Tensor, Tensor]:
        """Take (B, K, M), (B, K, condition) and a scene; return means (B, K, C, H, W) and logits (B, K, 1, H, W)."""
        background = (scene.picture + self._light(latent[:, 0], scene.picture)).unsqueeze(1)
        level = 0 * background[:, :, :1]  # with a graph, as refinement wants of both
        if latent.shape[1] == 1:
            return background, level
        on = scene.on[:, 1:].reshape(-1).nonzero().squeeze(1)  # slots that are off cost nothing
        vector = torch.cat([latent[:, 1:], h[:, 1:]], -1).flatten(0, 1)[on]
        drawn = self._patches(vector, scene.windows_at(latent)[:, 1:].flatten(0, 1)[on], scene.picture.shape[-2:])
        slots = (latent.shape[0], latent.shape[1] - 1)
        means, logits = (_spread(part, on, slots, rest) for part, rest in zip(drawn, (0.0, _OFF), strict=True))
        return torch.cat([background, means], 1), torch.cat([level, logits], 1)

    def _light(self, latent: Tensor, picture: Tensor) -> Tensor:
        fields = torch.einsum("br,rchw->bchw", latent[:, : len(self.light)], self.light)
        return functional.interpolate(fields, size=picture.shape[-2:], mode="bilinear", align_corners=True)

    def _patches(self, vector: Tensor, windows: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Draw N patches in their windows: means (N, C, H, W), 0 outside, and logits (N, 1, H, W) that fall off."""
        means, logits = self.canvas(self.condition(vector))
        x, y, wide, high = windows.unbind(-1)
        wide, high = wide.exp(), high.exp()
        side = means.shape[-1]
        rows = interpolation(y, _MARGIN * high, size[0], side).unsqueeze(1)  # (N, 1, H, side)
        columns = interpolation(x, _MARGIN * wide, size[1], side).unsqueeze(1)
        drawn = rows @ torch.cat([means, logits], 1) @ columns.mT
        across, down = _inside(x, wide, size[1]) ** 4, _inside(y, high, size[0]) ** 4
        fall = (_FALL * (across[:, None, None, :] + down[:, None, :, None])).clamp(max=_DEEPEST)
        return drawn[:, :-1], drawn[:, -1:] - fall


def _spread(values: Tensor, on: Tensor, slots: tuple[int, int], rest: float) -> Tensor:
    """Return values (N, ...) of slots that are on among all slots (B, K, ...); those that are off have `rest`."""
    whole = values.new_full((slots[0] * slots[1], *values.shape[1:]), rest)
    return whole.index_copy(0, on, values).unflatten(0, slots)


class CropEncoder(nn.Module):
    """Refinement inputs of a slot as seen through its own window and some way about it; slot 0 sees the whole frame.

    Args:
        shared: Input channels that are the same for all slots.
        per_slot: Input channels per slot.
        channels: Width.
        code: Size of the output.
        groups: Groups of the group norms.
        side: Of the crops, divisible by 4.
        context: Side of a crop over side of its window.
    """

    def __init__(
        self, shared: int, per_slot: int, channels: int, code: int, groups: int, side: int, context: float
    ) -> None:
        super().__init__()
        self.side, self.context = side, context
        widths = (shared + per_slot, channels)
        self.layers = nn.ModuleList(nn.Conv2d(width, channels, 3, stride=2, padding=1) for width in widths)
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in widths)
        self.linear = nn.Linear(channels * (side // 4) ** 2, code)

    def forward(self, shared: Tensor, per_slot: Tensor, windows: Tensor, on: Tensor) -> Tensor:
        """Encode what slots see.

        Args:
            shared: Shape (B, S, H, W).
            per_slot: Shape (B, K, P, H, W).
            windows: Shape (B, K, 4).
            on: 1 for slots that see, shape (B, K); the codes of all others are 0.

        Returns:
            Shape (B * K, code).
        """
        seen = on.flatten().nonzero().squeeze(1)
        x = arranged(self.crops(shared, per_slot, windows, seen))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.elu(norm(layer(x)))
        code = functional.elu(self.linear(x.flatten(1)))
        return code.new_zeros(on.numel(), code.shape[1]).index_copy(0, seen, code)

    def crops(self, shared: Tensor, per_slot: Tensor, windows: Tensor, seen: Tensor) -> Tensor:
        """Return (N, S + P, side, side) of the slots `seen`, N of them, counted through the batch."""
        x, y, wide, high = windows.flatten(0, 1)[seen].unbind(-1)
        rows = self._look_up(y, high, shared.shape[-2]).unsqueeze(1)  # (N, 1, side, H)
        columns = self._look_up(x, wide, shared.shape[-1]).unsqueeze(1)
        both = torch.cat([shared[seen // per_slot.shape[1]], per_slot.flatten(0, 1)[seen]], 1)
        return rows @ both @ columns.mT

    def _look_up(self, centre: Tensor, log_half: Tensor, pixels: int) -> Tensor:
        """Return bilinear weights (N, side, pixels) of a frame's pixels at the samples of a crop; 0 outside."""
        along = torch.linspace(-1, 1, self.side, device=centre.device)
        place = centre.unsqueeze(1) + self.context * log_half.exp().unsqueeze(1) * along
        place = (place + 1) * ((pixels - 1) / 2)
        return (1 - (place.unsqueeze(2) - torch.arange(pixels, device=centre.device)).abs()).clamp_min(0)


def covered(windows: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Return which pixels of frames of a size (H, W) lie in windows (..., 4), bool, shape (..., H, W)."""
    x, y, wide, high = windows.flatten(0, -2).unbind(-1)
    rows, columns = (_inside(c, half.exp(), n).abs() <= 1 for c, half, n in ((y, high, size[0]), (x, wide, size[1])))
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unflatten(0, windows.shape[:-1])


def extent(mass: Tensor, tail: float = 0.02) -> Tensor:
    """Return centre and log half side of where mass lies along a side, its tails left out.

    Args:
        mass: At least 0, shape (..., N).
        tail: Share of the mass that is left out at each end.

    Returns:
        Shape (..., 2), in units of a window.
    """
    pixels = mass.shape[-1]
    share = mass.cumsum(-1)
    share = share / share[..., -1:].clamp_min(1e-6)
    first = (share <= tail).sum(-1)
    last = (share < 1 - tail).sum(-1).clamp(max=pixels - 1)
    half = ((last - first + 1) / pixels).clamp_min(0.5 / pixels)
    return torch.stack([(first + last) / max(pixels - 1, 1) - 1, half.log()], -1)


def box_of(mass: Tensor) -> Tensor:
    """Return the windows about mass (..., H, W), shape (..., 4); see `extent`."""
    (x, wide), (y, high) = (extent(mass.sum(axis)).unbind(-1) for axis in (-2, -1))
    return torch.stack([x, y, wide, high], -1)
