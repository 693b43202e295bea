"""The page of one video: gathered frame by frame in bounded memory, and written piece by piece."""

from __future__ import annotations

import base64
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from scenewise.media import SLOT_COLOURS, atomic_file
from scenewise.report.templates import many, number, template
from scenewise.report.tiles import IGNORED, Sheets, finite, ids_as_bytes, pack, padded, photograph, shrink_factor
from scenewise.summary import SMALLEST_AREA

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scenewise.decomposition import FrameResult
    from scenewise.summary import SlotStatistics, Summary

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
            half = self.points // 2  # of two points each one is made
            for table in (self._sums, self._counts):
                table[:half] = table[0::2] + table[1::2]
                table[half:] = 0
            self.stretch *= 2
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
            while len(self.pictures) > 1 and (
                len(self.pictures) > self.max_frames or sum(s.bytes for s in self.pictures) > LARGEST_PICTURES
            ):
                del self.pictures[1::2]
                self.stride *= 2

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


# -- the page ---------------------------------------------------------------------------------------------------------

LARGEST_PHOTOGRAPHS = 6_000_000
"""Bytes that pictures of the source take on a page, about."""

NEUTRAL = (150, 157, 168)
"""Colour of background, whichever slot it is."""


def write_report(report: ReportBuilder, path: str | os.PathLike[str], summary: Summary) -> None:
    """Write the page for the frames so far; the file appears whole or not at all.

    Args:
        report: What was gathered of the frames.
        path: Where to write.
        summary: What is said of the video as a whole.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    with atomic_file(Path(path)) as file:
        for piece in render(report, summary):
            file.write(piece.encode())


def render(report: ReportBuilder, summary: Summary) -> Iterator[str]:
    """Yield the page piece by piece; no piece holds more than one frame's pictures."""
    height, width = report.size
    own = _model_size(report)
    scaling = f", scaled from the model's {own[1]} × {own[0]}" if own else ""
    return template("video.html").generate(
        title=report.title,
        summary=summary,
        facts=[f"model {summary.model}", f"{width} × {height} pixels{scaling}", many(report.slots, "slot")],
        extent=_extent(report),
        frame_count=report.frames,
        stride=report.stride,
        slot_rows=_slot_rows(report, summary),
        scores=_scores(summary),
        settings=report.settings,
        downloads=report.downloads,
        data=_data(report, summary),
        frames=map(_frame, report.pictures, _photographs(report)),
    )


def _photographs(report: ReportBuilder) -> Iterator[bytes | None]:
    """Yield what the source shows in each pictured frame, where that is more than the results have.

    All are shrunk alike where, by the first of them, they would be more than `LARGEST_PHOTOGRAPHS` bytes.
    """
    positions = [sheets.position for sheets in report.pictures]
    images = _ahead(iter(() if report.sources is None else report.sources(positions)))
    first = next(images, None)
    scale = 1.0
    if first is not None:
        scale = min(1.0, (LARGEST_PHOTOGRAPHS / (len(photograph(first)) * len(positions))) ** 0.5)
    frames = itertools.chain([first], images, itertools.repeat(None))
    for image in itertools.islice(frames, len(positions)):
        yield None if image is None else photograph(image, scale)


def _ahead(images: Iterator[np.ndarray | None]) -> Iterator[np.ndarray | None]:
    """Yield images, each read on another thread while the one before is packed."""
    end: Any = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, images, end)
        while (image := coming.result()) is not end:
            coming = thread.submit(next, images, end)
            yield image


def _scores(summary: Summary) -> dict[str, Any]:
    """Return scores as a table: a row for each metric, a column for each protocol, and what else is said of them."""
    protocols = list(dict.fromkeys(str(s["protocol"]) for s in summary.scores))
    cells: dict[str, dict[str, str]] = {}
    for s in summary.scores:
        cells.setdefault(str(s["metric"]), {})[str(s["protocol"])] = number(s["value"])
    notes = dict.fromkeys(f"{s['metric']}, {s['protocol']}: {s['note']}" for s in summary.scores if s["note"])
    rows = [[metric, *(row.get(protocol, "") for protocol in protocols)] for metric, row in cells.items()]
    return {"head": ["Score", *protocols], "rows": rows, "notes": list(notes)}


