"""Encoders by their settings."""

from typing import get_args

import pytest
import torch
from torch import nn

from scenewise.errors import InputError
from scenewise.nn.encoders import EncoderKind, EncoderSettings, FlatEncoder, PooledEncoder, StridedEncoder, make_encoder
from scenewise.nn.gated import GatedSettings
from scenewise.nn.slot_autoencoder import SlotEncoderSettings, make_slot_encoder


@pytest.mark.parametrize("kind", get_args(EncoderKind))
@pytest.mark.parametrize("pooling", [1, 2])
def test_every_kind_gives_a_code_of_pooled_inputs(kind: str, pooling: int) -> None:
    settings = EncoderSettings(kind, 8, code=6, pooling=pooling)
    settings.check_size((64, 72))
    encoder = make_encoder(settings, 3, 5, (64, 72))
    size = (64 // pooling, 72 // pooling)
    assert settings.pooled_size((64, 72)) == size
    assert encoder(torch.randn(2, 3, *size), torch.randn(2, 4, 5, *size)).shape == (8, 6)


@pytest.mark.parametrize("kind", ["strided", "means"])
@pytest.mark.parametrize("groups", [0, 4])
def test_encoders_of_masked_slots_give_what_is_asked_for(kind: str, groups: int) -> None:
    settings = SlotEncoderSettings(kind, (8, 12), hidden=16, pooling=2, groups=groups)
    encoder = make_slot_encoder(settings, 3, 10, (32, 32))
    assert encoder(torch.rand(2, 3, 16, 16), torch.rand(2, 4, 1, 16, 16).log()).shape == (8, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncoderSettings("strided", 10), "divisible by groups = 4; found 10"),
        (lambda: EncoderSettings("unpadded", pooling=2).check_size((61, 80)), "31 or more after pooling"),
        (lambda: SlotEncoderSettings(channels=(8, 6), groups=4), r"divisible by groups = 4; found \[8, 6\]"),
        (lambda: SlotEncoderSettings(channels=()), "channels"),
        (lambda: GatedSettings(strides=(2, 2)), "needs 5 numbers"),
        (lambda: GatedSettings(6, norm="group"), "channels: must be divisible by 4"),
        (lambda: GatedSettings().check((18, 16), {}), "product of gated.strides, 4; found 18 x 16"),
        (lambda: GatedSettings(norm="group").check((16, 16), {"features": 6}), "features: must be divisible by 4"),
    ],
)
def test_widths_and_sizes_that_do_not_fit_are_told(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("encoder", [FlatEncoder(3, 5, 8, 6, (16, 24)), StridedEncoder(3, 5, 8, 4, 6, (16, 24))])
def test_encoders_give_one_code_per_slot(encoder: nn.Module) -> None:
    assert encoder(torch.randn(2, 3, 16, 24), torch.randn(2, 4, 5, 16, 24)).shape == (8, 6)


def test_pooled_encoder_takes_any_size() -> None:
    encoder = PooledEncoder(3, 5, 8, 6, layers=3, mlp=(7,))
    for size in ((16, 16), (35, 21)):
        assert encoder(torch.randn(1, 3, *size), torch.randn(1, 2, 5, *size)).shape == (2, 6)
