"""MONet's encoder and decoder of one slot against the plain convolutions of the specification."""

import pytest
import torch
from torch.nn import functional

from scenewise.nn.layers import coordinates
from scenewise.nn.slot_autoencoder import MaskedMeansEncoder, SlotEncoder, UnpaddedBroadcastDecoder


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
    net = SlotEncoder(3, 1, 32, (64, 64), activation=activation, padding=padding).double()
    assert net.hidden.in_features == 64 * places
    image, masks = torch.rand(2, 3, 64, 64).double(), torch.randn(2, 3, 1, 64, 64).double()
    activate = getattr(functional, activation)
    x = torch.cat([image.unsqueeze(1).expand(-1, 3, -1, -1, -1), masks], 2).flatten(0, 1)
    for layer in [net.first, *net.rest]:
        x = activate(functional.conv2d(x, layer.weight, layer.bias, 2, padding))
    expected = net.output(activate(net.hidden(x.flatten(1))))
    torch.testing.assert_close(net(image, masks), expected)


def test_means_under_masks_know_colour_place_and_area() -> None:
    """The MLP is given the mean colour and place of what a mask shows, whatever lies outside."""
    torch.manual_seed(0)
    net, seen = MaskedMeansEncoder(3, 6, (16, 16), widths=(4,), hidden=8).double(), []
    net.hidden.register_forward_hook(lambda *args: seen.append(args[1][0]))
    image, log_masks = torch.rand(1, 3, 16, 16).double(), torch.full((1, 2, 1, 16, 16), -60.0).double()
    image[:, :, 4:8, 10:12] = torch.tensor([0.2, 0.4, 0.9]).double()[:, None, None]
    log_masks[:, 0, :, 4:8, 10:12] = 0
    assert net(image, log_masks).shape == (2, 6)
    colour, place, area = seen[0][0, 4:7], seen[0][0, 7:9], seen[0][0, -1]
    torch.testing.assert_close(colour, torch.tensor([0.2, 0.4, 0.9]).double())
    torch.testing.assert_close(place, torch.tensor([5 / 7 * 2 - 1, 2.5 / 7 * 2 - 1]).double(), rtol=1e-5, atol=1e-5)
    assert area.exp().item() == pytest.approx(2)  # of 8 x 8 places at half the size
    assert seen[0].isfinite().all()


@pytest.mark.parametrize("groups", [0, 4])
def test_encoders_learn_in_all_their_parts(groups: int) -> None:
    image, masks = torch.rand(2, 3, 16, 16), torch.randn(2, 2, 1, 16, 16).log_softmax(1)
    for net in (
        SlotEncoder(3, 1, 6, (16, 16), widths=(8, 8), groups=groups),
        MaskedMeansEncoder(3, 6, (16, 16), widths=(8, 8), groups=groups),
    ):
        net(image, masks).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
