"""MONet's encoder and decoder of one slot against the plain convolutions of the specification."""

import pytest
import torch
from torch.nn import functional

from scenewise.nn.components import ComponentEncoder, UnpaddedBroadcastDecoder
from scenewise.nn.layers import coordinates


def drawn(net: UnpaddedBroadcastDecoder, vector: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Broadcast to (H + 8) x (W + 8), append coordinates, convolve without padding."""
    activate = getattr(functional, net.activation)
    height, width = size[0] + 8, size[1] + 8
    grid = coordinates(height, width).to(vector.dtype).expand(len(vector), -1, -1, -1)
    x = torch.cat([vector[:, :, None, None].expand(-1, -1, height, width), grid], 1)
    for layer in [net.first, *net.rest]:
        x = activate(functional.conv2d(x, layer.weight, layer.bias))
    return net.output(x)


@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize("size", [(8, 8), (13, 6)])
def test_collapsed_decoder_equals_the_whole_one(activation: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = UnpaddedBroadcastDecoder(5, 3, size, widths=(4, 6, 4, 7), activation=activation).double()
    vector = (3 * torch.randn(2, 5).double()).requires_grad_()
    found, expected = torch.cat(net(vector), 1), drawn(net, vector, size)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weighing = torch.randn_like(found)
    inputs = (vector, *net.parameters())
    pairs = (torch.autograd.grad((out * weighing).sum(), inputs) for out in (found, expected))
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_decoder_without_a_logit() -> None:
    means, logits = UnpaddedBroadcastDecoder(4, 3, (16, 16), logit=False)(torch.randn(2, 4))
    assert means.shape == (2, 3, 16, 16)
    assert logits.shape == (2, 0, 16, 16)


@pytest.mark.parametrize("activation", ["relu", "elu"])
@pytest.mark.parametrize(("padding", "places"), [(1, 4 * 4), (0, 3 * 3)])
def test_encoder_equals_plain_convolutions(activation: str, padding: int, places: int) -> None:
    torch.manual_seed(0)
    net = ComponentEncoder(3, 1, 32, (64, 64), activation=activation, padding=padding).double()
    assert net.hidden.in_features == 64 * places
    image, masks = torch.rand(2, 3, 64, 64).double(), torch.randn(2, 3, 1, 64, 64).double()
    activate = getattr(functional, activation)
    x = torch.cat([image.unsqueeze(1).expand(-1, 3, -1, -1, -1), masks], 2).flatten(0, 1)
    for layer in [net.first, *net.rest]:
        x = activate(functional.conv2d(x, layer.weight, layer.bias, 2, padding))
    expected = net.output(activate(net.hidden(x.flatten(1))))
    torch.testing.assert_close(net(image, masks), expected)
