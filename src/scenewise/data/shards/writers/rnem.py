"""Writes bouncing balls in the HDF5 layout of R-NEM, for its code and for the reader `rnem-h5` (datasets.md 2)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewise.data.generated.balls.source import BallsSource
from scenewise.data.readers.rnem import GROUPS
from scenewise.data.shards.writers.base import register_writer
from scenewise.data.splits import check_split
from scenewise.errors import InputError
from scenewise.media.files import writing
from scenewise.media.hdf5 import created

if TYPE_CHECKING:
    from collections.abc import Mapping

    import h5py

    from scenewise.data.generated.balls.source import BallsVideos
    from scenewise.data.shards.writers.base import Progress, Stop, WriteRequest

_WRITTEN_AT_ONCE = 16


@register_writer("h5", "one file of bouncing balls in R-NEM's layout", suffixes=(".h5", ".hdf5"))
def write(request: WriteRequest, out: Path, progress: Progress, stop: Stop) -> None:
    """Write one split; see `write_rnem`."""
    source = request.open()
    if not isinstance(source, BallsSource):
        label = request.label or request.source
        raise InputError(label, "cannot be written as R-NEM's h5.", "Use --format hdf5, npy, png or mp4.")
    write_rnem(out, {request.split: source}, {request.split: request.samples}, request.overwrite, progress)


def write_rnem(
    path: str | Path,
    sources: Mapping[str, BallsSource],
    videos: Mapping[str, int],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write bouncing balls as an R-NEM file, a few videos at a time; the file appears only when it is complete.

    Binary videos become truth values with one channel, coloured ones uint8 with three. Next to `features` and `groups`
    stand `collisions`, `events`, `positions` and `velocities` (box units, shape (T, N, n, 2), NaN for absent balls).

    Args:
        path: The file to write.
        sources: A source for each split to write.
        videos: How many videos of each.
        overwrite: Replace a file that exists.
        progress: Called with how many videos of a split are written and how many there are to write.

    Raises:
        InputError: The file exists or cannot be written, or a source has fewer videos.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(path, "exists already.", "Choose another name, or add --overwrite.")
    for split, source in sources.items():
        if not 1 <= videos.get(split, 0) <= len(source):
            raise InputError(split, f"{videos.get(split, 0)} videos asked for, the source has {len(source)}.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path), created(part) as file:
            for split, source in sources.items():
                _write_group(file.create_group(GROUPS[check_split(split)]), source, videos[split], progress)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _write_group(group: h5py.Group, source: BallsSource, count: int, progress: Progress | None) -> None:
    for first in range(0, count, _WRITTEN_AT_ONCE):
        indices = range(first, min(first + _WRITTEN_AT_ONCE, count))
        for name, values in _as_stored(source.make(indices), source.facts.binary).items():
            values_first = np.swapaxes(values, 0, 1)  # (N, T, ...) -> (T, N, ...)
            if name not in group:
                time, _, *rest = values_first.shape
                group.create_dataset(
                    name,
                    (time, count, *rest),
                    values_first.dtype,
                    chunks=(time, 1, *rest),
                    compression="gzip",
                    compression_opts=1,
                    shuffle=True,
                )
            group[name][:, indices.start : indices.stop] = values_first
        if progress is not None:
            progress(indices.stop, count)


def _as_stored(videos: BallsVideos, binary: bool) -> dict[str, np.ndarray]:
    features = np.moveaxis(videos.frames, 2, -1)  # (N, T, H, W, C)
    return {
        "features": features[..., :1] > 0 if binary else features,
        "groups": videos.ids[..., None],
        "collisions": videos.collisions[..., None],
        "events": videos.events[:, :, None, None, None],
        "positions": videos.positions,
        "velocities": videos.velocities,
    }
