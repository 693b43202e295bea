"""Pictures of decompositions during training: input, masks, reconstruction, then every slot by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch

from scenewise.media.palette import SLOT_COLOURS
from scenewise.training.validation import clips, evaluating

if TYPE_CHECKING:
    from scenewise.decomposition import Decomposition
    from scenewise.models.contract import SceneModel
    from scenewise.training.plan import Plan

_VIDEOS, _FRAMES, _GAP, _SCALE = 4, 3, 2, 2


def panel(model: SceneModel, plan: Plan, device: torch.device) -> np.ndarray:
    """Return one picture of a few validation videos, uint8, shape (height, width, 3).

    Rows are frames spread over the clip, one video after another; columns are input, masks, reconstruction, slots.
    """
    count = min(_VIDEOS, len(plan.validation))
    shown = clips(model, plan.validation, range(count), plan.validation_frames, plan.recipe.training.frame_step)
    rows = []
    for observation in shown:
        with evaluating(model):
            made = model(observation.to(device), seed=1).decomposition
        rows += _rows(observation.frames, made)
    return np.kron(_grid(rows), np.ones((_SCALE, _SCALE, 1), np.uint8))


def png(image: np.ndarray) -> bytes:
    """Encode a picture."""
    from PIL import Image

    with io.BytesIO() as buffer:
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()


def _rows(frames: torch.Tensor, made: Decomposition) -> list[list[np.ndarray]]:
    colours = torch.tensor(SLOT_COLOURS, dtype=torch.float32).repeat(1 + made.slots // len(SLOT_COLOURS), 1) / 255
    masks, appearance = made.masks.cpu(), made.appearance.cpu()
    painted = torch.einsum("btkhw,kc->btchw", masks.squeeze(3), colours[: made.slots])
    slots = masks * appearance + (1 - masks)  # white where the slot owns nothing
    columns = [frames, painted, made.reconstruction.cpu(), *slots.unbind(2)]
    times = sorted({round(t) for t in np.linspace(0, frames.shape[1] - 1, _FRAMES)})
    return [[_tile(column[b, t]) for column in columns] for b in range(len(frames)) for t in times]


def _tile(image: torch.Tensor) -> np.ndarray:
    """Turn (C, H, W) in [0, 1] into uint8 (H, W, 3)."""
    rgb = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
    return (rgb.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    height, width, _ = rows[0][0].shape
    sheet = np.full((len(rows) * (height + _GAP), len(rows[0]) * (width + _GAP), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            sheet[y * (height + _GAP) :, x * (width + _GAP) :][:height, :width] = tile
    return sheet
