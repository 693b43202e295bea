"""Layer-normed encoder and decoder against plain layers."""

import pytest
import torch
from torch.nn import functional

from scenewise.nn.normed import EnlargingConv2d, NormedDecoder, NormedEncoder, map_norm, xavier_


@pytest.mark.parametrize("size", [(5, 6), (1, 1), (8, 3)])
def test_enlarging_convolution_is_repetition_and_a_padded_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer, x = EnlargingConv2d(3, 2), torch.randn(2, 3, *size)
    torch.nn.init.normal_(layer.bias)
    large = functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = functional.conv2d(functional.pad(large, (1, 2, 1, 2)), layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_maps_are_normed_over_channels_and_pixels_with_gain_per_channel() -> None:
    x, norm = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)), map_norm(3)
    torch.nn.init.normal_(norm.weight)
    flat = x.flatten(1)
    expected = (flat - flat.mean(1, keepdim=True)) / flat.var(1, unbiased=False, keepdim=True).sqrt()
    torch.testing.assert_close(norm(x), expected.view_as(x) * norm.weight.view(3, 1, 1), rtol=1e-4, atol=1e-5)


def test_sizes_and_range() -> None:
    encoder, decoder = NormedEncoder(2, (4, 8), 16, (8, 12)), NormedDecoder(6, 16, (4, 8), 2, (8, 12))
    assert encoder(torch.rand(3, 2, 8, 12)).shape == (3, 16)
    drawn = decoder(torch.randn(3, 6)).detach()
    assert drawn.shape == (3, 2, 8, 12)
    assert 0 < float(drawn.min()) <= float(drawn.max()) < 1


def test_xavier_bounds_and_zero_biases() -> None:
    layer = torch.nn.Linear(30, 20)
    xavier_(layer)
    assert float(layer.weight.abs().max()) <= (6 / 50) ** 0.5
    assert float(layer.weight.std()) == pytest.approx((2 / 50) ** 0.5, rel=0.1)
    assert not layer.bias.any()
