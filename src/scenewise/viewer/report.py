"""The report of one video: a page that opens from disk, built frame by frame in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.media import atomic_file
from scenewise.viewer import page
from scenewise.viewer.sheets import Sheets, finite, pack, shrink_factor
from scenewise.viewer.timeline import SlotStatistics, Timeline

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

LARGEST_PICTURES = 12_000_000
"""Bytes of pictures kept at most, whatever the number of frames, slots and pixels."""


@dataclass
class FrameView:
    """What the page shows of one frame.

    Attributes:
        index: The frame's number in its video.
        time_s: Its time in seconds, None where unknown.
        image: The frame the model saw, uint8, shape (H, W, 3); not shown where `predicted`.
        labels: The slot that owns each pixel, uint8, shape (H, W).
        masks: Shape (K, H, W), in [0, 1].
        appearance: Mean image of each slot, uint8, shape (K, H, W, 3).
        reconstruction: All slots put together, uint8, shape (H, W, 3).
        uncertainty: Posterior spread seen in the picture, for colours in [0, 1], shape (H, W); 0 everywhere where the
            model cannot tell.
        mean: Posterior mean of each slot's latent, shape (K, Z).
        std: Posterior standard deviation, shape (K, Z).
        mse: Reconstruction error per pixel and channel of frames in [0, 1]; NaN where there is nothing to compare.
        ids: True object of each pixel, uint8, shape (H, W): 0 background, 255 ignore.
        predicted: Whether the model did not see this frame but predicted it.
        truth: The true frame beside a predicted one, uint8, shape (H, W, 3).
    """

    index: int
    time_s: float | None
    image: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    appearance: np.ndarray
    reconstruction: np.ndarray
    uncertainty: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    mse: float
    ids: np.ndarray | None = None
    predicted: bool = False
    truth: np.ndarray | None = None


class ReportBuilder:
    """Collects frames of a video of any length and writes them as one self-contained page.

    Pictures: every s-th frame is kept; when more than `max_frames`, or more bytes than `LARGEST_PICTURES`, are kept,
    every other one is dropped and s doubles. Curves and tables: all frames count.

    Args:
        title: Heading of the page, for example the file's name.
        slots: K.
        size: (H, W) of the frames.
        settings: The effective settings, nested mappings of plain values.
        max_frames: Most frames whose pictures are kept, at least 2.
    """

    def __init__(
        self, *, title: str, slots: int, size: tuple[int, int], settings: Mapping[str, Any], max_frames: int = 240
    ) -> None:
        self.title, self.slots, self.size, self.settings = title, slots, (int(size[0]), int(size[1])), settings
        self.max_frames = max(2, max_frames)
        self.stride = 1
        self.kept: list[Sheets] = []
        self.statistics = SlotStatistics(slots)
        self.timeline = Timeline(2 * slots + 2, points=min(2000, max(500, 32_000 // slots)))
        self.predicted = 0
        self._factor = shrink_factor(self.size)
        self._overlap = np.zeros((256, slots), dtype=np.int64)
        self._first: tuple[int, float | None] = (0, None)
        self._last: tuple[int, float | None] = (0, None)

    @property
    def frames(self) -> int:
        """Frames added so far."""
        return self.timeline.frames

    def add(self, frame: FrameView) -> None:
        """Take in the next frame; nothing of `frame` is referenced afterwards.

        Raises:
            ValueError: An array does not fit `slots` and `size`.
        """
        self._check(frame)
        position = self.frames
        self._count(frame)
        if position % self.stride == 0:
            self.kept.append(pack(frame, position, self._factor))
            self._thin()

    def write(self, path: str | os.PathLike[str], *, summary: Mapping[str, Any]) -> None:
        """Write the page for the frames so far; the file appears whole or not at all.

        Args:
            path: Where to write.
            summary: What to say, all optional: `objects` and `frames` (counts), `roles` (what each slot was judged to
                be) or `background` (a slot's index or a list of them; the largest slot otherwise), `model` (its name),
                `warning` (why slots must not be taken for objects; `code` in backticks), `doubt` (why they may not be),
                `validated_mse` (the model card's level), `scores` (a list of `{protocol, metric, value, note}`).

        Raises:
            InputError: The disk is full or the folder cannot be written.
        """
        with atomic_file(Path(path)) as file:
            for piece in page.render(self, summary):
                file.write(piece.encode())

    def background(self, summary: Mapping[str, Any]) -> set[int]:
        """Return the background's slots: those `summary` names, otherwise the one with the largest mean area."""
        named = summary.get("background")
        if named is None:
            return {int(self.statistics.area.argmax())} if self.frames else set()
        return {int(k) for k in np.atleast_1d(np.asarray(named, dtype=int))}

    def span(self) -> tuple[tuple[int, float | None], tuple[int, float | None]]:
        """Return (index, time in seconds) of the first and of the last frame."""
        return self._first, self._last

    def matches(self) -> dict[int, int]:
        """Return true id -> slot, one to one, so that most pixels agree over all frames."""
        from scipy.optimize import linear_sum_assignment

        ids = [i for i in range(255) if self._overlap[i].any()]
        rows, slots = linear_sum_assignment(self._overlap[ids], maximize=True) if ids else ((), ())
        return {ids[r]: int(k) for r, k in zip(rows, slots, strict=True)}

    def true_ids(self) -> list[int]:
        """Return the true ids that were seen."""
        return [i for i in range(255) if self._overlap[i].any()]

    def _count(self, frame: FrameView) -> None:
        labels = frame.labels.reshape(-1).astype(np.int64)
        area = np.bincount(labels, minlength=self.slots)[: self.slots] / labels.size
        spread = frame.std.mean(axis=-1) if frame.std.shape[-1] else np.zeros(self.slots)
        self.statistics.add(area, spread, frame.mean)
        mse = finite(frame.mse)
        self.timeline.add(np.array([*area, *spread, np.nan if mse is None else mse, float(frame.predicted)]))
        self.predicted += bool(frame.predicted)
        if frame.ids is not None:
            owned = labels < self.slots
            pairs = frame.ids.reshape(-1).astype(np.int64)[owned] * self.slots + labels[owned]
            self._overlap += np.bincount(pairs, minlength=self._overlap.size).reshape(self._overlap.shape)
        self._last = (int(frame.index), finite(frame.time_s))
        if self.frames == 1:
            self._first = self._last

    def _thin(self) -> None:
        while len(self.kept) > 1 and (
            len(self.kept) > self.max_frames or sum(s.bytes for s in self.kept) > LARGEST_PICTURES
        ):
            del self.kept[1::2]
            self.stride *= 2

    def _check(self, frame: FrameView) -> None:
        slots, (height, width) = self.slots, self.size
        picture = (height, width, 3)
        expected = {
            "image": picture,
            "labels": (height, width),
            "masks": (slots, height, width),
            "appearance": (slots, *picture),
            "reconstruction": picture,
            "uncertainty": (height, width),
            "ids": (height, width),
            "truth": picture,
        }
        for name, shape in expected.items():
            array = getattr(frame, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} of frame {frame.index} has shape {array.shape}, expected {shape}")
        for name in ("mean", "std"):
            if getattr(frame, name).shape[:-1] != (slots,):
                raise ValueError(f"{name} of frame {frame.index} has shape {getattr(frame, name).shape}, K is {slots}")
