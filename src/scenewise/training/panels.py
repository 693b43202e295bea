"""Pictures of decompositions during training: input, masks, reconstruction, then every slot by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.media.contact_sheet import contact_sheet
from scenewise.media.palette import SLOT_COLOURS
from scenewise.training.validation import clips, evaluating

if TYPE_CHECKING:
    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan

_VIDEOS, _FRAMES = 4, 3


def panel(model: SceneModel, plan: Plan, device: torch.device) -> np.ndarray:
    """Return one picture of a few validation videos, uint8, shape (height, width, 3).

    Rows are frames spread over the clip, one video after another; columns are input, masks, reconstruction, slots.
    """
    count = min(_VIDEOS, len(plan.validation))
    observations = clips(model, plan.validation, range(count), plan.validation_frames, plan.recipe.training.frame_step)
    rows = []
    for observation in observations:
        with evaluating(model):
            decomposition = model(observation.to(device), seed=1).decomposition
        rows += _rows(observation.frames, decomposition)
    return contact_sheet(rows)


def _rows(frames: torch.Tensor, decomposition: Decomposition) -> list[list[np.ndarray]]:
    repeats = 1 + decomposition.slots // len(SLOT_COLOURS)
    colours = torch.tensor(SLOT_COLOURS, dtype=torch.float32).repeat(repeats, 1) / 255
    masks, appearance = decomposition.masks.cpu(), decomposition.appearance.cpu()
    painted = torch.einsum("btkhw,kc->btchw", masks.squeeze(3), colours[: decomposition.slots])
    slots = masks * appearance + (1 - masks)  # white where the slot owns nothing
    columns = [frames, painted, decomposition.reconstruction.cpu(), *slots.unbind(2)]
    times = sorted({round(t) for t in np.linspace(0, frames.shape[1] - 1, _FRAMES)})
    return [[column[b, t].permute(1, 2, 0).numpy() for column in columns] for b in range(len(frames)) for t in times]
