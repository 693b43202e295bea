"""The decomposition of one video: iterated, collected or saved, and computed no earlier than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewise.errors import InputError

if TYPE_CHECKING:
    from scenewise.decompose.clip import Clip
    from scenewise.decompose.contract import Summary
    from scenewise.decompose.decomposer import Decomposer
    from scenewise.decompose.frame_result import FrameResult

KEPT_BYTES = 64 << 20
"""Frames are kept for a second look up to this many bytes; a longer video is computed again."""


@dataclass(frozen=True)
class Settings:
    """How a video is taken apart.

    Attributes:
        slots: K, the model's own where None.
        refinements: R, the model's own where None.
        seed: Seed of the posterior noise.
        observe: Frames to look at before predicting; all where None.
        steps: Frames to predict.
        resize: Whether frames are scaled to the model's size.
        size: (H, W) of the results, the model's own where None.
    """

    slots: int | None = None
    refinements: int | None = None
    seed: int = 0
    observe: int | None = None
    steps: int = 0
    resize: bool = True
    size: tuple[int, int] | None = None


class Result:
    """What a model finds in a video, frame by frame.

    Iterating it runs the model; up to `KEPT_BYTES` of frames are kept, so that a second pass over a short video costs
    nothing. A long one is computed again, to the same numbers.

    Args:
        decomposer: The model.
        clip: The video.
        settings: How.

    Attributes:
        keep_bytes: Up to how many bytes frames are kept; 0 where one pass is all that is wanted.
        summary: What was found in short, after `save`.
    """

    def __init__(self, decomposer: Decomposer, clip: Clip, settings: Settings) -> None:
        self.decomposer = decomposer
        self.clip = clip
        self.settings = settings
        self.summary: Summary | None = None
        self.keep_bytes = KEPT_BYTES
        self._kept: list[FrameResult] | None = None
        self._passes = 0

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of everything it holds and writes."""
        return self.clip.size

    @property
    def slots(self) -> int:
        """K."""
        return self.decomposer.slots if self.settings.slots is None else self.settings.slots

    def __iter__(self) -> Iterator[FrameResult]:
        """Yield the frames in order.

        Raises:
            InputError: The video cannot be read, or its frames came one by one and were too many to keep.
        """
        if self._kept is not None:
            yield from self._kept
            return
        if self._passes and not self.clip.again:
            raise InputError(self.clip.name, "its frames can be had only once.", "Give a list, an array or a path.")
        self._passes += 1
        kept: list[FrameResult] | None = []
        held = 0
        for frame in self.decomposer.stream(self.clip, self.settings):
            held += frame.nbytes
            if held > self.keep_bytes:
                kept = None
            if kept is not None:
                kept.append(frame)
            yield frame
        self._kept = kept

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

    def save(
        self,
        folder: str | Path,
        formats: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Path:
        """Write what was found; the folder appears complete or not at all.

        Args:
            folder: Where to; must not exist, or be empty, or `overwrite`.
            formats: Which files, all where None: see `FORMATS.names()`. `run.json` is always written.
            overwrite: Replace a folder that holds files.
            progress: Called after every frame with the frames done and the number expected, or None.
            stop: Asked after every frame; True ends early with complete files of the frames done.

        Returns:
            The folder. What was found in short is in `summary` then.

        Raises:
            InputError: The folder is taken or cannot be written, the disk is full, or the video cannot be read.
        """
        from scenewise.decompose.run import export

        self.summary = export(self, Path(folder), formats, overwrite=overwrite, progress=progress, stop=stop)
        return Path(folder)
