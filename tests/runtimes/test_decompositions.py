"""Gradients written out in forward operations, against autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from scenewise.runtimes.decompositions import UnknownOperationError, table

if TYPE_CHECKING:
    from collections.abc import Callable


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def gradient(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what computes the gradient of a weighted sum of a function's result."""

    def run(x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = function(x)
            weights = torch.linspace(-1, 2, y.numel()).reshape(y.shape)
            (result,) = torch.autograd.grad(y, x, weights)
        return result

    return run


def written_out(function: Callable[[Tensor], Tensor], x: Tensor) -> Any:
    return make_fx(functionalize(make_fx(function)(x)), decomposition_table=table())(x)


WEIGHT, TURNED = images(6, 4, 3, 3), images(4, 6, 3, 3)
MATRIX = images(5, 9)
FUNCTIONS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "convolution": ((2, 4, 7, 9), lambda x: functional.conv2d(x, WEIGHT, padding=1)),
    "convolution without padding": ((2, 4, 7, 9), lambda x: functional.conv2d(x, WEIGHT)),
    "convolution, wide padding": ((2, 4, 7, 9), lambda x: functional.conv2d(x, WEIGHT, padding=3)),
    "convolution by steps": ((2, 4, 7, 9), lambda x: functional.conv2d(x, WEIGHT, stride=2, padding=1)),
    "convolution by steps, even side": ((2, 4, 8, 10), lambda x: functional.conv2d(x, WEIGHT, stride=2, padding=1)),
    "convolution, spread": ((2, 4, 9, 9), lambda x: functional.conv2d(x, WEIGHT, padding=2, dilation=2)),
    "transposed convolution": (
        (2, 4, 5, 6),
        lambda x: functional.conv_transpose2d(x, TURNED, stride=2, padding=1, output_padding=1),
    ),
    "nearest": ((2, 3, 4, 5), lambda x: functional.interpolate(x, scale_factor=2, mode="nearest")),
    "nearest, one axis more": ((2, 3, 4, 5), lambda x: functional.interpolate(x, size=(12, 10), mode="nearest")),
    "bilinear, corners": (
        (2, 3, 3, 5),
        lambda x: functional.interpolate(x, size=(8, 12), mode="bilinear", align_corners=True),
    ),
    "bilinear": ((2, 3, 3, 5), lambda x: functional.interpolate(x, size=(6, 15), mode="bilinear", align_corners=False)),
    "slice": ((2, 6, 4), lambda x: x[:, 1:-2] ** 2),
    "slice at the end": ((2, 6, 4), lambda x: x[:, -1:] ** 2),
    "slice at the start": ((2, 6, 4), lambda x: x[:, :-1] ** 2),
    "entry": ((2, 6, 4), lambda x: x[:, -2] ** 2),
    "elu": ((3, 50), functional.elu),
    "elu in place": ((3, 50), lambda x: functional.elu_(x * 2)),
    "sigmoid": ((3, 50), torch.sigmoid),
    "tanh": ((3, 50), torch.tanh),
    "relu": ((3, 50), torch.relu),
    "group norm": ((2, 8, 4, 4), lambda x: functional.group_norm(x, 4, torch.linspace(1, 2, 8), torch.ones(8)) ** 2),
    "layer norm": ((4, 16), lambda x: functional.layer_norm(x, (16,)) ** 2),
    "softmax": ((4, 6), lambda x: x.softmax(1)),
    "log softmax": ((4, 6), lambda x: x.log_softmax(1) ** 2),
    "softplus": ((4, 6), functional.softplus),
    "linear": ((4, 9), lambda x: functional.linear(x, MATRIX)),
    "pixel shuffle": ((2, 8, 3, 3), lambda x: functional.pixel_shuffle(x, 2) ** 2),
    "put by number": ((2, 5, 3), lambda x: torch.ones(4, 5, 3).index_copy(0, torch.tensor([3, 0]), x) ** 2),
    "chosen by number": ((2, 5, 3), lambda x: x.index_select(1, torch.tensor([4, 0, 0, 2])) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_autograd(name):
    shape, function = FUNCTIONS[name]
    x, run = images(*shape), gradient(function)
    graph = written_out(run, x)
    torch.testing.assert_close(graph(x), run(x), rtol=1e-4, atol=1e-5)
    packets = [getattr(node.target, "overloadpacket", None) for node in graph.graph.nodes]
    names = [packet.__name__ for packet in packets if packet is not None]
    assert not [name for name in names if "backward" in name or name.endswith("_")]


def test_what_is_not_written_out_is_refused():
    def by_weights(x: Tensor) -> Tensor:
        with torch.enable_grad():
            weight = WEIGHT.clone().requires_grad_()
            (result,) = torch.autograd.grad(functional.conv2d(x, weight).sum(), weight)
        return result

    with pytest.raises(UnknownOperationError, match="by weights"):
        written_out(by_weights, images(1, 4, 5, 5))
    uneven = gradient(lambda x: functional.interpolate(x, size=(5, 5), mode="nearest"))
    with pytest.raises(UnknownOperationError, match="whole number"):
        written_out(uneven, images(1, 1, 3, 3))
