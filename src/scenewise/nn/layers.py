"""Small layers of the field: coordinate maps, layer norm without gain, split convolutions; numbers beside weights."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def coordinates(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return x and y in [-1, 1], both ends included, shape (2, H, W); a side of one pixel gets 0."""
    ys = torch.linspace(-1, 1, height, device=device) if height > 1 else torch.zeros(1, device=device)
    xs = torch.linspace(-1, 1, width, device=device) if width > 1 else torch.zeros(1, device=device)
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([grid_x, grid_y])


def constants(values: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers as a vector of a tensor's kind, without a copy from the host, for which a GPU would wait."""
    return torch.cat([like.new_full((1,), value) for value in values])


def normal_numbers(*shape: int) -> Tensor:
    """Return numbers drawn from N(0, 1), as `torch.randn` does.

    On the meta device, where a model is made for its shapes alone, nothing is drawn: `torch.randn` would read a library
    of symbolic algebra for it, which takes longer than all else that loading a model does.
    """
    numbers = torch.empty(shape)
    return numbers if numbers.is_meta else numbers.normal_()


def cosines(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return cos(pi i x) cos(pi j y) for i, j in 0..2 but (0, 0), x and y in [0, 1], shape (8, H, W)."""
    x, y = (coordinates(height, width, device) + 1) / 2
    waves = [(torch.pi * i * x).cos() * (torch.pi * j * y).cos() for i in range(3) for j in range(3)]
    return torch.stack(waves[1:])


def arranged(x: Tensor) -> Tensor:
    """Return images in the memory layout that convolutions and group norm are quickest in.

    Channels-last in float32 (a third quicker on CPU); under bfloat16 autocast the plain layout, since PyTorch's
    channels-last group norm is then several times slower on CPU.
    """
    plain = torch.is_autocast_enabled(x.device.type) and x.device.type == "cpu"
    return x.contiguous(memory_format=torch.contiguous_format if plain else torch.channels_last)


def shuffled(x: Tensor, factor: int) -> Tensor:
    """Return the pixel shuffle of images (N, C s², H, W), plain in memory: (N, C, s H, s W).

    Planes are cut apart afterwards, and every later step is slower where these are not whole. Without a graph it is one
    copy straight from channels-last, half of the time on CPU; with one that copy's backward pass is slower.
    """
    if x.requires_grad:
        return functional.pixel_shuffle(x.contiguous(), factor)
    blocks = x.permute(0, 2, 3, 1).unflatten(3, (-1, factor, factor))  # (N, H, W, C, s, s)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, x.shape[2] * factor, x.shape[3] * factor)


_as_one = ContextVar("pooling_as_one", default=False)


@contextmanager
def pooling_as_one() -> Iterator[None]:
    """Let `pooled` be one operation, for graphs that other runtimes than PyTorch run."""
    token = _as_one.set(True)
    try:
        yield
    finally:
        _as_one.reset(token)


def pooled(x: Tensor, factor: int) -> Tensor:
    """Return the means over blocks of `factor` x `factor` pixels of (..., H, W); a rest at the border is left out.

    Pairs of rows and columns are added for a factor of 2, several times quicker on CPU than PyTorch's pooling; other
    runtimes are slow at that and quick at pooling, see `pooling_as_one`.
    """
    if factor != 2 or (_as_one.get() and x.ndim > 3):
        return functional.avg_pool2d(x.flatten(0, -4), factor).unflatten(0, x.shape[:-3])
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    rows = torch.lerp(x[..., 0:height:2, :width], x[..., 1:height:2, :width], 0.5)
    return torch.lerp(rows[..., 0::2], rows[..., 1::2], 0.5)


def normalise(x: Tensor, dims: int, eps: float = 1e-5) -> Tensor:
    """Layer norm without gain over the last `dims` axes, in float32; eps is added to the variance (iodine 4.3).

    Taken of 2^-44 x, which loses nothing: the gradient by a mask reaches 1e29, and its squares must fit in float32.
    """
    return functional.layer_norm(x.float() * 2.0**-44, x.shape[-dims:], eps=eps * 2.0**-88)


@torch.no_grad()
def fan_in_normal_(module: nn.Module) -> None:
    """Start all weights of a module truncated normal with std 1 / sqrt(fan in), and biases at 0 (iodine.md 6)."""
    for name, parameter in module.named_parameters():
        if name.endswith("weight") and parameter.ndim > 1:
            std = parameter[0].numel() ** -0.5
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
        elif name.endswith("bias") and "cell" not in name:
            parameter.zero_()


class WholeConv2d(nn.Conv2d):
    """A convolution as large as the map it sees, which leaves one pixel: computed as the linear layer that it is.

    On a CPU PyTorch's convolutions bring its large weight from one memory layout to another several times a step, at
    four times the cost of all else. Arguments and weights are those of a `Conv2d` whose kernel is the map.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, inputs, H, W); return (N, out, 1, 1)."""
        return functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class WholeConvTranspose2d(nn.ConvTranspose2d):
    """The way back of `WholeConv2d`, from one pixel to a map, with arguments and weights of a `ConvTranspose2d`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Take (N, inputs, 1, 1); return (N, out, H, W)."""
        maps = functional.linear(x.flatten(1), self.weight.flatten(1).t()).unflatten(1, self.weight.shape[1:])
        return maps if self.bias is None else maps + self.bias[:, None, None]


class BroadcastConv2d(nn.Module):
    """The first convolution of a broadcast decoder and its ELU, collapsed: exact at a few per cent of the cost.

    Equal to the ELU of a zero-padded `Conv2d` over (a vector repeated at every pixel, x, y). Away from the border that
    convolution sees the same vector everywhere; near it, part of the kernel sees zeros. A kernel of side k meets k * k
    such cases, which a k x k image shows all at once; what the coordinates give is the same for every vector.

    Args:
        inputs: Size of the vector.
        out: Output channels.
        kernel: Side of the kernel, odd.
        size: (H, W) of the output, each at least `kernel - 1`.
    """

    def __init__(self, inputs: int, out: int, kernel: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.inputs, self.kernel, self.size = inputs, kernel, size
        whole = nn.Conv2d(inputs + 2, out, kernel, padding=kernel // 2)
        self.weight, self.bias = whole.weight, whole.bias
        self.grid: Tensor
        self.case: Tensor
        self.register_buffer("grid", coordinates(*size), persistent=False)
        rows, columns = (_border_cases(side, kernel) for side in size)
        # Numbers of Python: where a model is made for its shapes alone, arithmetic on tensors reads torch's compiler.
        cases = [row * kernel + column for row in rows for column in columns]
        self.register_buffer("case", torch.tensor(cases), persistent=False)

    def forward(self, vector: Tensor) -> Tensor:
        """Take (N, inputs); return (N, out, H, W), channels last."""
        k, padding = self.kernel, self.kernel // 2
        repeated = vector[:, :, None, None].expand(-1, -1, k, k)
        cases = functional.conv2d(repeated, self.weight[:, : self.inputs], padding=padding)
        place = functional.conv2d(self.grid.unsqueeze(0), self.weight[:, self.inputs :], self.bias, padding=padding)
        pixels = cases.flatten(2).transpose(1, 2).index_select(1, self.case)  # (N, H * W, out)
        pixels = functional.elu_(pixels.add_(place.flatten(2).transpose(1, 2)))
        return pixels.unflatten(1, self.size).permute(0, 3, 1, 2)


def _border_cases(side: int, kernel: int) -> list[int]:
    """Return, for each pixel of a side, which part of a kernel lies inside: 0 .. kernel - 1, the middle being all."""
    half = kernel // 2
    return [*range(half), *[half] * (side - 2 * half), *range(half + 1, kernel)]


class SlotConv2d(nn.Module):
    """A convolution over inputs of which some are the same for all slots: those are convolved once, not K times.

    Equal to a `Conv2d` over the channel-wise concatenation (shared, per slot).

    Args:
        shared: Channels that do not depend on the slot.
        per_slot: Channels that do.
        out: Output channels.
        kernel: Side of the kernel.
        stride: Stride.
        padding: Zeros around; as many as keep the size at stride 1 where None.
    """

    def __init__(
        self, shared: int, per_slot: int, out: int, kernel: int = 3, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        self.shared, self.stride, self.padding = shared, stride, kernel // 2 if padding is None else padding
        whole = nn.Conv2d(shared + per_slot, out, kernel, stride=stride, padding=self.padding)
        self.weight, self.bias = whole.weight, whole.bias

    def forward(self, shared: Tensor, per_slot: Tensor) -> Tensor:
        """Take (B, S, H, W) and (B, K, P, H, W); return (B, K, out, H', W')."""
        batch, slots = per_slot.shape[:2]
        once = functional.conv2d(shared, self.weight[:, : self.shared], self.bias, self.stride, self.padding)
        per_slot_output = arranged(per_slot.flatten(0, 1))
        each = functional.conv2d(per_slot_output, self.weight[:, self.shared :], None, self.stride, self.padding)
        return each.unflatten(0, (batch, slots)) + once.unsqueeze(1)


class Numbers(nn.Module):
    """A module with numbers that training moves, such as the step that its schedules have come to.

    Each is a buffer, so that it travels with the weights, and has a copy on the host: reading a buffer makes the host
    wait for all that a GPU still has to do, in every frame of every step.
    """

    _on_host: dict[str, float]
    live_numbers: dict[str, Tensor] | None = None
    """Where training steps are replayed from captured graphs: the numbers of `schedule` as tensors that graphs read."""

    def add_number(self, name: str, value: float) -> None:
        """Add a number as the buffer `name`; a whole number stays one."""
        if "_on_host" not in vars(self):
            self._on_host = {}
        self.register_buffer(name, torch.tensor(value))
        self._on_host[name] = _rounded(value, self.get_buffer(name).dtype)

    def number(self, name: str) -> float:
        """Return a number."""
        if name not in self._on_host:
            self._on_host[name] = self.get_buffer(name).item()
        return self._on_host[name]

    def set_number(self, name: str, value: float) -> None:
        """Set a number."""
        self.get_buffer(name).fill_(value)
        self._on_host[name] = _rounded(value, self.get_buffer(name).dtype)

    def schedule(self) -> dict[str, float]:
        """Return the numbers that move from step to step and that a training step computes with, by name."""
        return {}

    def live(self, name: str) -> float | Tensor:
        """Return a number of `schedule`, as a tensor where captured graphs read it.

        A captured graph repeats what was computed with a plain number; a tensor may change in between, see
        `write_live`.
        """
        return self.schedule()[name] if self.live_numbers is None else self.live_numbers[name]

    def write_live(self, device: torch.device) -> None:
        """Write the numbers of `schedule` into the tensors that captured graphs read."""
        if self.live_numbers is None:
            self.live_numbers = {name: torch.zeros((), device=device) for name in self.schedule()}
        for name, value in self.schedule().items():
            self.live_numbers[name].fill_(value)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        vars(self).get("_on_host", {}).clear()  # they are read again when they are next asked for


def _rounded(value: float, dtype: torch.dtype) -> float:
    """Return a number as a buffer holds it."""
    number: float = torch.tensor(value, dtype=dtype, device="cpu").item()
    return number