def _extent(report: ReportBuilder) -> str:
    """Return of how much the page tells, in words."""
    if report.frames == 1:
        return "one predicted image" if report.predicted else "one image"
    (_, first), (_, last) = report.span
    seconds = f" ({last - first:.1f} s)" if first is not None and last is not None and last > first else ""
    tail = f", {report.predicted} of them predicted" if report.predicted else ""
    return f"{many(report.frames, 'frame')}{seconds}{tail}"


def _model_size(report: ReportBuilder) -> list[int] | None:
    """Return (H, W) at which the model works, None where that is the size of the results."""
    own = report.settings.get("input", {}).get("model_size")
    return None if not own or tuple(own) == report.size else [int(side) for side in own]


def _slot_rows(report: ReportBuilder, summary: Summary) -> list[list[str]]:
    numbers = report.statistics
    return [
        [
            Markup('<span class="swatch" data-slot="{}"></span>{}').format(k, k + 1),
            summary.roles[k],
            f"{numbers.active[k]:,} of {numbers.frames:,}",
            f"{numbers.area[k]:.1%}",
            number(numbers.spread[k], 2),
            number(numbers.movement[k], 2),
        ]
        for k in range(report.slots if report.frames else 0)
    ]


def _data(report: ReportBuilder, summary: Summary) -> dict[str, Any]:
    """Return what the page's script draws from, beside the frames."""
    factor, paths = report.pictures[0].factor if report.pictures else 1, {}
    if not summary.warning and report.frames:  # where objects went: (frame, x, y) in pixels of the source, by slot
        rows = report.statistics.rows(summary.roles)
        paths = {row["slot"]: row["centroid_path"] for row in rows if row["role"] == "object"}
    height, width = (-(-n // factor) for n in report.size)
    matches, level = report.matches(), summary.validated_mse
    first, last = report.span
    crop = report.statistics.geometry.crop
    return {
        "slots": report.slots,
        "width": width,
        "height": height,
        "aspect": crop[3] / max(crop[2], 1),
        "crop": list(crop),
        "open": report.opening(summary.roles),
        "numbers": [0 if summary.warning else n for n in summary.track_ids],
        "trails": {str(k): [[i, round(x, 1), round(y, 1)] for i, x, y in path] for k, path in paths.items()},
        "tile": padded(height),
        "model": _model_size(report),
        "frames": report.frames,
        "stride": report.stride,
        "first": list(first),
        "last": list(last),
        "roles": summary.roles,
        "judged": not summary.warning,
        "validated": None if level is None else float(level),
        "colours": [
            NEUTRAL if role == "background" else SLOT_COLOURS[k % len(SLOT_COLOURS)]
            for k, role in enumerate(summary.roles)
        ],
        "ids": {str(i): matches.get(i, -1) for i in report.true_ids()},  # -1 where no slot is left for it
        "timeline": _timeline(report),
    }


def _timeline(report: ReportBuilder) -> dict[str, Any]:
    means = report.timeline.means()
    slots = report.slots
    return {
        "stretch": report.timeline.stretch,
        "area": [_rounded(means[:, k] * 10_000, 0) for k in range(slots)],
        "spread": [_rounded(means[:, slots + k], 4) for k in range(slots)],
        "mse": _rounded(means[:, 2 * slots], 7),
        "predicted": _rounded(means[:, 2 * slots + 1], 2),
    }


def _rounded(values: np.ndarray, digits: int) -> list[float | int | None]:
    plain = (None if not np.isfinite(v) else round(float(v), digits) for v in values)
    return [int(v) if v is not None and v.is_integer() else v for v in plain]


def _frame(sheets: Sheets, source: bytes | None) -> dict[str, Any]:
    photo = {} if source is None else {"source": base64.b64encode(source).decode()}
    return photo | {
        "position": sheets.position,
        "index": sheets.index,
        "time": sheets.time_s,
        "predicted": sheets.predicted,
        "seen": sheets.seen,
        "truth": sheets.truth,
        "mse": sheets.mse,
        "peak": round(sheets.peak, 6),
        "sheets": [base64.b64encode(s).decode() for s in (sheets.scene, sheets.grey, sheets.appearance)],
    }
