"""What writes a kind of file about a decomposed video, and what is said of the video as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scenewise.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from scenewise.decompose.frame_result import FrameResult
    from scenewise.decompose.slots import Geometry, SlotStatistics

KNOWN, UNKNOWN, NO_OBJECTS, UNVALIDATED = "known footage", "unknown footage", "no objects", "not validated"
UNDECIDED, DOUBTFUL = "undecided", "doubtful footage"
NOT_TAKEN_APART = (UNKNOWN, UNDECIDED)
"""Verdicts under which slots must not be taken for objects."""


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
    """

    folder: Path
    title: str
    slots: int
    geometry: Geometry
    frame_rate: float
    settings: dict[str, Any]
    statistics: SlotStatistics

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.geometry.size


@dataclass
class Summary:
    """What is said of a video as a whole.

    Attributes:
        model: The model's name.
        frames: Frames taken apart, predicted ones included.
        verdict: "known footage", "doubtful footage" (worse than 99 percent of what the model was validated on),
            "unknown footage", "undecided", "no objects", or "not validated" where the model's card has no figure to
            compare with.
        message: The verdict in a sentence, empty for known footage.
        remedy: A command that helps, or empty.
        roles: For each slot "background", "object", "undecided" or "unused"; all "not judged" on unknown footage.
        mse: Median over frames of the reconstruction error; NaN where no frame was seen.
        limit: Error above which footage counts as unknown, or None.
        validated_mse: The card's figure, or None.
        scores: Rows with `protocol`, `metric`, `value` and `note`.
        interrupted: Whether the video was broken off.
        seconds: Wall-clock seconds in all.
        model_seconds: Of these, in reading frames and running the model.
        problems: What was wrong with the file.
        folder: Where the files are.
        files: Their names.
    """

    model: str
    frames: int
    verdict: str
    message: str
    remedy: str
    roles: list[str]
    mse: float
    limit: float | None
    validated_mse: float | None
    scores: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0
    model_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    folder: str = ""
    files: list[str] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """Number of slots taken for objects."""
        return self.roles.count("object")

    @property
    def background(self) -> list[int]:
        """Slots taken for background."""
        return [k for k, role in enumerate(self.roles) if role == "background"]

    @property
    def doubt(self) -> str:
        """Why slots may not be objects, a sentence; empty where nothing tells so."""
        return self.message if self.verdict == DOUBTFUL else ""

    @property
    def warning(self) -> str:
        """Why slots must not be taken for objects, with the command in backticks; empty where they may."""
        if self.verdict not in NOT_TAKEN_APART:
            return ""
        return f"{self.message} To train a model on this footage: `{self.remedy}`"


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


FORMATS: Registry[type[Exporter]] = Registry(
    "export format", "scenewise.decompose.formats", "scenewise.viewer.report_format", group="scenewise.formats"
)
"""Writers by the name that `--formats` takes; a higher floor may add its own."""
