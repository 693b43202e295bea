"""Decoders against the tables of IODINE's appendix C."""

import torch
from torch import nn

from scenewise.nn.decoders import BroadcastDecoder, DeconvDecoder


def outputs(decoder: nn.Module, vector: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the shape of what every layer gives, without the batch, in the order of running."""
    found: list[tuple[int, ...]] = []
    for layer in decoder.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, out: found.append(tuple(out.shape[1:])))
    decoder(vector)
    return found


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_deconvolution_decoder_is_the_papers_table_row_by_row() -> None:
    decoder = DeconvDecoder(64, 64, 3, (128, 128))
    assert outputs(decoder, torch.randn(2, 64)) == [
        (512,), (512,), (64, 16, 16), (64, 32, 32), (64, 64, 64), (64, 128, 128), (64, 128, 128), (4, 128, 128),
    ]  # fmt: skip
    assert parameters(decoder.mlp) == (64 * 512 + 512) + (512 * 512 + 512) == 295_936
    convolution = 64 * 64 * 25 + 64
    assert parameters(decoder.hidden) == (8 * 64 * 25 + 64) + 4 * convolution
    assert parameters(decoder.output) == 64 * 4 * 25 + 4
    assert all(layer.kernel_size == (5, 5) for layer in [*decoder.hidden, decoder.output])
    assert [layer.stride[0] for layer in [*decoder.hidden, decoder.output]] == [2, 2, 2, 2, 1, 1]


def test_the_512_units_are_8_channels_of_8_by_8_and_every_layer_but_the_last_has_an_elu() -> None:
    torch.manual_seed(0)
    decoder = DeconvDecoder(64, 8, 3, (128, 128)).double()
    vector = 3 * torch.randn(2, 64).double()
    first, second = decoder.mlp
    x = nn.functional.elu(vector @ first.weight.T + first.bias)
    x = nn.functional.elu(x @ second.weight.T + second.bias).reshape(2, 8, 8, 8)
    for layer in decoder.hidden:
        x = nn.functional.elu(layer(x))
    x = decoder.output(x)
    means, logits = decoder(vector)
    torch.testing.assert_close(torch.cat([means, logits], 1), x)


def test_deconvolution_decoder_draws_other_sizes() -> None:
    means, logits = DeconvDecoder(5, 4, 1, (32, 48))(torch.randn(2, 5))
    assert means.shape == logits.shape == (2, 1, 32, 48)


def test_broadcast_decoder_has_the_papers_parameters() -> None:
    decoder = BroadcastDecoder(64, 64, 4, 3, (128, 128))
    convolution = 64 * 9 * 64 + 64
    assert parameters(decoder) == (66 * 9 * 64 + 64) + 3 * convolution + (64 * 9 * 4 + 4)
