"""How many threads of the CPU a model is worth, and how threads share the interpreter."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from scenewise.decompose import Decomposer
    from scenewise.models.contract import SceneModel

WORTH_SHARING = 1e9
"""Operations of one frame's layers from which on a second thread gains more than waking it costs (on two cores)."""


TURN_S = 0.0005
"""Seconds after which a thread that computes in Python lets another go on; by default they are a quarter of a frame."""


def take_turns() -> None:
    """Let the model and the writers, who work on a thread of their own, wait less for each other."""
    sys.setswitchinterval(TURN_S)


def choose(decomposer: Decomposer) -> None:
    """Use one thread for a small model on a CPU: its operations are over before a second thread has begun.

    Whoever sets `OMP_NUM_THREADS` is obeyed. The choice follows the model's work, not the clock, so that the same
    command gives the same bytes again.
    """
    choose_for(decomposer.model, decomposer.device)


def choose_for(model: SceneModel, device: torch.device) -> None:
    """Choose as `choose` does, for a model that is trained or scored on a device."""
    import torch

    if device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return
    if work(model) < WORTH_SHARING:
        torch.set_num_threads(1)


def work(model: SceneModel) -> float:
    """Return the operations that the layers of a model spend on one frame, forward passes alone."""
    import torch

    from scenewise.observation import Observation

    counts = list[float]()
    frames = model.window
    cameras = None if model.viewpoint_size is None else torch.zeros(1, frames, model.viewpoint_size)
    blank = Observation(torch.zeros(1, frames, *model.frame_shape), None, cameras)

    def count(module: Any, _: Any, output: Any) -> None:
        counts.append(2.0 * output.numel() * module.weight[0].numel())

    layers = [m for m in model.modules() if getattr(getattr(m, "weight", None), "ndim", 0) > 1]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(blank, seed=0)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return sum(counts) / frames
