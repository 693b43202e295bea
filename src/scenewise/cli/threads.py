"""How many threads of the CPU a model is worth."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewise.decompose import Decomposer

WORTH_SHARING = 2e9
"""Operations of one frame from which on a second thread gains more than waking it costs, measured on two cores."""


def choose(decomposer: Decomposer) -> None:
    """Use one thread for a small model on a CPU: its operations are over before a second thread has begun.

    Whoever sets `OMP_NUM_THREADS` is obeyed. The choice follows the model's work, not the clock, so that the same
    command gives the same bytes again.
    """
    import torch

    from scenewise.bench.calls import Recorder

    if decomposer.device.type != "cpu" or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return
    blank = torch.zeros(1, *decomposer.frame_shape)
    recorder = Recorder()
    with recorder.recording():
        decomposer.step(blank)
    if recorder.flops < WORTH_SHARING:
        torch.set_num_threads(1)
