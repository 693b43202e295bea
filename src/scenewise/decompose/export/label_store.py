"""The labels of all frames until the video has ended: which slots are objects is known only then."""

from __future__ import annotations

import gzip
import zlib
from array import array
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from scenewise.media.files import writing
from scenewise.media.writing import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scenewise.frame_result import FrameResult
    from scenewise.summary import Summary

_GZIP = 31  # zlib's word for its largest window in the form of gzip


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
    """Labels, packed in a file; iterating it yields them as often as wanted.

    Args:
        path: The file.
        slots: K.
        size: (H, W).
        begun: What `state` returned in another process, to go on from; the file is cut back to it.

    Attributes:
        indices: The frames' numbers in their source.
        dtype: Type of the labels.
    """

    def __init__(self, path: Path, slots: int, size: tuple[int, int], begun: Mapping[str, Any] | None = None) -> None:
        self.indices = array("q", [] if begun is None else [int(index) for index in begun["indices"]])
        self.dtype: np.dtype = np.dtype(np.uint8 if slots <= 256 else np.uint16)
        self._path, self._slots, self._size = path, slots, size
        self._begun = 0 if begun is None else int(begun["bytes"])
        self._file: IO[bytes] | None = None
        self._packed: Any = None  # of zlib, as gzip's own writer holds bytes back that a full disk never takes

    def open(self) -> LabelStore:
        """Begin to hold labels, for a writer that reads them at the end; without one nothing is held."""
        if self._file is None:
            self._file = open_store(self._path, self._begun)
            self._pack()
        return self

    def state(self) -> dict[str, Any]:
        """Return what another process needs to go on: all labels so far are in the file then."""
        if self._file is None or self._packed is None:
            return {"indices": [], "bytes": 0}
        with writing(self._path):
            self._file.write(self._packed.flush())
            self._file.flush()
        length = self._file.tell()
        self._pack()
        return {"indices": np.array(self.indices, np.int64), "bytes": length}

    def add(self, frame: FrameResult) -> None:
        """Append one frame, where a writer wants it."""
        if self._file is None or self._packed is None:
            return
        for part in (frame.mean_masks, frame.track_ids.astype(np.int32), frame.labels.astype(self.dtype)):
            self._file.write(self._packed.compress(np.ascontiguousarray(part).tobytes()))
        self.indices.append(frame.index)

    def __iter__(self) -> Iterator[FrameLabels]:
        """Yield the frames in order; no more can be added then."""
        if self._file is None:
            return
        if self._packed is not None:
            self._file.write(self._packed.flush())
            self._packed = None
        self._file.seek(0)
        with gzip.GzipFile(fileobj=self._file) as packed:
            for index in self.indices:
                trust = np.frombuffer(packed.read(4 * self._slots), np.float32)
                track_ids = np.frombuffer(packed.read(4 * self._slots), np.int32)
                content = packed.read(self.dtype.itemsize * self._size[0] * self._size[1])
                yield FrameLabels(index, np.frombuffer(content, self.dtype).reshape(self._size), trust, track_ids)

    def _pack(self) -> None:
        """Begin a part of the file that can be unpacked whatever follows it."""
        self._packed = zlib.compressobj(1, wbits=_GZIP)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
