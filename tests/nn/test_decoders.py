"""Decoders against the tables of IODINE's appendix C."""

from typing import get_args

import pytest
import torch
from torch import nn

from scenewise.errors import InputError
from scenewise.nn.decoders import (
    BroadcastDecoder,
    DecoderKind,
    DecoderSettings,
    DeconvDecoder,
    make_decoder,
    make_slot_decoder,
)


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


@pytest.mark.parametrize("kind", get_args(DecoderKind))
@pytest.mark.parametrize("colours", [1, 3])
def test_every_kind_draws_colours_and_a_logit_or_colours_alone(kind: str, colours: int) -> None:
    settings = DecoderSettings(kind, 8)
    appearance, logit = make_decoder(settings, 5, colours, (16, 32))(torch.randn(2, 5))
    assert appearance.shape == (2, colours, 16, 32)
    assert logit.shape == (2, 1, 16, 32)
    parts = make_decoder(settings, 5, colours, (16, 32), logit=False)(torch.randn(2, 5))
    assert torch.cat(parts, 1).shape == (2, colours, 16, 32)


def test_widths_are_one_number_for_all_or_one_each() -> None:
    def convolutions(channels: int | tuple[int, ...]) -> list[int]:
        decoder = make_decoder(DecoderSettings("unpadded", channels), 5, 3, (16, 16))
        return [layer.out_channels for layer in decoder.modules() if isinstance(layer, nn.Conv2d)][:-1]

    assert sorted(convolutions(8)) == [8, 8, 8, 8]
    assert sorted(convolutions((8, 4, 12))) == [4, 8, 12]
    assert DecoderSettings(channels=(8, 4)).width == 8
    conditioned = make_slot_decoder(DecoderSettings("coarse", (12,)), 5, 3, (16, 16), condition=7)
    assert parameters(conditioned.condition) == (5 + 7) * 12 + 12 + 12 * 12 + 12


def test_slots_of_one_colour_are_drawn_between_0_and_1_without_another_activation() -> None:
    torch.manual_seed(0)
    decoder = make_slot_decoder(DecoderSettings("coarse", 8, colour="flat"), 5, 3, (16, 16))
    means, _ = decoder(latent := 9 * torch.randn(1, 4, 5), latent[..., :0])
    assert torch.equal(means, means[..., :1, :1].expand_as(means))
    assert means.min() < 0.3  # a sigmoid of a sigmoid would stay above a half
    with pytest.raises(InputError, match="flat"):
        make_decoder(DecoderSettings("coarse", 8, colour="flat"), 5, 3, (16, 16), logit=False)


def test_widths_and_sizes_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match="divisible by groups = 3; found 8"):
        DecoderSettings("coarse", 8, groups=3)
    DecoderSettings("broadcast", 8, groups=3)  # which has no groups
    with pytest.raises(InputError, match="at least one"):
        DecoderSettings("unpadded", ())
    with pytest.raises(InputError, match="divisible by 16; found 32 x 24"):
        DecoderSettings("deconv").check_size((32, 24))
