"""Recurrent cells that run side by side in K slots, with layer norm of what they give (R-NEM; rnem.md 4).

Each takes what a slot saw, (B, K, inputs), and the slots' state by name, and returns the new state: "hidden", which is
carried on, and "latent", which is drawn. R-NEM's cells carry sigmoid(a) and draw sigmoid(norm(a)).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.nn.normed import EPSILON, vector_norm

CarriedState = Literal["raw", "normalised"]
"""What is carried on: without layer norm, as in R-NEM's code, or what is drawn."""


class PlainCell(nn.Module):
    """a = W [u; theta] + b: slots do not see each other (RNN-EM).

    Args:
        inputs: Size of u, what a slot saw.
        hidden: Size of theta, its state.
        carry: A `CarriedState`.
    """

    def __init__(self, inputs: int, hidden: int, carry: str = "raw") -> None:
        super().__init__()
        self.linear, self.norm, self.carry = nn.Linear(inputs + hidden, hidden), vector_norm(hidden), carry

    def forward(self, inputs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take u (B, K, inputs) and the state; return the new one, each (B, K, hidden)."""
        raw = self.raw(inputs, state["hidden"])
        latent = self.norm(raw).sigmoid()
        return {"hidden": raw.sigmoid() if self.carry == "raw" else latent, "latent": latent}

    def raw(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return a."""
        return self.linear(torch.cat([inputs, hidden], -1))


class RelationalCell(PlainCell):
    """Every slot is moved by the effects of all others on it, weighed by attention (R-NEM).

    Args:
        inputs: Size of u.
        hidden: Size of theta and of all layers.
        carry: A `CarriedState`.
        attention: Width of the attention's layer; 0 for effects that count alike.
    """

    def __init__(self, inputs: int, hidden: int, carry: str = "raw", attention: int = 100) -> None:
        super().__init__(inputs + hidden, hidden, carry)
        self.hidden = hidden
        self.encode, self.encode_norm = nn.Linear(hidden, hidden), vector_norm(hidden)
        self.core, self.core_norm = nn.Linear(2 * hidden, hidden), vector_norm(hidden)
        self.effect, self.effect_norm = nn.Linear(hidden, hidden), vector_norm(hidden)
        self.attend: nn.Module | None = None
        if attention:
            gate = (nn.Linear(hidden, attention), vector_norm(attention), nn.Tanh(), nn.Linear(attention, 1))
            self.attend = nn.Sequential(*gate)

    def raw(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """Return a: the encoded state, the sum of effects, and u."""
        encoded = self.encode_norm(self.encode(hidden)).relu()
        core = self._core(encoded)
        effects = self.effect_norm(self.effect(core)).relu()
        if self.attend is not None:
            effects = effects * self.attend(core).sigmoid()
        others = 1 - torch.eye(hidden.shape[1], device=hidden.device, dtype=hidden.dtype)
        total = (effects * others.unsqueeze(-1)).sum(2)
        return self.linear(torch.cat([encoded, total, inputs], -1))

    def attention(self, hidden: Tensor) -> Tensor:
        """Return how much slot k heeds slot j != k, in (0, 1), shape (B, K, K - 1); 1 where there is no attention."""
        slots = hidden.shape[1]
        core = self._core(self.encode_norm(self.encode(hidden)).relu())
        gate = torch.ones_like(core[..., :1]) if self.attend is None else self.attend(core).sigmoid()
        others = ~torch.eye(slots, dtype=torch.bool, device=hidden.device)
        return gate.squeeze(-1)[:, others].unflatten(1, (slots, slots - 1))

    def _core(self, encoded: Tensor) -> Tensor:
        """Return q_kj of all ordered pairs, k = j among them, shape (B, K, K, hidden); the focus k comes first."""
        focus = functional.linear(encoded, self.core.weight[:, : self.hidden], self.core.bias)
        context = functional.linear(encoded, self.core.weight[:, self.hidden :])
        return self.core_norm(focus.unsqueeze(2) + context.unsqueeze(1)).relu()


class NormedLSTM(nn.Module):
    """An LSTM with layer norm of its gates and of its new cell; the forget gate has a bias of 1 (Ba et al. 2016).

    Args:
        inputs: Size of what a slot saw.
        hidden: Size of its states.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs + hidden, 4 * hidden, bias=False)
        self.gates = nn.ModuleList(nn.LayerNorm(hidden, eps=EPSILON) for _ in range(4))
        self.norm = vector_norm(hidden)

    def forward(self, inputs: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take (B, K, inputs) and the state with "cell"; return the new one, each (B, K, hidden)."""
        parts = self.linear(torch.cat([inputs, state["hidden"]], -1)).chunk(4, -1)
        write, new, keep, show = (norm(part) for norm, part in zip(self.gates, parts, strict=True))
        cell = state["cell"] * (keep + 1).sigmoid() + write.sigmoid() * new.tanh()
        cell = self.norm(cell)
        hidden = cell.tanh() * show.sigmoid()
        return {"hidden": hidden, "latent": hidden, "cell": cell}
