"""What writes a kind of file about a decomposed video, and the labels that it reads once the video has ended."""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar

import numpy as np

from scenewise.media.files import writing
from scenewise.media.writing import open_store
from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from scenewise.decomposition import FrameResult
    from scenewise.summary import Geometry, SlotStatistics, Summary


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
        heading: Heading of pages: the file's own name, where it is one.
        sources: Yields for numbers of frames, counted from 0, larger pictures of what the source shows there.
        labels: Labels of all frames, for writers that call its `open`: which slots are objects is known at the end.
        store: Folder for what a writer keeps of frames until the end, so that another process can go on from it.
        segment: Frames after each how many of which `Exporter.state` may be asked for.
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
    store: Path
    segment: int
    heading: str = ""
    sources: Callable[[Sequence[int]], Iterator[np.ndarray]] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.geometry.size


class Exporter(ABC):
    """Writes one format, frame by frame in bounded memory.

    `add` is called on a thread of its own, one frame after the other, all else on that of the caller while no frame is
    being added; what goes wrong in either is raised to the caller.

    Args:
        context: What is known before the first frame.
    """

    files: ClassVar[str]
    """Names of what it writes, for help texts."""

    gathers: ClassVar[bool] = True
    """Whether it gathers anything beside labels and statistics; what does not can always be gone on with."""

    def __init__(self, context: ExportContext) -> None:
        self.context = context

    @abstractmethod
    def add(self, frame: FrameResult) -> None:
        """Take in the next frame."""

    def state(self) -> dict[str, Any] | None:
        """Return what it has gathered, for `restore` in another process; None where none could go on from it.

        Plain values, arrays and bytes, nested in lists and mappings of texts. It is asked for after each
        `ExportContext.segment` frames at most; what lies in files of `ExportContext.store` must be flushed.
        """
        return None if self.gathers else {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - most formats gather nothing
        """Go on, before the first frame is added, from what `state` gave; bytes come as arrays of uint8."""

    def finish(self, summary: Summary) -> None:
        """Complete the files: no more frames will come."""
        self.close()

    def close(self) -> None:  # noqa: B027 - most formats hold no file open
        """Let go of open files, also after an error; closing twice does nothing."""


FORMATS: Registry[type[Exporter]] = Registry("export format", "scenewise.decompose.export", group="scenewise.formats")
"""Writers by the name that `--formats` takes."""

# -- labels of all frames, until it is known which slots are objects ---------------------------------------------------

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
