"""Gated layers: their sizes and their arithmetic."""

import pytest
import torch
from torch import nn

from scenewise.nn.gated import Gated, GatedDecoder, GatedEncoder

STRIDES = {32: (1, 2, 1, 2, 1), 64: (1, 2, 1, 2, 1), 128: (2, 2, 2, 1, 1)}


@pytest.mark.parametrize(("side", "last"), [(32, 8), (64, 16), (128, 16)])
def test_the_published_layers(side: int, last: int) -> None:
    encoder = GatedEncoder(3, 32, 256, (side, side), STRIDES[side], "batch")
    kernels = [layer.convolution.kernel_size for layer in encoder.layers]
    assert kernels == [(5, 5)] * 5 + [(last, last)]
    assert [layer.convolution.out_channels // 2 for layer in encoder.layers] == [32, 32, 64, 64, 64, 256]
    decoder = GatedDecoder(64, 32, 1, (side, side), STRIDES[side], "batch")
    assert [layer.convolution.out_channels // 2 for layer in decoder.layers] == [64, 64, 32, 32, 32, 32]
    assert [layer.convolution.stride[0] for layer in decoder.layers][1:] == list(STRIDES[side])[::-1]


@pytest.mark.parametrize("strides", [(1, 2, 1, 2, 1), (2, 2, 2, 1, 1), (1, 1, 1, 1, 1)])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_any_size_that_the_strides_divide_comes_back(strides: tuple[int, ...], norm: str) -> None:
    size = (16, 24)
    code = GatedEncoder(3, 4, 8, size, strides, norm)(torch.rand(2, 3, *size))
    assert code.shape == (2, 8)
    assert GatedDecoder(8, 4, 4, size, strides, norm)(code).shape == (2, 4, *size)


def test_the_first_half_is_gated_by_the_second() -> None:
    torch.manual_seed(0)
    layer = Gated(nn.Conv2d(2, 8, 1), "batch").eval()
    x = torch.randn(3, 2, 4, 4)
    both = layer.norm(layer.convolution(x))
    torch.testing.assert_close(layer(x), both[:, :4] * both[:, 4:].sigmoid())


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_without_a_graph_the_same_is_drawn_in_another_way(norm):
    torch.manual_seed(0)
    decoder = GatedDecoder(8, 4, 2, (16, 16), (1, 2, 1, 2, 1), norm)
    encoder = GatedEncoder(3, 4, 8, (16, 16), (1, 2, 1, 2, 1), norm)
    images, vectors = torch.rand(6, 3, 16, 16), torch.randn(6, 8)
    for _ in range(3):  # running means and variances of their own
        encoder(3 * images), decoder(vectors - 1)
    for module, x in ((encoder.eval(), images), (decoder.eval(), vectors)):
        before, expected = x.clone(), module(x)
        with torch.no_grad():
            drawn = module(x)
        torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
        assert bool((x == before).all())
