"""Videos of a source as models and protocols take them: several at a time, with their viewpoints."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenewise.data.contract import Source
    from scenewise.evaluation.request import EvaluationRequest
    from scenewise.models.contract import SceneModel

Batch = tuple[list[int], np.ndarray, np.ndarray]


def batches(request: EvaluationRequest, length: int) -> Iterator[Batch]:
    """Yield numbers of videos, frames, uint8 (B, T, C, H, W), and ids (B, T, H, W); warn of what becomes of frames.

    Args:
        request: What is to be scored.
        length: Frames of each video.
    """
    remark = None
    for first in range(0, request.videos, request.batch):
        indices = list(range(first, min(first + request.batch, request.videos)))
        pixels, ids = request.source.batch(indices, 0, length)
        if remark is None and request.model.remarks:
            remark = request.model.remark(torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255)
            if remark is not None:
                warnings.warn(f"{request.source.facts.origin}: {remark}", stacklevel=2)
        yield indices, pixels, ids


def viewpoints(
    model: SceneModel, source: Source, indices: Sequence[int], frames: int, frame_step: int = 1
) -> torch.Tensor | None:
    """Return the viewpoints of some scenes, shape (B, T, D), or None for models that take none.

    Args:
        model: Who is to explain them.
        source: Where from.
        indices: Which scenes.
        frames: Views of each from the first on.
        frame_step: Every how many views one is used.

    Raises:
        InputError: The source does not know its viewpoints.
    """
    if model.viewpoint_size is None:
        return None
    cameras = [source.viewpoints(i, 0, frames)[::frame_step] for i in indices]
    return torch.from_numpy(np.stack(cameras).astype(np.float32))
