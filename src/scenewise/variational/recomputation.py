"""Recompute a cell in the backward pass instead of storing its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Callable[..., tuple[Tensor, ...]], count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run without a graph; the first `count` tensors are its inputs, the others parameters it uses."""
        ctx.run, ctx.count = run, count
        ctx.save_for_backward(*tensors)
        with torch.no_grad():
            return run(*tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Run once more, with a graph, and return the gradients of inputs and parameters."""
        inputs, parameters = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        needs = ctx.needs_input_grad[2:]
        fresh = [t.detach().requires_grad_(w) for t, w in zip(inputs, needs, strict=False)]
        with torch.enable_grad():
            outputs = ctx.run(*fresh)
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad and g is not None]
        leaves = [t for t, w in zip([*fresh, *parameters], needs, strict=True) if w]
        grads: Iterator[Tensor | None] = iter(())
        if pairs:
            grads = iter(torch.autograd.grad([o for o, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True))
        return (None, None, *(next(grads, None) if w else None for w in needs))


def recomputed(
    run: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Run `run(*inputs)` without storing activations; the backward pass runs it once more.

    Parameters are passed explicitly, so gradients reach them as ordinary graph leaves: hooks of distributed training
    fire once per parameter. `run` may itself differentiate inside, which `torch.utils.checkpoint` does not admit.
    The autocast state of the forward pass must hold in the backward pass of the caller too.

    Args:
        run: A function of tensors that returns a tuple of tensors and uses nothing random.
        inputs: Its arguments.
        parameters: All parameters it uses.
    """
    return _Recomputed.apply(run, len(inputs), *inputs, *parameters)
