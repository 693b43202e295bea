"""What writes a kind of file about a decomposed video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scenewise.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from scenewise.decompose.export.label_store import LabelStore
    from scenewise.frame_result import FrameResult
    from scenewise.slot_statistics import Geometry, SlotStatistics
    from scenewise.summary import Summary


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
