"""Gradients written out in operations that inference runtimes have: they know no backward passes.

A refinement differentiates the decoder with respect to its latent, so that the graph of a frame holds the backward
operations of convolutions, norms and activations. Each function here gives what one of them gives in forward
operations: that of a convolution is a convolution with turned weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

aten = torch.ops.aten

_OF_TORCH = (
    aten.native_group_norm_backward,
    aten.native_layer_norm_backward,
    aten._softmax_backward_data,
    aten._log_softmax_backward_data,
    aten.avg_pool2d_backward,
    aten.leaky_relu_backward,
    aten.softplus_backward,
    aten.silu_backward,
    aten.addcmul,
    aten.addcdiv,
    aten.rsub,
    aten.detach,
    aten.t,
    aten.var,
)
"""Operations for which PyTorch's own decompositions do."""


class UnknownOperationError(Exception):
    """An operation, or a way to call one, that is not written out or not written as ONNX; the message names it."""


def convolution_backward(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of a convolution with respect to its images alone.

    Args:
        gradient: By the output, shape (N, out, H', W').
        images: What was convolved, shape (N, in, H, W); its size is looked at.
        weight: Shape (out, in, k, k); (in, out, k, k) where transposed.
        bias_sizes: Not looked at.
        stride: Of the convolution.
        padding: Of the convolution.
        dilation: Of the convolution.
        transposed: Whether it was a transposed one.
        output_padding: Not looked at: it adds rows of which each image has a part by the same kernel.
        groups: 1.
        wanted: Which of the gradients by images, weight and bias are wanted: the first.

    Raises:
        UnknownOperationError: The gradient by weights is wanted too, or there are groups.
    """
    if list(wanted) != [True, False, False] or groups != 1:
        raise UnknownOperationError("convolution_backward by weights, or in groups")
    if transposed:
        return aten.convolution(gradient, weight, None, stride, padding, dilation, False, [0, 0], 1), None, None
    reach = [d * (side - 1) for d, side in zip(dilation, weight.shape[2:], strict=True)]
    if all(step == 1 for step in stride):
        turned, around = weight.flip(2, 3).transpose(0, 1), [r - p for r, p in zip(reach, padding, strict=True)]
        if min(around) >= 0:
            return aten.convolution(gradient, turned, None, stride, around, dilation, False, [0, 0], 1), None, None
    rest = [
        side - ((small - 1) * step - 2 * p + r + 1)
        for side, small, step, p, r in zip(images.shape[2:], gradient.shape[2:], stride, padding, reach, strict=True)
    ]
    return aten.convolution(gradient, weight, None, stride, padding, dilation, True, rest, 1), None, None


def upsample_nearest2d_backward(
    gradient: Tensor, output_size: Sequence[int], input_size: Sequence[int], *scales: float | None
) -> Tensor:
    """Return sums over the blocks of pixels (N, C, H', W') that were one pixel each of (N, C, H, W)."""
    height, width = input_size[2:]
    if output_size[0] % height or output_size[1] % width:
        raise UnknownOperationError("upsample_nearest2d_backward by no whole number")
    block = [output_size[0] // height, output_size[1] // width]
    return aten.avg_pool2d(gradient, block) * (block[0] * block[1])  # a runtime has quick code for means over blocks


def upsample_bilinear2d_backward(
    gradient: Tensor, output_size: Sequence[int], input_size: Sequence[int], corners: bool, *scales: float | None
) -> Tensor:
    """Return the gradient by images (N, C, H, W): rows and columns by the transposes of their interpolations."""
    rows, columns = (
        aten.upsample_bilinear2d(torch.eye(before).view(1, 1, before, before), [after, before], corners).view(
            after, before
        )
        for before, after in zip(input_size[2:], output_size, strict=True)
    )
    return rows.t() @ gradient @ columns


def slice_backward(gradient: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Tensor:
    """Return the gradient with zeros where the slice was not taken."""
    if step != 1:
        raise UnknownOperationError("slice_backward with a step")
    side = sizes[dim]
    begin = start + side if start < 0 else min(start, side)
    stop = begin + gradient.shape[dim]
    lengths = ((begin, "before"), (side - stop, "after"))
    before, after = (
        gradient.new_zeros([*sizes[:dim], length, *sizes[dim + 1 :]]) if length else None for length, _ in lengths
    )
    return torch.cat([part for part in (before, gradient, after) if part is not None], dim)


def select_backward(gradient: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    """Return the gradient with zeros where the entry was not taken."""
    start = index % sizes[dim]
    return slice_backward(gradient.unsqueeze(dim), sizes, dim, start, start + 1, 1)


def elu_backward(
    gradient: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, values: Tensor
) -> Tensor:
    """Return the gradient of an ELU, of its input or its result (N, ...): exp(min(x, 0)) is min(elu(x), 0) + 1."""
    if not alpha == scale == input_scale == 1:
        raise UnknownOperationError("elu_backward with other scales than 1")
    negative = values.clamp(max=0)
    return gradient * (negative + 1 if is_result else negative.exp())


def sigmoid_backward(gradient: Tensor, result: Tensor) -> Tensor:
    """Return the gradient of a sigmoid, given its result."""
    return gradient * (result - result * result)


def tanh_backward(gradient: Tensor, result: Tensor) -> Tensor:
    """Return the gradient of a tanh, given its result."""
    return gradient - gradient * result * result


def threshold_backward(gradient: Tensor, values: Tensor, threshold: float) -> Tensor:
    """Return the gradient of a ReLU."""
    return torch.where(values > threshold, gradient, gradient.new_zeros(()))


def table() -> dict[Any, Callable[..., Any]]:
    """Return what replaces which operation while a graph is traced."""
    own: dict[Any, Callable[..., Any]] = {
        aten.convolution_backward.default: convolution_backward,
        aten.upsample_nearest2d_backward.default: upsample_nearest2d_backward,
        aten.upsample_bilinear2d_backward.default: upsample_bilinear2d_backward,
        aten.slice_backward.default: slice_backward,
        aten.select_backward.default: select_backward,
        aten.elu_backward.default: elu_backward,
        aten.sigmoid_backward.default: sigmoid_backward,
        aten.tanh_backward.default: tanh_backward,
        aten.threshold_backward.default: threshold_backward,
    }
    overloads = [getattr(packet, name) for packet in _OF_TORCH for name in packet.overloads()]
    return {op: decomposition_table[op] for op in overloads if op in decomposition_table} | own
