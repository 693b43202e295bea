"""How layers are written as ONNX; see `onnx_operators`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scenewise.runtimes.decompositions import UnknownOperationError
from scenewise.runtimes.onnx_operators import operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from scenewise.runtimes.onnx_writer import OnnxGraph, Value


@operator("addmm")
def addmm(graph: OnnxGraph, result: Tensor, bias: Value, a: Value, b: Value, **_: Any) -> Any:
    """Bias + a b."""
    return graph.add("Add", graph.add("MatMul", a, b), bias)


@operator("baddbmm")
def baddbmm(graph: OnnxGraph, result: Tensor, bias: Value, a: Value, b: Value, **_: Any) -> Any:
    """Bias + a b, matrix by matrix."""
    return graph.add("Add", graph.add("MatMul", a, b), bias)


@operator("convolution")
def convolution(
    graph: OnnxGraph,
    result: Tensor,
    images: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Any:
    """A convolution, or a transposed one."""
    spread = len(images.shape) - 2
    common: dict[str, Any] = {
        "strides": _each(stride, spread), "pads": _each(padding, spread) * 2, "dilations": _each(dilation, spread),
        "group": groups,
    }  # fmt: skip
    inputs = (images, weight) if bias is None else (images, weight, bias)
    if transposed:
        return graph.add("ConvTranspose", *inputs, output_padding=_each(output_padding, spread), **common)
    return graph.add("Conv", *inputs, **common)


def _each(values: Sequence[int], axes: int) -> list[int]:
    return list(values) * axes if len(values) == 1 else list(values)


@operator("native_group_norm")
def group_norm(
    graph: OnnxGraph, result: Any, x: Value, weight: Any, bias: Any, batch: int, channels: int, size: int, groups: int,
    eps: float,
) -> Any:  # fmt: skip
    """Group norm; means and 1 / standard deviations for its gradient, which nobody computes where nobody asks."""
    grouped = graph.add("Reshape", x, [batch, groups, -1])
    ones = torch.ones(groups)
    normed = graph.add("InstanceNormalization", grouped, ones, torch.zeros(groups), epsilon=eps)
    normed = graph.add("Reshape", normed, list(x.shape))
    ends = [channels] + [1] * (len(x.shape) - 2)
    if weight is not None:
        normed = graph.add("Mul", normed, weight.tensor.reshape(ends))
    if bias is not None:
        normed = graph.add("Add", normed, bias.tensor.reshape(ends))
    return (normed, *_moments(graph, grouped, [2], eps, list(result[1].shape)))


@operator("native_layer_norm")
def layer_norm(
    graph: OnnxGraph, result: Any, x: Value, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> Any:
    """Layer norm over the last axes."""
    axis = len(x.shape) - len(shape)
    scale = torch.ones(tuple(shape)) if weight is None else weight
    inputs = (x, scale) if bias is None else (x, scale, bias)
    normed = graph.add("LayerNormalization", *inputs, axis=axis, epsilon=eps)
    moments = _moments(graph, graph.name(x), list(range(axis, len(x.shape))), eps, list(result[1].shape))
    return (normed, *moments)


def _moments(graph: OnnxGraph, x: str, axes: list[int], eps: float, shape: list[int]) -> tuple[str, str]:
    """Return means and 1 / sqrt(variance + eps) over axes; runtimes drop what nothing uses."""
    mean = graph.add("ReduceMean", x, axes, keepdims=1)
    apart = graph.add("Sub", x, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", apart, apart), axes, keepdims=1)
    scale = graph.add("Reciprocal", graph.add("Sqrt", graph.add("Add", variance, float(eps))))
    return graph.add("Reshape", mean, shape), graph.add("Reshape", scale, shape)


@operator("_native_batch_norm_legit_no_training")
def batch_norm(
    graph: OnnxGraph, result: Any, x: Value, weight: Any, bias: Any, mean: Value, variance: Value, momentum: float,
    eps: float,
) -> Any:  # fmt: skip
    """Batch norm by the moments of training."""
    channels = len(mean.tensor)
    inputs = (torch.ones(channels) if weight is None else weight, torch.zeros(channels) if bias is None else bias)
    normed = graph.add("BatchNormalization", x, *inputs, mean, variance, epsilon=eps)
    return normed, None, None


@operator("native_batch_norm", "_native_batch_norm_legit")
def trained_batch_norm(graph: OnnxGraph, result: Any, x: Value, weight: Any, bias: Any, mean: Any, variance: Any,
                       training: bool, momentum: float, eps: float) -> Any:  # fmt: skip
    """Batch norm in evaluation mode."""
    if training:
        raise UnknownOperationError("batch norm by moments of the batch")
    return batch_norm(graph, result, x, weight, bias, mean, variance, momentum, eps)


@operator("upsample_nearest2d")
def upsample_nearest(graph: OnnxGraph, result: Tensor, x: Value, *_: Any) -> Any:
    """Each pixel becomes a block."""
    scales = torch.tensor([1.0, 1.0, *(b / a for a, b in zip(x.shape[2:], result.shape[2:], strict=True))])
    return graph.add(
        "Resize", x, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


@operator("upsample_bilinear2d")
def upsample_bilinear(graph: OnnxGraph, result: Tensor, x: Value, size: Any, corners: bool, *_: Any) -> Any:
    """Rows and columns by matrices of weights."""
    rows, columns = (
        torch.nn.functional.interpolate(
            torch.eye(a).view(1, 1, a, a), size=(b, a), mode="bilinear", align_corners=corners
        ).view(b, a)
        for a, b in zip(x.shape[2:], result.shape[2:], strict=True)
    )
    return graph.add("MatMul", graph.add("MatMul", rows, x), columns.t())


@operator("avg_pool2d")
def avg_pool(
    graph: OnnxGraph, result: Tensor, x: Value, kernel: Sequence[int], stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0), *_: Any,
) -> Any:  # fmt: skip
    """Means over windows."""
    pads = _each(padding, 2) * 2
    return graph.add("AveragePool", x, kernel_shape=_each(kernel, 2), strides=_each(stride or kernel, 2), pads=pads,
                     count_include_pad=1)  # fmt: skip


@operator("max_pool2d_with_indices")
def max_pool(
    graph: OnnxGraph, result: Any, x: Value, kernel: Sequence[int], stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0), *_: Any,
) -> Any:  # fmt: skip
    """Largest of windows, without their places."""
    pads = _each(padding, 2) * 2
    return (graph.add("MaxPool", x, kernel_shape=_each(kernel, 2), strides=_each(stride or kernel, 2), pads=pads), None)


@operator("pixel_shuffle")
def pixel_shuffle(graph: OnnxGraph, result: Tensor, x: Value, factor: int) -> Any:
    """Channels to blocks of pixels."""
    return graph.add("DepthToSpace", x, blocksize=factor, mode="CRD")


@operator("pixel_unshuffle")
def pixel_unshuffle(graph: OnnxGraph, result: Tensor, x: Value, factor: int) -> Any:
    """Blocks of pixels to channels."""
    batch, channels, height, width = x.shape
    blocks = graph.add("Reshape", x, [batch, channels, height // factor, factor, width // factor, factor])
    return graph.add("Reshape", graph.add("Transpose", blocks, perm=[0, 1, 3, 5, 2, 4]), list(result.shape))
