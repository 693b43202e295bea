"""Contact sheets: what a video, or several images of a source, look like, with their ids and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenewise.media.palette import voc_palette

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenewise.data.contract import Sample

_COLUMNS = 12  # frames or samples side by side
_SIDE = 128  # smaller frames are repeated pixel by pixel up to this
_MOST_OBJECTS = 12  # rows of single objects
_DIMMED = 5  # all but the object is that many times darker


def frames_and_ids(sample: Sample) -> np.ndarray:
    """Return frames spread over a video side by side, ids below them, uint8, shape (H', W', 3)."""
    return _sheet(_rows(_spread(sample)))


def with_objects(samples: Sequence[Sample], background: Sequence[int] = (0,)) -> np.ndarray:
    """Return a sheet of frames, ids and, below these, one row per object in which all else is dimmed.

    Args:
        samples: One video, of which frames spread over time are shown, or several images.
        background: Ids that are no objects.

    Returns:
        uint8, shape (H', W', 3).
    """
    if len(samples) == 1:
        parts = _spread(samples[0])
    else:
        parts = [(s.frames[0], None if s.ids is None else s.ids[0]) for s in samples[:_COLUMNS]]
    rows = _rows(parts)
    ids = [truth for _, truth in parts if truth is not None]
    if len(ids) == len(parts):
        ids_present = np.unique(np.concatenate([truth.ravel() for truth in ids]))
        objects = [int(n) for n in ids_present if n >= 0 and n not in background][:_MOST_OBJECTS]
        rows += [_alone(rows[0], np.stack(ids) == number) for number in objects]
    return _sheet(rows)


def as_colours(frames: np.ndarray) -> np.ndarray:
    """Return frames (T, C, H, W) of one or three channels as uint8 (T, H, W, 3)."""
    images = np.moveaxis(frames, 1, -1)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images[..., :3]


def as_palette(ids: np.ndarray) -> np.ndarray:
    """Return ids of any shape as colours, uint8, shape (..., 3); -1 is the palette's last."""
    return np.asarray(voc_palette()[np.where(ids < 0, 255, ids) % 256])


def enlarged(images: np.ndarray) -> np.ndarray:
    """Return images (..., H, W, 3) with pixels repeated until the longer side has at least about 128."""
    factor = max(1, _SIDE // max(images.shape[-3:-1]))
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _spread(sample: Sample) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return frames (C, H, W) and ids (H, W) spread over a video."""
    times = np.unique(np.linspace(0, len(sample.frames) - 1, _COLUMNS).astype(int))
    return [(sample.frames[t], None if sample.ids is None else sample.ids[t]) for t in times]


def _rows(parts: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> list[np.ndarray]:
    """Return a row of frames and, where there are any, one of ids, each (N, H, W, 3)."""
    rows = [as_colours(np.stack([frame for frame, _ in parts]))]
    ids = [truth for _, truth in parts if truth is not None]
    return [*rows, as_palette(np.stack(ids))] if len(ids) == len(parts) else rows


def _alone(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return images in which all but one object is dimmed to grey."""
    grey = images.mean(-1, keepdims=True) / _DIMMED + 16
    return np.where(mask[..., None], images, grey).astype(np.uint8)


def _sheet(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.concatenate(list(enlarged(row)), axis=1) for row in rows], axis=0)
