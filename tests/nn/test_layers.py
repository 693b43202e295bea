"""Layers that two or more models share."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from scenewise.nn.layers import (
    BroadcastConv2d,
    SlotConv2d,
    WholeConv2d,
    WholeConvTranspose2d,
    coordinates,
    normalise,
    pooled,
    pooling_as_one,
    shuffled,
)


def test_slot_convolution_equals_the_convolution_of_the_concatenation() -> None:
    split = SlotConv2d(3, 5, 7, stride=2)
    whole = nn.Conv2d(8, 7, 3, stride=2, padding=1)
    whole.load_state_dict(split.state_dict())
    shared, per_slot = torch.randn(2, 3, 9, 8), torch.randn(2, 4, 5, 9, 8)
    together = torch.cat([shared.unsqueeze(1).expand(-1, 4, -1, -1, -1), per_slot], 2).flatten(0, 1)
    torch.testing.assert_close(split(shared, per_slot), whole(together).unflatten(0, (2, 4)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_of_the_whole_map_is_one_product_per_output(bias: bool, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    down, up = WholeConv2d(6, 5, (3, 4), bias=bias), WholeConvTranspose2d(5, 6, (3, 4), bias=bias)
    plain = nn.Conv2d(6, 5, (3, 4), bias=bias), nn.ConvTranspose2d(5, 6, (3, 4), bias=bias)
    for layer, other in zip((down, up), plain, strict=True):
        assert {k: v.shape for k, v in layer.state_dict().items()} == {
            k: v.shape for k, v in other.state_dict().items()
        }
    x = torch.randn(2, 6, 3, 4).contiguous(memory_format=layout).requires_grad_()
    code = down(x)
    b, c = (down.bias, up.bias) if bias else (torch.zeros(5), torch.zeros(6))
    expected = torch.einsum("nchw,ochw->no", x, down.weight) + b
    torch.testing.assert_close(code, expected[:, :, None, None], rtol=1e-5, atol=1e-5)
    drawn = torch.einsum("no,ochw->nchw", code.flatten(1), up.weight) + c[:, None, None]
    torch.testing.assert_close(up(code), drawn, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(code.sum(), x)
    torch.testing.assert_close(gradient, down.weight.sum(0).expand(2, -1, -1, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("factor", [2, 4])
def test_pixels_are_shuffled_into_blocks_and_planes_are_whole(graph: bool, factor: int) -> None:
    x = torch.randn(2, 3 * factor**2, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_(graph)
    found = shuffled(x, factor)
    assert found.is_contiguous()
    for row, column in ((0, 0), (7, 5), (5 * factor - 1, 4 * factor - 1)):
        channel = (row % factor) * factor + column % factor
        expected = x[:, channel :: factor**2, row // factor, column // factor]
        torch.testing.assert_close(found[:, :, row, column], expected, rtol=0, atol=0)


def test_coordinates_reach_both_ends() -> None:
    grid = coordinates(4, 6)
    assert grid.shape == (2, 4, 6)
    assert (grid[0, 0, 0], grid[0, 0, -1], grid[1, -1, 0]) == (-1, 1, 1)
    assert torch.equal(coordinates(1, 1), torch.zeros(2, 1, 1))


def test_normalise_keeps_a_zero_gradient_zero() -> None:
    assert torch.equal(normalise(torch.zeros(2, 3, 4, 4), 3), torch.zeros(2, 3, 4, 4))
    x = normalise(torch.randn(2, 3, 4, 4) * 5 + 2, 3)
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)


def whole(layer: BroadcastConv2d, vector: torch.Tensor) -> torch.Tensor:
    repeated = vector[:, :, None, None].expand(-1, -1, *layer.size)
    images = torch.cat([repeated, layer.grid.expand(len(vector), -1, -1, -1)], 1)
    return functional.elu(functional.conv2d(images, layer.weight, layer.bias, padding=layer.kernel // 2))


@pytest.mark.parametrize("size", [(8, 8), (9, 17), (35, 35), (64, 64), (4, 5)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_collapsed_convolution_equals_the_whole_one(kernel: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = BroadcastConv2d(6, 4, kernel, size).double()
    vector = (3 * torch.randn(2, 6).double()).requires_grad_()
    weighing = torch.randn(2, 4, *size).double()
    found, expected = layer(vector), whole(layer, vector)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    inputs = (vector, layer.weight, layer.bias)
    pairs = (torch.autograd.grad((out * weighing).sum(), inputs) for out in (found, expected))
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())


@pytest.mark.parametrize("kernel", [3, 5])
def test_saturated_units_and_large_vectors_stay_exact(kernel: int) -> None:
    """ELU of -1e4 is -1, that of 1e4 the identity: nothing overflows and gradients are those of the whole one."""
    torch.manual_seed(0)
    layer = BroadcastConv2d(3, 4, kernel, (8, 7)).double()
    vector = (1e4 * torch.randn(2, 3).double()).requires_grad_()
    found, expected = layer(vector), whole(layer, vector)
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    a, b = (torch.autograd.grad(out.sum(), vector)[0] for out in (found, expected))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 2, 3, 5, 7)])
def test_pooling_is_the_same_as_one_operation(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with pooling_as_one():
        one = pooled(x, 2)
    torch.testing.assert_close(one, pooled(x, 2), rtol=1e-6, atol=1e-6)
