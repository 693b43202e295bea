"""The refinement network, from what a step found to an update of the posterior, and the LSTM cells it may have.

A cell has one predecessor, the last refinement, or two, the last frame besides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]


class Refiner(nn.Module):
    """Image inputs and (lambda, gradient by lambda) to an additive update of lambda, through an LSTM if there is one.

    Args:
        encoder: Takes shared and per-slot images, returns one code per slot.
        cell: Takes code and vectors, and the states of the last frame and of the last refinement; may be None.
        hidden: Size of the cell's states; without a cell, of code and vectors together.
        outputs: Size of lambda.
        bf16: Whether to encode in bfloat16.
    """

    def __init__(
        self, encoder: nn.Module, cell: nn.Module | None, hidden: int, outputs: int, bf16: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.cell, self.bf16 = encoder, cell, bf16
        self.update = nn.Linear(hidden, outputs)

    def forward(self, images: Pair, vectors: Tensor, time: Pair, refinement: Pair) -> tuple[Tensor, Pair]:
        """Return the update (B, K, outputs) and the new state, each (B, K, hidden)."""
        with torch.autocast(vectors.device.type, torch.bfloat16, enabled=self.bf16):
            code = self.encoder(*images)
        u = torch.cat([code.float().unflatten(0, vectors.shape[:2]), vectors], -1)
        if self.cell is None:
            return self.update(u), refinement
        state = self.cell(u, time, refinement)
        return self.update(state[0]), state


class LambdaLSTM2d(nn.Module):
    """The gated 2D cell: c = f (l c_T + (1 - l) c_R) + i c~, h = o tanh(c) (arXiv 1810.03975; provide.md 3).

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.by_input = nn.Linear(inputs, 5 * hidden)
        self.by_time = nn.Linear(hidden, 5 * hidden)
        self.by_refinement = nn.Linear(hidden, 5 * hidden)

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and two states (h, c) of (N, hidden); return the new (h, c)."""
        a = self.by_input(u) + self.by_time(time[0]) + self.by_refinement(refinement[0])
        i, f, o, gate, candidate = a.chunk(5, -1)
        gate = gate.sigmoid()
        c = f.sigmoid() * (gate * time[1] + (1 - gate) * refinement[1]) + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class GravesLSTM2d(LambdaLSTM2d):
    """The multi-dimensional LSTM with one forget gate per axis: c = f_T c_T + f_R c_R + i c~ (Graves et al. 2007).

    Without peepholes from cells to gates, of which PROVIDE's text says nothing.
    """

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and two states (h, c) of (N, hidden); return the new (h, c)."""
        a = self.by_input(u) + self.by_time(time[0]) + self.by_refinement(refinement[0])
        i, f_refinement, o, f_time, candidate = a.chunk(5, -1)
        memory = f_time.sigmoid() * time[1] + f_refinement.sigmoid() * refinement[1]
        c = memory + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class RefinementLSTM(nn.Module):
    """The plain LSTM along refinements (IODINE); the forget gate starts at 1, as in its public code.

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.by_input = nn.Linear(inputs, 4 * hidden)
        self.by_refinement = nn.Linear(hidden, 4 * hidden, bias=False)
        with torch.no_grad():
            self.by_input.bias[hidden : 2 * hidden] = 1.0

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs) and the last refinement's (h, c), each (N, hidden); `time` is not looked at."""
        i, f, o, candidate = (self.by_input(u) + self.by_refinement(refinement[0])).chunk(4, -1)
        c = f.sigmoid() * refinement[1] + i.sigmoid() * candidate.tanh()
        return o.sigmoid() * torch.tanh(c), c


class ViewLSTM(RefinementLSTM):
    """The LSTM along refinements that sees the viewpoint, and its products with all other inputs (ours).

    What an image shows of places is turned with its camera, which is linear in these products.

    Args:
        inputs: Size of the input u.
        hidden: Size of the states.
        viewpoint: D.
    """

    def __init__(self, inputs: int, hidden: int, viewpoint: int) -> None:
        super().__init__(inputs * (1 + viewpoint) + viewpoint, hidden)

    def forward(self, u: Tensor, time: Pair, refinement: Pair) -> Pair:
        """Take (N, inputs), the viewpoint (N, D) in place of `time`, and the last (h, c); return the new (h, c)."""
        viewpoint = time[0]
        products = (u.unsqueeze(-1) * viewpoint.unsqueeze(-2)).flatten(-2)
        return super().forward(torch.cat([u, viewpoint, products], -1), time, refinement)
