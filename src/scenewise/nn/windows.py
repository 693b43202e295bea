"""Slots that see and draw in windows of their own, over a background picture; no parameter knows size or number.

A window is (x, y, log half width, log half height) in units where the frame is [-1, 1] along both sides, ends being the
outer edges of its first and last pixel for half sides, and the centres of these pixels for places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.config import setting
from scenewise.errors import InputError
from scenewise.nn.layers import arranged, normal_numbers

NUMBERS = 4  # of a window
_STEP = 0.25  # window units per unit of latent
_FARTHEST = 1.3  # a centre
_SMALLEST, _LARGEST = -3.2, 0.1  # log half sides
_MARGIN = 1.15  # a patch reaches beyond its window by this factor
_FALL = 2.0  # by which a mask logit is lower at a window's edge
_DEEPEST = 2000.0  # by which at most: black, which is drawn there, explains nothing
_OFF = -2000.0  # mask logit of a slot that is off, below what any pixel could gain by it


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
        numbers: Of the slots but 0 that are drawn, counted through the batch, int64, shape (N,): all that are on, and
            maybe some that are off, which count for nothing; None for those that are on. A graph's shapes depend on N.
    """

    picture: Tensor
    windows: Tensor
    on: Tensor
    numbers: Tensor | None = None

    @cached_property
    def drawn(self) -> Tensor:
        """Numbers of the slots but 0 that are drawn, int64, shape (N,)."""
        if self.numbers is not None:
            return self.numbers
        numbers = self.on.flatten().nonzero().squeeze(1)
        return numbers[numbers % self.on.shape[1] > 0]

    @cached_property
    def seeing(self) -> Tensor:
        """Numbers of slot 0 of each frame, and of the slots that are drawn, int64, shape (B + N,)."""
        batch, slots = self.on.shape
        return torch.cat([slots * torch.arange(batch, device=self.on.device), self.drawn])

    def spread(self, values: Tensor, rest: float) -> Tensor:
        """Return values (B + N, ...) of the slots in `seeing` as (B, K, ...); those of all others are `rest`."""
        whole = values.new_full((self.on.numel(), *values.shape[1:]), rest).index_copy(0, self.seeing, values)
        if self.numbers is not None:
            whole = torch.where((self.on > 0).view(-1, *(1,) * (whole.ndim - 1)), whole, rest)
        return whole.unflatten(0, self.on.shape)

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
    return (_places(outer, centre.device) - centre.unsqueeze(1)) / half.unsqueeze(1)


@lru_cache(maxsize=64)
def _places(pixels: int, device: torch.device) -> Tensor:
    """Return where the pixels of a side lie, ends at -1 and 1, shape (N,)."""
    with torch.inference_mode(False):  # what is kept must serve training too
        return torch.linspace(-1, 1, pixels, device=device)


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
        self.light = nn.Parameter(normal_numbers(rank, colours, 3, 5).mul_(0.02))

    def forward(self, latent: Tensor, h: Tensor, scene: WindowScene) -> tuple[Tensor, Tensor]:
        """Take (B, K, M), (B, K, condition) and a scene; return means (B, K, C, H, W) and logits (B, K, 1, H, W)."""
        background = scene.picture + self._light(latent[:, 0], scene.picture)
        level = 0 * background[:, :1]  # with a graph, as refinement wants of both
        if latent.shape[1] == 1:
            return background.unsqueeze(1), level.unsqueeze(1)
        both = (torch.cat([latent, h], -1), scene.windows_at(latent))
        vector, windows = (each.flatten(0, 1).index_select(0, scene.drawn) for each in both)  # others cost nothing
        means, logits = self._patches(vector, windows, scene.picture.shape[-2:])
        return scene.spread(torch.cat([background, means]), 0.0), scene.spread(torch.cat([level, logits]), _OFF)

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
        columns = interpolation(x, _MARGIN * wide, size[1], side)
        drawn = torch.cat([means, logits], 1)
        drawn = rows @ (drawn.flatten(1, 2) @ columns.mT).unflatten(1, drawn.shape[1:3])
        across, down = _inside(x, wide, size[1]) ** 4, _inside(y, high, size[0]) ** 4
        fall = (_FALL * (across[:, None, None, :] + down[:, None, :, None])).clamp(max=_DEEPEST)
        return drawn[:, :-1], drawn[:, -1:] - fall


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

    def forward(self, shared: Tensor, per_slot: Tensor, windows: Tensor, scene: WindowScene) -> Tensor:
        """Encode what slots see.

        Args:
            shared: Shape (B, S, H, W).
            per_slot: Shape (B, K, P, H, W).
            windows: Shape (B, K, 4).
            scene: Says which slots see; the codes of all others are 0.

        Returns:
            Shape (B * K, code).
        """
        x = arranged(self.crops(shared, per_slot, windows, scene.seeing))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.elu(norm(layer(x)))
        return scene.spread(functional.elu(self.linear(x.flatten(1))), 0.0).flatten(0, 1)

    def crops(self, shared: Tensor, per_slot: Tensor, windows: Tensor, seeing: Tensor) -> Tensor:
        """Return (N, S + P, side, side) of slots by their numbers, N of them, counted through the batch."""
        x, y, wide, high = windows.flatten(0, 1).index_select(0, seeing).unbind(-1)
        rows, columns = self._look_up(y, high, shared.shape[-2]), self._look_up(x, wide, shared.shape[-1])
        frames = shared if len(shared) == 1 else shared[seeing // per_slot.shape[1]]
        frames = frames.expand(len(seeing), -1, -1, -1)
        both = torch.cat([frames, per_slot.flatten(0, 1).index_select(0, seeing)], 1)
        size, channels = both.shape[2], both.shape[1]
        strips = (both.flatten(1, 2) @ columns.mT).unflatten(1, (channels, size)).permute(0, 2, 3, 1)
        return (rows @ strips.flatten(2)).unflatten(2, (-1, channels)).permute(0, 3, 1, 2)  # channels last in memory

    def _look_up(self, centre: Tensor, log_half: Tensor, pixels: int) -> Tensor:
        """Return bilinear weights (N, side, pixels) of a frame's pixels at the samples of a crop; 0 outside."""
        along = self.context * _places(self.side, centre.device)
        place = centre.unsqueeze(1) + log_half.exp().unsqueeze(1) * along
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


def centre_of(mass: Tensor) -> Tensor:
    """Return the centre of mass (..., H, W), x and y in units of a window, shape (..., 2); 0 where there is none."""
    total = mass.sum((-2, -1)).clamp_min(1e-6)
    sides = ((mass.sum(axis), mass.shape[-1 if axis == -2 else -2]) for axis in (-2, -1))
    return torch.stack([(sums * torch.linspace(-1, 1, n, device=mass.device)).sum(-1) / total for sums, n in sides], -1)
