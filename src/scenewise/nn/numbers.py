"""Single numbers of a model that are saved with its weights, and read without waiting for a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Numbers(nn.Module):
    """A module with numbers that training moves, such as the step that its schedules have come to.

    Each is a buffer, so that it travels with the weights, and has a copy on the host: reading a buffer makes the host
    wait for all that a GPU still has to do, in every frame of every step.
    """

    _on_host: dict[str, float]
    live_numbers: dict[str, Tensor] | None = None
    """Where training steps are replayed from captured graphs: the numbers of `schedule` as tensors that graphs read."""

    def add_number(self, name: str, value: float) -> None:
        """Add a number as the buffer `name`; a whole number stays one."""
        if "_on_host" not in vars(self):
            self._on_host = {}
        self.register_buffer(name, torch.tensor(value))
        self._on_host[name] = _rounded(value, self.get_buffer(name).dtype)

    def number(self, name: str) -> float:
        """Return a number."""
        if name not in self._on_host:
            self._on_host[name] = self.get_buffer(name).item()
        return self._on_host[name]

    def set_number(self, name: str, value: float) -> None:
        """Set a number."""
        self.get_buffer(name).fill_(value)
        self._on_host[name] = _rounded(value, self.get_buffer(name).dtype)

    def schedule(self) -> dict[str, float]:
        """Return the numbers that move from step to step and that a training step computes with, by name."""
        return {}

    def live(self, name: str) -> float | Tensor:
        """Return a number of `schedule`, as a tensor where captured graphs read it.

        A captured graph repeats what was computed with a plain number; a tensor may change in between, see
        `write_live`.
        """
        return self.schedule()[name] if self.live_numbers is None else self.live_numbers[name]

    def write_live(self, device: torch.device) -> None:
        """Write the numbers of `schedule` into the tensors that captured graphs read."""
        if self.live_numbers is None:
            self.live_numbers = {name: torch.zeros((), device=device) for name in self.schedule()}
        for name, value in self.schedule().items():
            self.live_numbers[name].fill_(value)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        vars(self).get("_on_host", {}).clear()  # they are read again when they are next asked for


def _rounded(value: float, dtype: torch.dtype) -> float:
    """Return a number as a buffer holds it."""
    number: float = torch.tensor(value, dtype=dtype, device="cpu").item()
    return number
