"""What is asked of a model over one video, and what comes of it.

A request is made where words or arguments come in, and checked there, once. A result is iterated, collected or saved,
and computed no earlier than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.decompose.clip import ClipFrame, checked_size
from scenewise.decompose.detections import VideoDetections
from scenewise.decompose.verdict import Evidence
from scenewise.decomposition import LABEL_RULES, LabelRule
from scenewise.documents import shortened
from scenewise.errors import InputError
from scenewise.media.annotations import Placement
from scenewise.summary import Geometry, SlotStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scenewise.checkpoint import Reference
    from scenewise.decompose.clip import Clip
    from scenewise.decomposition import FrameResult
    from scenewise.models.contract import SceneModel, State
    from scenewise.summary import Summary

_LIMITS = {"slots": (1, 256), "refinements": (1, 64)}

REUSE_BYTES = 64 << 20
"""Frames stay in memory for a second look up to this many bytes; a longer video is computed again."""


@dataclass(frozen=True)
class Request:
    """How a video is taken apart, and how much of it is predicted.

    Attributes:
        size: (H, W) of the results, also given as one number for a square; the model's own where None.
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        seed: Seed of the posterior noise.
        observe: Frames to look at before predicting; all where None.
        steps: Frames to predict; at least 1 where `observe` is given.
        labels: Who owns a pixel that was seen: the slot that explains it best, or that with the largest mask.

    Raises:
        InputError: A number is out of range, or there is no such rule of labels.

    Examples:
        >>> Request(size=128).size
        (128, 128)
        >>> Request(observe=10, steps=0)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: steps: must be at least 1; found 0.
    """

    size: tuple[int, int] | None = None
    slots: int | None = None
    refinements: int | None = None
    seed: int = 0
    observe: int | None = None
    steps: int = 0
    labels: LabelRule = "responsibility"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checked_size(self.size))
        check_limits(slots=self.slots, refinements=self.refinements)
        if self.labels not in LABEL_RULES:
            raise InputError("labels", f"must be {' or '.join(LABEL_RULES)}; found {self.labels!r}.")
        least = {"seed": 0, "observe": 1, "steps": 0 if self.observe is None else 1}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(name, f"must be at least {low}; found {shortened(value)}.")
            if value is not None and value >= 1 << 63:  # beyond what random generators and counts take
                raise InputError(name, f"must be less than 2**63; found {shortened(value)}.")


def check_limits(**options: int | None) -> None:
    """Raise InputError where slots or refinements lie outside their range.

    Examples:
        >>> check_limits(slots=7, refinements=None)
        >>> check_limits(slots=0)
        Traceback (most recent call last):
        ...
        scenewise.errors.InputError: slots: must lie in [1, 256]; found 0.
    """
    for name, value in options.items():
        low, high = _LIMITS[name]
        if value is not None and not low <= value <= high:
            raise InputError(name, f"must lie in [{low}, {high}]; found {value}.")


def check_takes_videos(model: SceneModel, name: str) -> None:
    """Raise InputError where a model explains views of a scene, which needs to know where they are taken from."""
    if model.viewpoint_size is not None:
        problem = "explains views of a scene by where they are taken from, which a video does not tell."
        remedy = f"Run: scenewise render SCENE --model {name}; in Python give `step` the viewpoints."
        raise InputError(name, problem, remedy)


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


class Past:
    """Frames as they go by, counted.

    Args:
        frames: The frames.

    Attributes:
        count: How many there were so far.
        last: Up to two, the newest last.
    """

    def __init__(self, frames: Iterable[ClipFrame]) -> None:
        self._frames = frames
        self.count, self.last = 0, list[ClipFrame]()

    def __iter__(self) -> Iterator[ClipFrame]:
        """Yield them in order."""
        for frame in self._frames:
            self.count, self.last = self.count + 1, [*self.last, frame][-2:]
            yield frame

    def following(self) -> ClipFrame:
        """Return a frame that nobody saw: index and time go on as before."""
        newest = self.last[-1]
        step = newest.index - self.last[0].index or 1
        times = [frame.time_s for frame in self.last]
        has_times = len(times) == 2 and None not in times
        time_s = 2 * times[1] - times[0] if has_times else None  # type: ignore[operator]
        return ClipFrame(newest.index + step, time_s, np.zeros_like(newest.image))


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
