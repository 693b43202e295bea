"""The decomposition of one video: iterated, collected or saved, and computed no earlier than that; how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.decompose.detections import VideoDetections
from scenewise.decompose.verdict import Evidence
from scenewise.errors import InputError
from scenewise.media.annotations import Placement
from scenewise.summary import Geometry, SlotStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scenewise.checkpoint import Reference
    from scenewise.decompose.clip import Clip
    from scenewise.decompose.request import Request
    from scenewise.decomposition import FrameResult
    from scenewise.models.contract import State
    from scenewise.summary import Summary

REUSE_BYTES = 64 << 20
"""Frames stay in memory for a second look up to this many bytes; a longer video is computed again."""


@dataclass(frozen=True)
class ModelFacts:
    """What records and verdicts say of the model that takes a video apart.

    Attributes:
        name: Its name.
        kind: The name its class is registered under.
        path: The folder it came from.
        fingerprint: Short hash of settings and weights.
        size: (H, W) of the frames it takes.
        window: How many frames it explains together; 1 for models that go frame by frame.
        slots: K unless a request has another.
        refinements: R unless a request has another, None where the model has no such number.
        device: Where it runs.
        compiled: Whether it runs as compiled graphs.
        keeps_slots: Whether slots keep their objects from frame to frame by themselves.
        validated: What it reaches on data of its own kind.
        settings: Its settings as plain values.
        engine: What explains frames.
    """

    name: str
    kind: str
    path: str
    fingerprint: str
    size: tuple[int, int]
    slots: int
    refinements: int | None
    device: str
    compiled: bool
    keeps_slots: bool
    validated: Reference
    settings: dict[str, Any]
    window: int = 1
    engine: str = "torch"


@dataclass
class Course:
    """Where a stream over a video is; whoever runs the stream moves it along.

    Attributes:
        frames: Frames explained so far.
        state: What the model carries on after them; None where it cannot be told: within frames that are explained
            together, and while frames are predicted.
        remark: What was done to frames before the model saw them.
    """

    frames: int = 0
    state: State | None = None
    remark: str | None = None


class Result:
    """What a model finds in a video, frame by frame.

    Iterating it runs the model; up to `REUSE_BYTES` of frames stay in memory, so that a second pass over a short video
    costs nothing. A long one is computed again, to the same numbers.

    Args:
        clip: The video.
        request: How it is taken apart.
        model: By what.
        frames: Runs the model over the video once more, from where a course is.
        write: Writes a result; takes the arguments of `save` after it.

    Attributes:
        keep_bytes: Up to how many bytes of frames stay in memory; 0 where one pass is all that is wanted.
        apart: Whether a copy of this process writes files where there is a core for it: quicker, for programs that hold
            no locks and have no other threads, which a copy would miss, such as the command.
        shared: What frames refer to that such a copy has too.
        summary: What was found in short, after `save`.
    """

    def __init__(
        self,
        clip: Clip,
        request: Request,
        model: ModelFacts,
        frames: Callable[[Course], Iterator[FrameResult]],
        write: Callable[..., Summary],
    ) -> None:
        self.clip = clip
        self.request = request
        self.model = model
        self.summary: Summary | None = None
        self.keep_bytes = REUSE_BYTES
        self.apart = False
        self.shared: tuple[object, ...] = ()
        self._compute = frames
        self._write = write
        self._frames: list[FrameResult] | None = None
        self._passes = 0

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of everything it holds and writes."""
        return self.clip.size

    @property
    def slots(self) -> int:
        """K."""
        return self.model.slots if self.request.slots is None else self.request.slots

    def __iter__(self) -> Iterator[FrameResult]:
        """Yield the frames in order.

        Raises:
            InputError: The video cannot be read, or its frames came one by one and were too many to keep.
        """
        yield from self.run(Course())

    def run(self, course: Course) -> Iterator[FrameResult]:
        """Yield the frames from where a course is, and move it along; see `__iter__` for errors."""
        if self._frames is not None:
            yield from self._frames
            return
        if self._passes and not self.clip.again:
            raise InputError(self.clip.name, "its frames can be had only once.", "Give a list, an array or a path.")
        self._passes += 1
        frames: list[FrameResult] | None = None if course.frames else []
        size = 0
        for frame in self._compute(course):
            size += frame.nbytes
            if size > self.keep_bytes:
                frames = None
            if frames is not None:
                frames.append(frame)
            yield frame
        self._frames = frames

    def collect(self, name: str) -> np.ndarray:
        """Return one array of all frames, leading axis T.

        Args:
            name: A field of `FrameResult`: "labels", "masks", "reconstruction", "mean", "std", "mse", "uncertainty" ...
        """
        return np.stack([np.asarray(getattr(frame, name)) for frame in self])

    @property
    def labels(self) -> np.ndarray:
        """The slot that owns each pixel, shape (T, H, W)."""
        return self.collect("labels")

    @property
    def masks(self) -> np.ndarray:
        """Shape (T, K, H, W); sums to 1 over K."""
        return self.collect("masks")

    @property
    def mse(self) -> np.ndarray:
        """Error of each frame at the model's own size, shape (T,)."""
        return self.collect("mse")

    def to_supervision(self) -> VideoDetections:
        """Return one `supervision.Detections` per frame, with the objects' track ids; see `VideoDetections`.

        Raises:
            InputError: supervision is not installed, or the video cannot be read.
        """
        geometry = Geometry(self.clip.size, self.clip.crop)
        evidence = Evidence(SlotStatistics(self.slots, geometry), self.model.validated, self.model.name)
        return VideoDetections(self, evidence, Placement(self.clip.size, self.clip.crop, self.clip.source_size))

    def save(
        self,
        folder: str | Path,
        formats: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        resume: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Path:
        """Write what was found; the folder appears complete or not at all.

        Args:
            folder: Where to; must not exist, or be empty, or `overwrite`.
            formats: Which files, all where None: see `FORMATS.names()`. `run.json` is always written.
            overwrite: Replace a folder that holds files.
            resume: Go on from what a process that was killed or stopped has left of the same request, to the files of
                an uninterrupted run; from the first frame where nothing is left.
            progress: Called after every frame with the frames done and the number expected, or None.
            stop: Asked after every frame; True ends early with complete files of the frames done.

        Returns:
            The folder. What was found in short is in `summary` then.

        Raises:
            InputError: The folder is taken or cannot be written, the disk is full, the video cannot be read, or what is
                to be gone on from is of another request.
        """
        self.summary = self._write(
            self, Path(folder), formats, overwrite=overwrite, resume=resume, progress=progress, stop=stop
        )
        return Path(folder)
