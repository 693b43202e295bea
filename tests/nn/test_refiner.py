"""The cells of refinement networks."""

import numpy as np
import torch
from torch import nn

from scenewise.nn.refiner import GravesLSTM2d, LambdaLSTM2d


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
