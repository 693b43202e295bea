"""What the report of one video shows, gathered frame by frame in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scenewise.report.tiles import IGNORED, Sheets, finite, ids_as_bytes, pack, shrink_factor
from scenewise.slot_statistics import SMALLEST_AREA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scenewise.frame_result import FrameResult
    from scenewise.slot_statistics import SlotStatistics

LARGEST_PICTURES = 12_000_000
"""Bytes of pictures kept at most, whatever the number of frames, slots and pixels."""


class Timeline:
    """Means over equal stretches of frames; when the points run out, neighbours merge and a stretch doubles.

    Args:
        channels: Values per frame.
        points: Most points kept; rounded up to an even number.
    """

    def __init__(self, channels: int, points: int = 2000) -> None:
        self.points = max(2, points + points % 2)
        self.stretch = 1
        self.frames = 0
        self._sums = np.zeros((self.points, channels))
        self._counts = np.zeros((self.points, channels), dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Append one frame's values, shape (channels,); values that are not finite do not count."""
        if self.frames == self.points * self.stretch:
            self._merge()
        point = self.frames // self.stretch
        finite = np.isfinite(values)
        self._sums[point] += np.where(finite, values, 0.0)
        self._counts[point] += finite
        self.frames += 1

    def state(self) -> dict[str, Any]:
        """Return what was gathered."""
        sums, counts = self._sums.copy(), self._counts.copy()
        return {"stretch": self.stretch, "frames": self.frames, "sums": sums, "counts": counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.stretch, self.frames = state["stretch"], state["frames"]
        self._sums[:], self._counts[:] = state["sums"], state["counts"]

    def means(self) -> np.ndarray:
        """Return the mean of every stretch so far, shape (points used, channels); NaN where nothing counted."""
        used = -(-self.frames // self.stretch)
        sums, counts = self._sums[:used], self._counts[:used]
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    def _merge(self) -> None:
        half = self.points // 2
        for table in (self._sums, self._counts):
            table[:half] = table[0::2] + table[1::2]
            table[half:] = 0
        self.stretch *= 2


class ReportBuilder:
    """Collects what the page of a video of any length shows; `write_report` writes it, as often as wanted.

    Pictures: every s-th frame is pictured; when more than `max_frames`, or more bytes than `LARGEST_PICTURES`, are
    held, every other one is dropped and s doubles. Curves and tables: all frames count.

    Args:
        title: Heading of the page, for example the file's name.
        statistics: What the slots do, gathered by whoever adds the frames; its slots and size are those of the page.
        settings: The effective settings, nested mappings of plain values.
        max_frames: Most frames whose pictures are held, at least 2.
        sources: Yields for numbers of frames, counted from 0, larger pictures of what the source shows there, uint8,
            shape (h, w, 3), in their order, None for one that cannot be had; None where results have all there is.
        downloads: Names of files that stand beside the page.

    Attributes:
        pictures: The frames that are pictured.
        stride: Each how many-th frame they are.
        predicted: Number of predicted frames.
        span: (index, time in seconds) of the first and of the last frame.
    """

    def __init__(
        self,
        *,
        title: str,
        statistics: SlotStatistics,
        settings: Mapping[str, Any],
        max_frames: int = 240,
        sources: Callable[[Sequence[int]], Iterator[np.ndarray | None]] | None = None,
        downloads: Sequence[str] = (),
    ) -> None:
        self.title, self.statistics, self.settings = title, statistics, settings
        self.max_frames = max(2, max_frames)
        self.sources, self.downloads = sources, tuple(downloads)
        self.stride = 1
        self.pictures: list[Sheets] = []
        self.timeline = Timeline(2 * self.slots + 2, points=min(2000, max(500, 32_000 // self.slots)))
        self.predicted = 0
        self.span: tuple[tuple[int, float | None], tuple[int, float | None]] = ((0, None), (0, None))
        self._factor = shrink_factor(self.size)
        self._overlap = np.zeros((IGNORED + 1, self.slots), dtype=np.int64)

    @property
    def slots(self) -> int:
        """K."""
        return self.statistics.slots

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.statistics.geometry.size

    @property
    def frames(self) -> int:
        """Frames added so far."""
        return self.timeline.frames

    def add(self, frame: FrameResult) -> None:
        """Take in the next frame; nothing of `frame` is referenced afterwards."""
        position = self.frames
        labels = frame.labels.reshape(-1).astype(np.int64)
        area = np.bincount(labels, minlength=self.slots)[: self.slots] / labels.size
        spread = frame.std.mean(axis=-1) if frame.std.shape[-1] else np.zeros(self.slots)
        mse = finite(frame.mse)
        self.timeline.add(np.array([*area, *spread, np.nan if mse is None else mse, float(frame.predicted)]))
        self.predicted += bool(frame.predicted)
        if frame.ids is not None:
            pairs = ids_as_bytes(frame.ids).reshape(-1).astype(np.int64) * self.slots + labels
            self._overlap += np.bincount(pairs, minlength=self._overlap.size).reshape(self._overlap.shape)
        now = (int(frame.index), finite(frame.time_s))
        self.span = (self.span[0] if position else now, now)
        if position % self.stride == 0:
            self.pictures.append(pack(frame, position, self._factor, area))
            self._thin()

    def state(self) -> dict[str, Any]:
        """Return all that was gathered, as plain values, arrays and bytes."""
        return {
            "stride": self.stride,
            "predicted": self.predicted,
            "span": [list(end) for end in self.span],
            "overlap": self._overlap.copy(),
            "pictures": [vars(sheets) for sheets in self.pictures],
            "timeline": self.timeline.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; bytes may be arrays of uint8."""
        sheets = ("scene", "grey", "appearance")
        self.stride, self.predicted, self._overlap = state["stride"], state["predicted"], state["overlap"].copy()
        (first, start), (last, end) = state["span"]
        self.span = ((first, start), (last, end))
        self.pictures = [Sheets(**{**row, **{name: bytes(row[name]) for name in sheets}}) for row in state["pictures"]]
        self.timeline.restore(state["timeline"])

    def opening(self, roles: Sequence[str]) -> int:
        """Return which of the pictures stands for the video: as many objects as ever, an error in the middle.

        Args:
            roles: What slots are taken for.
        """
        objects = [k for k, role in enumerate(roles) if role not in ("background", "unused")]
        scored = [n for n, sheets in enumerate(self.pictures) if not sheets.predicted and sheets.mse is not None]
        if not scored:
            return 0
        counts = [sum(self.pictures[n].area[k] >= SMALLEST_AREA for k in objects) for n in scored]
        full = [n for n, count in zip(scored, counts, strict=True) if count == max(counts)]
        middle = float(np.median([self.pictures[n].mse for n in scored]))  # type: ignore[misc]  # none is None
        centre = (len(self.pictures) - 1) / 2
        return min(full, key=lambda n: (round(abs((self.pictures[n].mse or 0) / (middle or 1) - 1)), abs(n - centre)))

    def matches(self) -> dict[int, int]:
        """Return true id -> slot, one to one, so that most pixels agree over all frames."""
        ids = self.true_ids()
        if not ids:
            return {}
        from scipy.optimize import linear_sum_assignment  # a tenth of a second by itself

        rows, slots = linear_sum_assignment(self._overlap[ids], maximize=True)
        return {ids[r]: int(k) for r, k in zip(rows, slots, strict=True)}

    def true_ids(self) -> list[int]:
        """Return the true ids that were seen."""
        return [i for i in range(IGNORED) if self._overlap[i].any()]

    def _thin(self) -> None:
        while len(self.pictures) > 1 and (
            len(self.pictures) > self.max_frames or sum(s.bytes for s in self.pictures) > LARGEST_PICTURES
        ):
            del self.pictures[1::2]
            self.stride *= 2
