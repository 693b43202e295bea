"""The page of one video: what its template says, in words and numbers, and how it gets into a file piece by piece."""

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
from scenewise.report.tiles import padded, photograph

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from scenewise.report.builder import ReportBuilder
    from scenewise.report.tiles import Sheets
    from scenewise.summary import Summary


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
    return template("video.html").generate(
        title=report.title,
        summary=summary,
        facts=_facts(report, summary),
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


def _facts(report: ReportBuilder, summary: Summary) -> list[str]:
    height, width = report.size
    own = _model_size(report)
    scaling = f", scaled from the model's {own[1]} × {own[0]}" if own else ""
    return [f"model {summary.model}", f"{width} × {height} pixels{scaling}", many(report.slots, "slot")]


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
    factor = report.pictures[0].factor if report.pictures else 1
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
        "trails": _trails(report, summary),
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


def _trails(report: ReportBuilder, summary: Summary) -> dict[str, list[list[float]]]:
    """Return where the objects went: (frame, x, y) in pixels of the source, by slot."""
    if summary.warning or not report.frames:
        return {}
    rows = report.statistics.rows(summary.roles)
    paths = {row["slot"]: row["centroid_path"] for row in rows if row["role"] == "object"}
    return {str(k): [[i, round(x, 1), round(y, 1)] for i, x, y in path] for k, path in paths.items()}


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
