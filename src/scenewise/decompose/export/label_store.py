"""The labels of all frames until the video has ended: which slots are objects is known only then."""

from __future__ import annotations

import gzip
import tempfile
from array import array
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary


@dataclass(frozen=True)
class FrameLabels:
    """What is written of one frame.

    Attributes:
        index: The frame's number in its source, from 0.
        labels: The slot that owns each pixel, shape (H, W).
        trust: Mean mask of each slot over the pixels that it owns, shape (K,); 0 where it owns none.
        track_ids: Number of each slot's object, from 1, shape (K,).
    """

    index: int
    labels: np.ndarray
    trust: np.ndarray
    track_ids: np.ndarray

    def ids(self, summary: Summary) -> np.ndarray:
        """Return the number of each slot's object, shape (K,); 0 where the slot is none."""
        return np.where([role == "object" for role in summary.roles], self.track_ids, 0)


class LabelStore:
    """Labels, packed in a nameless file; iterating it yields them as often as wanted.

    Args:
        folder: Where the file lies.
        slots: K.
        size: (H, W).

    Attributes:
        indices: The frames' numbers in their source.
        dtype: Type of the labels.
    """

    def __init__(self, folder: Path, slots: int, size: tuple[int, int]) -> None:
        self.indices = array("q")
        self.dtype: np.dtype = np.dtype(np.uint8 if slots <= 256 else np.uint16)
        self._folder, self._slots, self._size = folder, slots, size
        self._file: IO[bytes] | None = None
        self._packed: gzip.GzipFile | None = None

    def open(self) -> LabelStore:
        """Begin to hold labels, for a writer that reads them at the end; without one nothing is held."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            self._packed = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=1)
        return self

    def add(self, frame: FrameResult) -> None:
        """Append one frame, where a writer wants it."""
        if self._packed is None:
            return
        for part in (frame.mean_masks, frame.track_ids.astype(np.int32), frame.labels.astype(self.dtype)):
            self._packed.write(np.ascontiguousarray(part).tobytes())
        self.indices.append(frame.index)

    def __iter__(self) -> Iterator[FrameLabels]:
        """Yield the frames in order; no more can be added then."""
        if self._file is None:
            return
        if self._packed is not None:
            self._packed.close()
            self._packed = None
        self._file.seek(0)
        with gzip.GzipFile(fileobj=self._file) as packed:
            for index in self.indices:
                trust = np.frombuffer(packed.read(4 * self._slots), np.float32)
                track_ids = np.frombuffer(packed.read(4 * self._slots), np.int32)
                content = packed.read(self.dtype.itemsize * self._size[0] * self._size[1])
                yield FrameLabels(index, np.frombuffer(content, self.dtype).reshape(self._size), trust, track_ids)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
