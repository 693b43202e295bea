"""The refinement network: from what a step found to an update of the posterior."""

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
