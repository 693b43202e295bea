"""Which convolutions and matrix products a computation really makes, how often, in which shapes and memory layouts."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution.default, aten.convolution_backward.default)
PRODUCTS = (aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default)
_INPUT = {aten.convolution.default: 0, aten.mm.default: 0, aten.addmm.default: 1, aten.bmm.default: 0}
"""Where forward operations have the activation that a data gradient would go to."""


@dataclass(frozen=True)
class MemoryLayout:
    """What a kernel's speed depends on in a tensor, all but its values: shape, stride and dtype."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> MemoryLayout:
        """Return a tensor's layout."""
        return cls(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)

    def transposed(self) -> MemoryLayout:
        """Return the layout with the last two axes exchanged."""
        swap = (*range(len(self.shape) - 2), -1, -2)
        return MemoryLayout(tuple(self.shape[i] for i in swap), tuple(self.stride[i] for i in swap), self.dtype)

    def make(self, device: torch.device) -> Tensor:
        """Return a tensor of this layout with values in [-1, 1)."""
        cells = 1 + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))
        values = torch.empty(max(cells, 1), dtype=self.dtype, device=device).uniform_(-1, 1)
        return values.as_strided(self.shape, self.stride)


@dataclass(frozen=True)
class Call:
    """One operation with its arguments; tensors are replaced by their layouts.

    Attributes:
        operation: An overload of an ATen operator.
        arguments: Layouts, plain values, and tuples for lists.
        flops: Floating-point operations, a multiply-add counted as two; zero padding counts too.
    """

    operation: Any
    arguments: tuple[Any, ...]
    flops: int

    def make(self, device: torch.device) -> list[Any]:
        """Return arguments to time it with."""
        return [_thaw(argument, device) for argument in self.arguments]


class Recorder(TorchDispatchMode):
    """Counts the floating-point operations of all that runs inside, and the calls that make them.

    Args:
        parts: Modules whose forward calls are to be told apart, by name.

    Attributes:
        calls: How often each call was made, forward and backward.
        forward: The same by part, for what ran inside a part while `watching`.
        entered: How often each part was called while `watching`.
        outputs: The layout of the result of each forward call.
        differentiated: Forward calls whose input wants a gradient.
        watching: Whether parts are told apart; off in the backward pass, where recomputation enters them again.
    """

    def __init__(self, parts: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.parts = dict(parts or {})
        self.calls: Counter[Call] = Counter()
        self.forward: dict[str, Counter[Call]] = defaultdict(Counter)
        self.entered: Counter[str] = Counter()
        self.outputs: dict[Call, MemoryLayout] = {}
        self.differentiated: set[Call] = set()
        self.watching = True
        self._inside: list[str] = []

    @property
    def flops(self) -> int:
        """Floating-point operations of everything that ran."""
        return sum(call.flops * count for call, count in self.calls.items())

    @contextlib.contextmanager
    def recording(self) -> Iterator[Recorder]:
        """Record what runs inside the `with` block."""
        handles = []
        for name, module in self.parts.items():
            handles.append(module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)))
            handles.append(module.register_forward_hook(lambda *_: self._leave(), always_call=True))
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and write it down where it counts."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            flops = int(formula(*args, **(kwargs or {}), out_val=result))
            self._note(Call(func, tuple(_freeze(a) for a in args), flops), args, result)
        return result

    def _note(self, call: Call, args: tuple[Any, ...], result: Any) -> None:
        self.calls[call] += 1
        place = _INPUT.get(call.operation)
        if place is None:
            return
        self.outputs[call] = MemoryLayout.of(result)
        if args[place].requires_grad:
            self.differentiated.add(call)
        if self.watching and self._inside:
            self.forward[self._inside[-1]][call] += 1

    def _enter(self, name: str) -> None:
        self._inside.append(name)
        if self.watching:
            self.entered[name] += 1

    def _leave(self) -> None:
        self._inside.pop()


def _freeze(value: Any) -> Any:
    if isinstance(value, Tensor):
        return MemoryLayout.of(value)
    return tuple(_freeze(v) for v in value) if isinstance(value, (list, tuple)) else value


def _thaw(value: Any, device: torch.device) -> Any:
    if isinstance(value, MemoryLayout):
        return value.make(device)
    return [_thaw(v, device) for v in value] if isinstance(value, tuple) else value
