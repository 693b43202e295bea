"""Training of small models on what they see over and over."""

import torch

from scenewise.models.contract import SceneModel
from scenewise.observation import Observation


def overfit(model: SceneModel, seen: Observation, rate: float = 3e-3, steps: int = 200) -> dict[str, list[float]]:
    """Train with Adam, step i with seed i; return loss and terms of every step by name, means over the batch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    found: dict[str, list[float]] = {}
    for step in range(steps):
        terms = model(seen, seed=step).terms
        loss = model.loss(terms).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, value in {**terms, "loss": loss}.items():
            found.setdefault(name, []).append(value.mean().item())
    return found
