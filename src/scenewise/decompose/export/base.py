"""What writes a kind of file about a decomposed video, and what it is given: facts, frames, and labels at the end.

Which slots are objects is known only when the video has ended, so labels wait until then.
"""

from __future__ import annotations

import gzip
import tempfile
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenewise.frame_result import FrameResult
    from scenewise.slot_statistics import Geometry, SlotStatistics
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


@dataclass(frozen=True)
class ExportContext:
    """What a writer knows before the first frame.

    Attributes:
        folder: Where its files go; exists.
        title: Heading, for example the file's name.
        slots: K.
        geometry: Size of the frames and where they lie in the source.
        frame_rate: Frames per second of videos to write.
        settings: The effective settings as nested plain values.
        statistics: What the slots did up to and including the frame at hand; filled as the video goes on.
        source_size: (H, W) of the source.
        labels: Labels of all frames, for writers that call its `open`: which slots are objects is known at the end.
    """

    folder: Path
    title: str
    slots: int
    geometry: Geometry
    frame_rate: float
    settings: dict[str, Any]
    statistics: SlotStatistics
    source_size: tuple[int, int]
    labels: LabelStore

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.geometry.size


class Exporter(ABC):
    """Writes one format, frame by frame in bounded memory.

    Args:
        context: What is known before the first frame.
    """

    files: ClassVar[str]
    """Names of what it writes, for help texts."""

    def __init__(self, context: ExportContext) -> None:
        self.context = context

    @abstractmethod
    def add(self, frame: FrameResult) -> None:
        """Take in the next frame."""

    def finish(self, summary: Summary) -> None:
        """Complete the files: no more frames will come."""
        self.close()

    def close(self) -> None:  # noqa: B027 - most formats hold no file open
        """Let go of open files, also after an error; closing twice does nothing."""


FORMATS: Registry[type[Exporter]] = Registry("export format", "scenewise.decompose.export", group="scenewise.formats")
"""Writers by the name that `--formats` takes."""
