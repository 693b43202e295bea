"""Encoders by their settings, and the cells of refinement networks."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from scenewise.errors import InputError
from scenewise.nn.gated import GatedSettings
from scenewise.nn.refiner import (
    EncoderKind,
    EncoderSettings,
    FlatEncoder,
    GravesLSTM2d,
    LambdaLSTM2d,
    PooledEncoder,
    StridedEncoder,
    make_encoder,
)
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


def test_lambda_cell_is_an_lstm_when_the_gate_is_shut() -> None:
    hidden = 6
    cell = LambdaLSTM2d(4, hidden)
    with torch.no_grad():
        cell.by_input.bias[3 * hidden : 4 * hidden] = -1e4  # l = 0
    reference = nn.LSTMCell(4, hidden)
    order = [0, 1, 4, 2]  # i, f, candidate, o
    rows = torch.cat([torch.arange(hidden) + b * hidden for b in order])
    with torch.no_grad():
        reference.weight_ih.copy_(cell.by_input.weight[rows])
        reference.weight_hh.copy_(cell.by_refinement.weight[rows])
        reference.bias_ih.copy_(cell.by_input.bias[rows] + cell.by_time.bias[rows])
        reference.bias_hh.copy_(cell.by_refinement.bias[rows])
    u, h, c = torch.randn(3, 4), torch.randn(3, hidden), torch.randn(3, hidden)
    found = cell(u, (torch.zeros(3, hidden), torch.randn(3, hidden)), (h, c))
    torch.testing.assert_close(found, reference(u, (h, c)))


def test_graves_cell_forgets_each_axis_by_its_own_gate() -> None:
    cell = GravesLSTM2d(2, 3)
    with torch.no_grad():
        cell.by_input.bias[:3] = -1e4  # nothing enters
        cell.by_input.bias[3:6] = -1e4  # refinement forgotten
        cell.by_input.bias[9:12] = 1e4  # time kept
    time, refinement = torch.randn(1, 3), torch.randn(1, 3)
    zero = torch.zeros(1, 3)
    torch.testing.assert_close(cell(torch.zeros(1, 2), (zero, time), (zero, refinement))[1], time)


def test_graves_cell_is_the_papers_formula() -> None:
    """Graves et al. 2007: every gate sees the input and both neighbours; each neighbour's cell has its forget gate."""
    torch.manual_seed(1)
    cell = GravesLSTM2d(4, 3).double()
    u, h_t, c_t, h_r, c_r = (torch.randn(2, n).double() for n in (4, 3, 3, 3, 3))
    parts = ((cell.by_input, u), (cell.by_time, h_t), (cell.by_refinement, h_r))
    a = sum((x @ layer.weight.T + layer.bias).detach().numpy() for layer, x in parts)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    enter, forget_refinement, leave, forget_time, candidate = (a[:, 3 * block : 3 * block + 3] for block in range(5))
    c = sigmoid(forget_time) * c_t.numpy() + sigmoid(forget_refinement) * c_r.numpy()
    c = c + sigmoid(enter) * np.tanh(candidate)
    found = cell(u, (h_t, c_t), (h_r, c_r))
    np.testing.assert_allclose(found[1].detach().numpy(), c, rtol=1e-12)
    np.testing.assert_allclose(found[0].detach().numpy(), sigmoid(leave) * np.tanh(c), rtol=1e-12)
