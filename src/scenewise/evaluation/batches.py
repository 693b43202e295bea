"""Videos of a source as models and protocols take them: several at a time, with their viewpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scenewise.data.contract import Source
    from scenewise.models.contract import SceneModel

Batch = tuple[list[int], np.ndarray, np.ndarray]


def batches(source: Source, count: int, length: int, batch: int) -> Iterator[Batch]:
    """Yield numbers of videos, frames, uint8 (B, T, C, H, W), and ids (B, T, H, W)."""
    for first in range(0, count, batch):
        indices = list(range(first, min(first + batch, count)))
        yield indices, *source.batch(indices, 0, length)


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
