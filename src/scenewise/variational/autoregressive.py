"""Priors over slots that know slots before them (GENESIS, GENESIS-V2; monet_genesis.md 2.1, 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from scenewise.variational.gaussian import Gaussian


def prior_gaussian(raw: Tensor) -> Gaussian:
    """Return the prior that a network's output (..., 2Z) stands for: mean tanh, std sigmoid(raw + 4) + 1e-4.

    Its standard deviation starts near 1 and cannot fall to 0.
    """
    mean, rest = raw.float().chunk(2, -1)
    return Gaussian(mean.tanh(), 2 * ((rest + 4).sigmoid() + 1e-4).log())


class AutoregressivePrior(nn.Module):
    """p(z_1) = N(0, 1); p(z_k | z_<k) by an LSTM over the latents before it and a linear map.

    Args:
        latent: Z.
        hidden: Size of the LSTM's state.
    """

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(latent, hidden)
        self.linear = nn.Linear(hidden, 2 * latent)

    def forward(self, latents: Tensor) -> Gaussian:
        """Return p of each slot of latents (N, K, Z) given those before it, each part (N, K, Z)."""
        gaussians, state = [Gaussian.standard(latents[:, 0])], None
        for latent in latents.unbind(1)[:-1]:
            part, state = self._next(latent, state)
            gaussians.append(part)
        return Gaussian(*(torch.stack(parts, 1) for parts in zip(*gaussians, strict=True)))

    def draw(self, noise: Tensor) -> Tensor:
        """Turn standard normal noise (N, K, Z) into latents of the same shape, slot after slot."""
        latents, state = [noise[:, 0]], None
        for eps in noise.unbind(1)[1:]:
            part, state = self._next(latents[-1], state)
            latents.append(part.sample(eps))
        return torch.stack(latents, 1)

    def _next(self, latent: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Gaussian, tuple[Tensor, Tensor]]:
        state = self.cell(latent, state)
        return prior_gaussian(self.linear(state[0])), state


class ConditionalPrior(nn.Module):
    """p(z^c | z^m) of one slot's second latent given its first: two hidden layers with ELU.

    Args:
        condition: Size of the first latent.
        latent: Size of the second.
        hidden: Width of the hidden layers.
    """

    def __init__(self, condition: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(condition, hidden), nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, 2 * latent)

    def forward(self, first: Tensor) -> Gaussian:
        """Take the first latent (..., condition); return p, each part (..., latent)."""
        x = functional.elu(self.second(functional.elu(self.first(first))))
        return prior_gaussian(self.output(x))
