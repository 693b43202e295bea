"""Blocks two or more models share."""

import numpy as np
import pytest
import torch
from torch import nn

from scenewise.errors import InputError
from scenewise.nn.encoders import FlatEncoder, PooledEncoder, StridedEncoder
from scenewise.nn.layers import SlotConv2d, coordinates, normalise
from scenewise.nn.refiner import GravesLSTM2d, LambdaLSTM2d
from scenewise.nn.squeeze import SqueezeFeatures


def test_slot_convolution_equals_the_convolution_of_the_concatenation() -> None:
    split = SlotConv2d(3, 5, 7, stride=2)
    whole = nn.Conv2d(8, 7, 3, stride=2, padding=1)
    whole.load_state_dict(split.state_dict())
    shared, per_slot = torch.randn(2, 3, 9, 8), torch.randn(2, 4, 5, 9, 8)
    together = torch.cat([shared.unsqueeze(1).expand(-1, 4, -1, -1, -1), per_slot], 2).flatten(0, 1)
    torch.testing.assert_close(split(shared, per_slot), whole(together).unflatten(0, (2, 4)), rtol=1e-4, atol=1e-5)


def test_coordinates_reach_both_ends() -> None:
    grid = coordinates(4, 6)
    assert grid.shape == (2, 4, 6)
    assert (grid[0, 0, 0], grid[0, 0, -1], grid[1, -1, 0]) == (-1, 1, 1)
    assert torch.equal(coordinates(1, 1), torch.zeros(2, 1, 1))


def test_normalise_keeps_a_zero_gradient_zero() -> None:
    assert torch.equal(normalise(torch.zeros(2, 3, 4, 4), 3), torch.zeros(2, 3, 4, 4))
    x = normalise(torch.randn(2, 3, 4, 4) * 5 + 2, 3)
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("encoder", [FlatEncoder(3, 5, 8, 6, (16, 24)), StridedEncoder(3, 5, 8, 4, 6, (16, 24))])
def test_encoders_give_one_code_per_slot(encoder: nn.Module) -> None:
    assert encoder(torch.randn(2, 3, 16, 24), torch.randn(2, 4, 5, 16, 24)).shape == (8, 6)


def test_pooled_encoder_takes_any_size() -> None:
    encoder = PooledEncoder(3, 5, 8, 6, layers=3, mlp=(7,))
    for size in ((16, 16), (35, 21)):
        assert encoder(torch.randn(1, 3, *size), torch.randn(1, 2, 5, *size)).shape == (2, 6)


def test_squeeze_features_have_the_published_sizes_and_stay_frozen() -> None:
    net = SqueezeFeatures()
    assert sum(p.numel() for p in net.features.parameters()) == 25_632
    assert sum(p.numel() for p in net.head.parameters()) == 96_880
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, 16, 64, 64)
    assert not any(p.requires_grad for p in net.features.parameters())
    weights = {k: torch.ones_like(v) for k, v in net.features.state_dict(prefix="features.").items()}
    net.load_pretrained(weights | {"classifier.1.weight": torch.zeros(1)})
    assert all(bool((p == 1).all()) for p in net.features.parameters())
    with pytest.raises(InputError, match=r"features\.0\.weight"):
        net.load_pretrained({})
